"""An artifact folder that is written aside and then takes its place, whole."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from edge_las.errors import ArtifactError, system_reason
from edge_las.manifest import MANIFEST_NAME


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
