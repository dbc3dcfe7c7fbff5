"""The model folder that goes to a device: its manifest, read strictly, written whole, verified by hash."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edge_las.config import from_dict, one_line, to_dict
from edge_las.errors import ArtifactError
from edge_las.features import FeatureConfig
from edge_las.manifest import (
    MANIFEST_NAME,
    CalibrationEntry,
    EngineEntry,
    FileEntry,
    GraphEntry,
    ListenerEntry,
    ProvenanceEntry,
    SpellerEntry,
    TensorSpec,
    TokensEntry,
    check_listener_graph,
    check_name,
    check_speller_graph,
)
from edge_las.tokens import TokenTable

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_NAME",
    "CalibrationEntry",
    "EngineEntry",
    "FileEntry",
    "GraphEntry",
    "ListenerEntry",
    "Manifest",
    "ProvenanceEntry",
    "SpellerEntry",
    "TensorSpec",
    "TokensEntry",
    "describe_files",
    "load_manifest",
    "load_tokens",
    "sha256_file",
    "verify",
    "write_manifest",
]

FORMAT_VERSION = 1
# A manifest is some kilobytes; anything near this is no manifest.
_MAX_MANIFEST_BYTES = 4 << 20


@dataclass(frozen=True)
class Manifest:
    """Everything the runtime knows of a model; `search`, `parity` and `accuracy` are free in their keys."""

    format_version: int
    name: str
    language: str
    features: FeatureConfig
    tokens: TokensEntry
    listener: ListenerEntry
    speller: SpellerEntry
    search: dict[str, bool | int | float]
    engines: dict[str, EngineEntry]
    files: dict[str, FileEntry]
    provenance: ProvenanceEntry
    parity: dict[str, Any]
    accuracy: dict[str, Any]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Manifest":
        """Build a manifest from what JSON holds.

        Raises: ArtifactError naming the field that is missing, unknown, of the wrong type or inconsistent.
        """
        if not isinstance(values, Mapping):
            raise ArtifactError(f"{MANIFEST_NAME}: not a JSON object")
        _check_version(values)
        features = values.get("features")
        if isinstance(features, Mapping):
            for field in fields(FeatureConfig):  # its defaults are for training only
                if field.name not in features:
                    raise ArtifactError(f"{MANIFEST_NAME}: features.{field.name} is missing")
        manifest = from_dict(cls, values, MANIFEST_NAME, ArtifactError)
        try:
            _check_consistent(manifest)
        except ArtifactError as error:
            raise ArtifactError(f"{MANIFEST_NAME}: {one_line(error)}") from None
        return manifest

    def to_dict(self) -> dict[str, Any]:
        """Give the plain values that JSON holds."""
        return to_dict(self)


def load_manifest(folder: str | Path) -> Manifest:
    """Read `folder`/manifest.json.

    Raises: ArtifactError naming the folder or the field.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: no such model folder")
    try:
        with open(folder / MANIFEST_NAME, "rb") as file:
            data = file.read(_MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"{folder}: {MANIFEST_NAME}: {reason}") from None
    if len(data) > _MAX_MANIFEST_BYTES:
        raise ArtifactError(f"{MANIFEST_NAME}: too large to be a manifest")
    try:
        values = json.loads(data, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{MANIFEST_NAME}: not valid JSON: {one_line(error)}") from None
    return Manifest.from_dict(values)


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Write manifest.json so that a reader sees the old one or the new one, whole.

    Raises: ArtifactError if it could not be read back.
    """
    values = manifest.to_dict()
    try:
        data = (json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{MANIFEST_NAME}: cannot be written as JSON: {one_line(error)}") from None
    Manifest.from_dict(json.loads(data))
    partial = Path(folder) / f".{MANIFEST_NAME}.partial"
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, Path(folder) / MANIFEST_NAME)


def verify(folder: str | Path, manifest: Manifest) -> None:
    """Check that every listed file is there, of its size and SHA-256, and that the token table fits.

    Raises: ArtifactError naming the file.
    """
    for name, entry in manifest.files.items():
        path = Path(folder) / name
        if not path.is_file():
            raise ArtifactError(f"{name}: missing from {folder}")
        size = path.stat().st_size
        if size != entry.size:
            raise ArtifactError(f"{name}: has {size} bytes, {MANIFEST_NAME} says {entry.size}")
        if sha256_file(path) != entry.sha256:
            raise ArtifactError(f"{name}: is damaged: its SHA-256 is not the one in {MANIFEST_NAME}")
    load_tokens(folder, manifest)


def load_tokens(folder: str | Path, manifest: Manifest) -> TokenTable:
    """Read the token table of an artifact.

    Raises: ArtifactError naming the file.
    """
    table = TokenTable.load(Path(folder) / manifest.tokens.file)
    if len(table) != manifest.tokens.size:
        raise ArtifactError(
            f"{manifest.tokens.file}: has {len(table)} tokens, {MANIFEST_NAME}: tokens.size is "
            f"{manifest.tokens.size}"
        )
    return table


def describe_files(folder: str | Path, names: Iterable[str]) -> dict[str, FileEntry]:
    """Measure files for the manifest's `files`."""
    paths = {name: Path(folder) / name for name in sorted(names)}
    return {name: FileEntry(path.stat().st_size, sha256_file(path)) for name, path in paths.items()}


def sha256_file(path: str | Path) -> str:
    """Hash a file: 64 lower-case hexadecimal digits.

    Raises: ArtifactError naming the file if it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def _check_version(values: Mapping[str, Any]) -> None:
    version = values.get("format_version", FORMAT_VERSION)
    if type(version) is not int or version == FORMAT_VERSION:
        return  # a missing or mistyped field is reported as any other
    advice = "made by a newer edge-las: update edge-las" if version > FORMAT_VERSION else "unknown"
    message = f"format_version is {version}, this edge-las reads {FORMAT_VERSION}: {advice}"
    raise ArtifactError(f"{MANIFEST_NAME}: {one_line(message)}")


def _check_consistent(manifest: Manifest) -> None:
    if not manifest.engines:
        raise ArtifactError("engines is empty")
    for name in manifest.files:
        check_name("a name in files", name)
    _check_listed("tokens.file", manifest.tokens.file, manifest)
    for name, engine in manifest.engines.items():
        where = f"engines.{name}"
        _check_listed(f"{where}.listener.file", engine.listener.file, manifest)
        _check_listed(f"{where}.speller.file", engine.speller.file, manifest)
        _check_graphs(where, engine, manifest)


def _check_listed(where: str, name: str, manifest: Manifest) -> None:
    if name not in manifest.files:
        raise ArtifactError(f"{where} is {name!r}, which files does not list")


def _check_graphs(where: str, engine: EngineEntry, manifest: Manifest) -> None:
    sizes = (
        (engine.listener, "features", manifest.features.n_mels, "features.n_mels"),
        (engine.listener, "encoded", manifest.listener.encoded_dim, "listener.encoded_dim"),
        (engine.listener, "ctc_log_probs", manifest.tokens.size, "tokens.size"),
        (engine.speller, "encoded", manifest.listener.encoded_dim, "listener.encoded_dim"),
        (engine.speller, "log_probs", manifest.tokens.size, "tokens.size"),
    )
    check_listener_graph(f"{where}.listener", engine.listener)
    check_speller_graph(f"{where}.speller", engine.speller)
    for graph, name, expected, field in sizes:
        tensor = graph.tensor(name)
        found = tensor.shape[-1] if tensor and tensor.shape else None
        if found != expected:
            raise ArtifactError(f"{field} is {expected}, {where}: {graph.file}: {name} has {found}")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return values


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")
