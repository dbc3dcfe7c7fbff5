"""The model folder that goes to a device: its manifest, read strictly, written whole, verified by hash."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edge_las.config import from_dict, to_dict
from edge_las.errors import ArtifactError, one_line, system_reason
from edge_las.features import FeatureConfig
from edge_las.manifest import (
    MANIFEST_NAME,
    SIGNATURE_NAME,
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
from edge_las.manifest_text import parse, render
from edge_las.signing import check_signature, load_public_key
from edge_las.tokens import TokenTable

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_NAME",
    "READABLE_VERSIONS",
    "SIGNATURE_NAME",
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
    "check_files",
    "describe_files",
    "load_manifest",
    "load_tokens",
    "sha256_file",
    "verify",
    "write_manifest",
]

# What is written; version 1 had no hash of the manifest itself in it.
FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)
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


def load_manifest(folder: str | Path, require_signature: str | Path | None = None) -> Manifest:
    """Read `folder`/manifest.json; before anything of it is used, check that the public key in the file
    `require_signature` signed it.

    Raises: ArtifactError naming the folder or the field; ConfigError, DeviceError for the key.
    """
    folder = Path(folder)
    if folder.is_file():
        raise ArtifactError(f"{folder}: is a file: `edge-las unpack` makes a model folder of a packed model")
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: no such model folder")
    data = _read_manifest(folder)
    if require_signature is not None:
        check_signature(folder, data, load_public_key(require_signature))
    try:
        return Manifest.from_dict(parse(data))
    except ArtifactError as error:  # begins with the file's name
        raise ArtifactError(f"{folder}/{error}") from None


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Write manifest.json so that a reader sees the old one or the new one, whole.

    Raises: ArtifactError if it could not be read back.
    """
    folder = Path(folder)
    data = render(manifest.to_dict())
    Manifest.from_dict(parse(data))
    partial = folder / f".{MANIFEST_NAME}.partial"
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, folder / MANIFEST_NAME)
    # It was the old one's.
    (folder / SIGNATURE_NAME).unlink(missing_ok=True)


def verify(folder: str | Path, manifest: Manifest) -> None:
    """Check that every listed file is there, of its size and SHA-256, and that the token table fits.

    Raises: ArtifactError naming the file.
    """
    check_files(folder, manifest, manifest.files)
    load_tokens(folder, manifest)


def check_files(folder: str | Path, manifest: Manifest, names: Iterable[str]) -> None:
    """Check that listed files are there, of their size and SHA-256.

    Raises: ArtifactError naming the file.
    """
    for name in names:
        path, entry = Path(folder) / name, manifest.files[name]
        if not path.is_file():
            raise ArtifactError(f"{path}: is missing")
        size = path.stat().st_size
        if size != entry.size:
            raise ArtifactError(f"{path}: has {size} bytes, {MANIFEST_NAME} says {entry.size}")
        if sha256_file(path) != entry.sha256:
            raise ArtifactError(f"{path}: is damaged: its SHA-256 is not the one in {MANIFEST_NAME}")


def load_tokens(folder: str | Path, manifest: Manifest) -> TokenTable:
    """Read the token table of an artifact.

    Raises: ArtifactError naming the file.
    """
    path = Path(folder) / manifest.tokens.file
    table = TokenTable.load(path)
    if len(table) != manifest.tokens.size:
        raise ArtifactError(
            f"{path}: has {len(table)} tokens, {MANIFEST_NAME}: tokens.size is {manifest.tokens.size}"
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
        raise ArtifactError(f"{path}: {system_reason(error)}") from None


def _read_manifest(folder: Path) -> bytes:
    try:
        with open(folder / MANIFEST_NAME, "rb") as file:
            data = file.read(_MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise ArtifactError(f"{folder / MANIFEST_NAME}: {system_reason(error)}") from None
    if len(data) > _MAX_MANIFEST_BYTES:
        raise ArtifactError(f"{folder / MANIFEST_NAME}: too large to be a manifest")
    return data


def _check_version(values: Mapping[str, Any]) -> None:
    version = values.get("format_version", FORMAT_VERSION)
    if type(version) is not int or version in READABLE_VERSIONS:
        return  # a missing or mistyped field is reported as any other
    advice = "made by a newer edge-las: update edge-las" if version > FORMAT_VERSION else "unknown"
    readable = " and ".join(map(str, READABLE_VERSIONS))
    message = f"format_version is {version}, this edge-las reads {readable}: {advice}"
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
    middle = engine.listener.tensor("middle")
    found, expected = middle.shape[-1] if middle else 0, manifest.listener.middle_dim
    if found != expected:
        raise ArtifactError(
            f"listener.middle_dim is {expected}, {where}: {engine.listener.file}: middle has {found}"
        )
