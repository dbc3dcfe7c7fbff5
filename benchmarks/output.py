"""Where measurements go: JSON files written whole, and a line about what was measured on what."""

import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_las import textfiles
from edge_las.artifact import Manifest, load_manifest, sha256_file, write_manifest
from edge_las.errors import ConfigError
from edge_las.staging import whole_file


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all; two runs at once do not mix."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(text.encode())


def write_search(folder: Path, settings: dict[str, Any]) -> None:
    """Write what was fitted into the `search` of a model's manifest, beside what is there."""
    manifest = load_manifest(folder)
    write_manifest(folder, replace(manifest, search={**manifest.search, **settings}))


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """Read what a benchmark wrote.

    Raises: ConfigError naming the file if it is not of that kind.
    """
    values = textfiles.read_json(path)
    if not isinstance(values, dict) or values.get("kind") != kind:
        raise ConfigError(f"{path}: is not the result of benchmarks.{kind}")
    return values


def describe_model(folder: Path, manifest: Manifest, engine: str) -> dict[str, Any]:
    """Say which model was measured."""
    return {
        "name": manifest.name,
        "engine": engine,
        "precision": manifest.engines[engine].precision,
        "bytes": sum(entry.size for entry in manifest.files.values())
        + (folder / "manifest.json").stat().st_size,
        "parent_checkpoint_sha256": manifest.provenance.parent_checkpoint_sha256,
        "graph_sha256": sha256_file(folder / manifest.engines[engine].listener.file),
    }


def describe_machine() -> dict[str, Any]:
    """Say where it was measured, without the machine's name."""
    return {
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
