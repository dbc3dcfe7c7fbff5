"""One system on one set: run in its own process, kept on disk, not run again while nothing changed."""

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edge_las
from benchmarks.memory import write_wav
from benchmarks.output import read_json, write_json
from benchmarks.peers.clips import ClipSet
from benchmarks.peers.grammars import finite_state_grammar
from benchmarks.peers.systems import SAMPLE_RATE_HZ, SYSTEMS
from edge_las.artifact import MANIFEST_NAME, sha256_file
from edge_las.errors import ConfigError, DeviceError
from edge_las.grammar_file import save_grammar
from edge_las.search.automaton import Automaton

# Counts up when what is measured changes its meaning: results of before are then measured again.
_EDITION = 1
_TIMEOUT_S = 1800.0
# Set by some machines to force kernels on an old OpenBLAS; they slow a current one.
_UNWANTED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class EdgeModel:
    """The artifact of this project that takes part, and its engine."""

    folder: Path
    engine: str


@dataclass(frozen=True)
class PreparedSet:
    """A set as files: every system reads the same ones."""

    clips: ClipSet
    files: dict[str, Path]
    seconds: dict[str, float]
    grammar: Path | None
    fsg: Path | None
    digest: str


def prepare(clip_set: ClipSet, folder: Path) -> PreparedSet:
    """Write a set's recordings as 16-bit WAV, and its grammar in both forms."""
    folder.mkdir(parents=True)
    files, seconds, digest = {}, {}, hashlib.sha256()
    for number, clip in enumerate(clip_set.clips):
        samples = clip.samples()
        files[clip.id] = write_wav(folder / f"{number:04}.wav", samples, SAMPLE_RATE_HZ)
        seconds[clip.id] = samples.size / SAMPLE_RATE_HZ
        digest.update(files[clip.id].read_bytes())
    if len(files) < len(clip_set.clips):
        raise ConfigError(f"{clip_set.name}: two recordings have the same name")
    if clip_set.grammar is None:
        return PreparedSet(clip_set, files, seconds, None, None, digest.hexdigest())
    grammar, fsg = folder / "grammar.json.gz", folder / "commands.fsg"
    save_grammar(grammar, clip_set.grammar)
    fsg.write_text(finite_state_grammar(Automaton(clip_set.grammar)), encoding="utf-8")
    digest.update(grammar.read_bytes())
    return PreparedSet(clip_set, files, seconds, grammar, fsg, digest.hexdigest())


def measure_cell(
    system: str, prepared: PreparedSet, model: EdgeModel, results: Path, fresh: bool = False
) -> dict[str, Any]:
    """Give what a system made of a set: from an earlier run of the same on the same, or measured now.

    Raises: DeviceError with what the process said if it fails.
    """
    kept = results / f"{system}.{prepared.clips.name.replace(' ', '_')}.json"
    key = _key(system, prepared, model)
    if kept.is_file() and not fresh:
        found = read_json(kept, "peers")
        if found.get("key") == key:
            return found
    job = {
        "system": system,
        "model": str(model.folder),
        "engine": model.engine,
        "grammar": _text(prepared.grammar),
        "fsg": _text(prepared.fsg),
        "clips": [{"id": name, "path": str(path)} for name, path in prepared.files.items()],
    }
    measured = _run(job, prepared.files[prepared.clips.clips[0].id].parent)
    date = time.strftime("%Y-%m-%d", time.gmtime())
    cell = {
        "kind": "peers",
        "key": key,
        "system": system,
        "set": prepared.clips.name,
        "date": date,
        **measured,
    }
    write_json(kept, cell)
    return cell


def _key(system: str, prepared: PreparedSet, model: EdgeModel) -> str:
    """Tell what a result hangs on: recordings, grammar, packages; for edge-las also its model and code."""
    entry = SYSTEMS[system]
    parts = [_EDITION, system, entry.title, prepared.digest, *(_version(name) for name in entry.packages)]
    if system.startswith("edge-las"):
        parts += [model.engine, sha256_file(model.folder / MANIFEST_NAME), *map(sha256_file, _sources())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise DeviceError(f"the comparison needs {package}: pip install 'edge-las[peers]'") from None


def _sources() -> list[Path]:
    package = Path(edge_las.__file__).parent
    return sorted(path for room in (".", "runtime", "search") for path in (package / room).glob("*.py"))


def _run(job: dict[str, Any], scratch: Path) -> dict[str, Any]:
    source, target = scratch / "job.json", scratch / "result.json"
    source.write_text(json.dumps(job), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    environment |= dict.fromkeys(_THREADS, "1") | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "benchmarks.peers.worker", str(source), str(target)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise DeviceError(f"{job['system']}: was not done after {_TIMEOUT_S:g} s") from None
    if done.returncode:
        raise DeviceError(f"{job['system']}: {' '.join(done.stderr.split())[-400:]}")
    measured: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    return measured


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
