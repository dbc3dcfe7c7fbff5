"""Arrays in .npz files that may come from anywhere."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_las.errors import ArtifactError


def read_arrays(path: str | Path, most_bytes: int, kind: str) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of a file that unpacked is of most_bytes at most; whatever is no array is refused.

    Raises: ArtifactError if it is too large to be of its kind; if it is damaged, what zipfile, zlib and numpy
    raise.
    """
    import zipfile  # 10 ms that those without such a file need not wait

    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > most_bytes:
            raise ArtifactError(f"too large to be {kind}")
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
