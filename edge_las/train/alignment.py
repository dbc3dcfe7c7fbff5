"""What a forced alignment says of a clip: when each phone and each word is said."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.lexicon import PHONES

ALIGNMENT_FILE = "align.tsv"
FIELDS = ("id", "phones", "words")
FRAME_SAMPLES = 160  # the aligner's frame: 10 ms at 16 kHz
UNKNOWN = 255  # the phone of a frame nobody aligned


@dataclass(frozen=True)
class Alignment:
    """Stretches of one clip in 10 ms frames: phones cover it from its start, words lie where they are."""

    phones: tuple[tuple[int, int], ...]  # (index in PHONES, frames)
    words: tuple[tuple[int, int], ...]  # (first frame, frames) of each word of the text

    @classmethod
    def parse(cls, phones: str, words: str) -> "Alignment":
        """Read what `__str__` wrote."""
        names, spans = phones.split(), list(map(int, words.split()))
        return cls(
            tuple((PHONES.index(p), int(n)) for p, n in zip(names[::2], names[1::2], strict=True)),
            tuple(zip(spans[::2], spans[1::2], strict=True)),
        )

    def columns(self) -> tuple[str, str]:
        """Write it as the columns `phones` and `words` of align.tsv."""
        phones = " ".join(f"{PHONES[phone]} {frames}" for phone, frames in self.phones)
        return phones, " ".join(f"{first} {frames}" for first, frames in self.words)

    def frame_diphones(self, frames: int) -> npt.NDArray[np.int64]:
        """Number the phone and the one that follows of each of the first `frames` frames, -1 past the end."""
        kinds = np.array([phone for phone, _ in self.phones], dtype=np.int64)
        return self._spread(kinds * len(PHONES) + np.append(kinds[1:], 0), frames, -1)

    def frame_phones(self, frames: int) -> npt.NDArray[np.uint8]:
        """Give the phone of each of the first `frames` frames, UNKNOWN past the alignment's end."""
        kinds = np.array([phone for phone, _ in self.phones], dtype=np.int64)
        return self._spread(kinds, frames, UNKNOWN).astype(np.uint8)

    def _spread(self, values: npt.NDArray[np.int64], frames: int, beyond: int) -> npt.NDArray[np.int64]:
        """Give each frame the value of its phone's stretch, and `beyond` past the end."""
        counts = np.array([count for _, count in self.phones], dtype=np.int64)
        found = np.repeat(values, counts)[:frames]
        return np.pad(found, (0, frames - len(found)), constant_values=beyond)
