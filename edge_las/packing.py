"""An artifact as one file: a plain tar, the same bytes for the same artifact, unpacked with suspicion."""

import io
import os
import shutil
import tarfile
from pathlib import Path

from edge_las.artifact import Manifest, load_manifest, sha256_file, verify
from edge_las.errors import ArtifactError, one_line, system_reason
from edge_las.manifest import MANIFEST_NAME, SIGNATURE_NAME, check_name
from edge_las.staging import whole_file

# Far above any artifact of this house; what claims to be larger is not unpacked.
MAX_BYTES = 1 << 30
MAX_FILES = 1000
# The manifest's own hash: damage to what nothing else would notice. It is no signature.
_SEAL = "manifest.sha256"


def pack(folder: str | Path, target: str | Path) -> Manifest:
    """Write a verified artifact to one file; nothing of this machine goes in, neither times nor owners.

    Raises: ArtifactError naming the file.
    """
    folder = Path(folder)
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
    """Write a packed artifact to a new folder, whole, verified and, where asked for, signed; or nothing.

    Raises: ArtifactError naming the entry that has no business there, or the file that is damaged.
    """
    source, folder = Path(source), Path(folder)
    if folder.exists():
        raise ArtifactError(f"{folder}: exists, it is not replaced")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        _extract(source, partial)
        _check_seal(source, partial)
        manifest = load_manifest(partial, require_signature)
        _check_no_strangers(partial, manifest)
        verify(partial, manifest)
        partial.rename(folder)
    except ArtifactError as error:
        raise ArtifactError(str(error).replace(str(partial), str(source))) from None
    except OSError as error:
        # Of the source, or else of what is being written, wherever in it.
        place = source if str(error.filename) == str(source) else folder
        raise ArtifactError(f"{place}: {system_reason(error)}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


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
