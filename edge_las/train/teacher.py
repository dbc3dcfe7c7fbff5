"""What a larger recognizer made of a corpus: targets for the Listener beyond the letters said.

The encoder of a teacher that has heard far more people says hundreds of numbers about each 20 ms. A Listener
that learns to say the same (Romero et al. 2015, arXiv:1412.6550) learns from each hour what letters don't
tell.
`edge_las.train.distill` lets a teacher hear a corpus, once.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

TEACHER_FILE = "teacher.npy"
ROW_SAMPLES = 320  # 20 ms at 16 kHz
# Each dimension has mean 0 and a standard deviation below 1; rows hold it times this.
SCALE = 25.0
LARGEST = 127


class Teacher:
    """Rows of a corpus's flat audio, (R, D) int8: row r is of samples r * 320 on; zeros = unheard."""

    def __init__(self, rows: npt.NDArray[np.int8]) -> None:
        self.rows = rows

    @classmethod
    def beside(cls, audio: Path) -> "Teacher | None":
        """Open what lies beside a corpus's audio."""
        path = audio.with_name(TEACHER_FILE)
        return cls(np.load(path, mmap_mode="r")) if path.exists() else None

    def lay(self, target: npt.NDArray[np.int8], begin: int, offset: int, samples: int) -> None:
        """Copy rows of samples `offset` on to rows of an utterance (F, D) that has them from `begin` on."""
        centres = np.arange(len(target)) * ROW_SAMPLES + ROW_SAMPLES // 2 - begin
        inside = (centres >= 0) & (centres < samples)
        rows = (centres[inside] + offset) // ROW_SAMPLES
        target[inside] = self.rows[np.minimum(rows, len(self.rows) - 1)]
