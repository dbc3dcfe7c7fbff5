"""Files and artifact folders that are written aside and then take their place, whole."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edge_las.errors import ArtifactError, ConfigError, EdgeLasError, system_reason
from edge_las.manifest import MANIFEST_NAME


@contextlib.contextmanager
def whole_file(path: str | Path, error: type[EdgeLasError] = ConfigError) -> Iterator[BinaryIO]:
    """Give a new file that takes the place of `path` at the end, or vanishes if anything fails.

    Raises: `error` naming `path` if it cannot be written.
    """
    path = Path(path)
    # A device or a pipe cannot be replaced, and a folder is refused by being opened.
    special = path.exists() and not path.is_file()
    part = path if special else path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            yield file
        if not special:
            os.replace(part, path)
    except OSError as failure:
        raise error(f"{path}: {system_reason(failure)}") from None
    finally:
        if not special:
            part.unlink(missing_ok=True)


def check_replaceable(out: Path) -> None:
    """Raise ArtifactError if `out` is there and neither an artifact nor an empty folder."""
    if out.exists() and not (out / MANIFEST_NAME).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out}: exists and is no artifact; it is not replaced")


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Give an empty folder beside `out` that takes its place at the end, or vanishes if anything fails.

    Raises: ArtifactError if `out` must not be replaced or cannot be written.
    """
    check_replaceable(out)
    part, old = (out.with_name(f".{out.name}.{os.getpid()}.{kind}") for kind in ("part", "old"))
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise ArtifactError(f"{out}: {system_reason(error)}") from None
    try:
        yield part
        if out.exists():
            out.rename(old)
        part.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
