"""An artifact as one file: a plain tar, the same bytes for the same artifact, unpacked with suspicion."""

import io
import tarfile
from pathlib import Path

from edge_las.artifact import Manifest, load_manifest, sha256_file, verify
from edge_las.errors import ArtifactError, one_line, system_reason
from edge_las.manifest import MANIFEST_NAME, SIGNATURE_NAME, check_name
from edge_las.staging import staged, whole_file

# Far above any artifact of this house; what claims to be larger is not unpacked.
MAX_BYTES = 1 << 30
MAX_FILES = 1000
# The manifest's own hash: damage to what nothing else would notice. It is no signature.
_SEAL = "manifest.sha256"


def pack(folder: str | Path, target: str | Path) -> Manifest:
    """Write a verified artifact to one file; nothing of this machine goes in, neither times nor owners.

    Raises: ArtifactError naming the file, also one that is there and is no packed artifact.
    """
    folder = Path(folder)
    _check_replaceable(Path(target))
    manifest = load_manifest(folder)
    verify(folder, manifest)
    with (
        whole_file(target, ArtifactError) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        _add(archive, _SEAL, sha256_file(folder / MANIFEST_NAME).encode())
        # The manifest first: it says what the rest must be.
        signature = [SIGNATURE_NAME] if (folder / SIGNATURE_NAME).is_file() else []
        for name in (MANIFEST_NAME, *signature, *sorted(manifest.files)):
            _add(archive, name, (folder / name).read_bytes())
    return manifest


def unpack(source: str | Path, folder: str | Path, require_signature: str | Path | None = None) -> Manifest:
    """Write a packed artifact to a folder, whole, verified and, where asked for, signed; or nothing.

    Raises: ArtifactError naming the entry that has no business there, the file that is damaged, or a folder
    that is there and is no artifact.
    """
    source, folder = Path(source), Path(folder)
    try:
        with staged(folder) as part:
            return _unpacked(source, part, require_signature)
    except OSError as error:
        # Of the source, or else of what is being written, wherever in it.
        place = source if str(error.filename) == str(source) else folder
        raise ArtifactError(f"{place}: {system_reason(error)}") from None


def _unpacked(source: Path, part: Path, require_signature: str | Path | None) -> Manifest:
    try:
        _extract(source, part)
        _check_seal(source, part)
        manifest = load_manifest(part, require_signature)
        _check_no_strangers(part, manifest)
        verify(part, manifest)
    except ArtifactError as error:
        raise ArtifactError(str(error).replace(str(part), str(source))) from None
    return manifest


def _check_replaceable(target: Path) -> None:
    """Raise ArtifactError if a file is there that is neither empty nor a packed artifact."""
    if not target.is_file():
        return
    with open(target, "rb") as file:
        beginning = file.read(len(_SEAL) + 1)
    # A tar begins with the name of its first entry.
    if beginning not in (b"", _SEAL.encode() + b"\0"):
        raise ArtifactError(f"{target}: exists and is no packed artifact; it is not replaced")


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    archive.addfile(entry, io.BytesIO(data))


def _check_seal(source: Path, folder: Path) -> None:
    seal = folder / _SEAL
    if not seal.is_file():
        raise ArtifactError(f"{source}: {_SEAL} is missing: it is no packed artifact")
    if seal.read_bytes() != sha256_file(folder / MANIFEST_NAME).encode():
        raise ArtifactError(f"{source}: {MANIFEST_NAME} is damaged: its SHA-256 is not the packed one")
    seal.unlink()


def _extract(source: Path, folder: Path) -> None:
    total = 0
    names: set[str] = set()
    try:
        with tarfile.open(source, "r:") as archive:
            for entry in archive:
                _check_entry(entry, names)
                names.add(entry.name)
                total += entry.size
                if total > MAX_BYTES or len(names) > MAX_FILES:
                    raise ArtifactError(f"{source}: too large for an artifact")
                content = archive.extractfile(entry)
                assert content is not None
                data = content.read()
                if len(data) != entry.size:
                    raise ArtifactError(f"{source}: ends within {entry.name}")
                # Written by hand: an archive's modes, owners and links have no say.
                (folder / entry.name).write_bytes(data)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ArtifactError(f"{source}: is no packed artifact: {one_line(error)}") from None


def _check_entry(entry: tarfile.TarInfo, seen: set[str]) -> None:
    if not entry.isreg():
        raise ArtifactError(f"packed entry {entry.name[:60]!r} is not a plain file")
    if entry.name not in (MANIFEST_NAME, SIGNATURE_NAME):
        check_name("a packed entry", entry.name)
    if entry.name in seen:
        raise ArtifactError(f"packed entry {entry.name!r} is there twice")
    if not 0 <= entry.size <= MAX_BYTES:
        raise ArtifactError(f"packed entry {entry.name!r} is too large for an artifact")


def _check_no_strangers(folder: Path, manifest: Manifest) -> None:
    strangers = {path.name for path in folder.iterdir()} - {MANIFEST_NAME, SIGNATURE_NAME, *manifest.files}
    if strangers:
        raise ArtifactError(f"packed entry {min(strangers)!r} is not listed in {MANIFEST_NAME}")
