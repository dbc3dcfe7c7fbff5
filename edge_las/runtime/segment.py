"""Cuts audio of any length into pieces that the Speller can take, at the quietest place near their end."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

# Where to look for a place to cut: the last part of a piece.
_SEARCHED_PART = 0.4
# As long as a pause between words that is worth cutting at; the cut is in its middle.
_PAUSE_S = 0.2
_STEP_S = 0.02


class PieceCutter:
    """Hands samples on at once while the piece is short, and holds back those among which it may end."""

    def __init__(self, max_piece_s: float, sample_rate: int) -> None:
        self._max = int(max_piece_s * sample_rate)
        self._free = int(self._max * (1.0 - _SEARCHED_PART))
        self._pause = max(1, int(_PAUSE_S * sample_rate))
        self._step = max(1, int(_STEP_S * sample_rate))
        self._given = 0
        self._held = np.zeros(0, dtype=np.float32)

    def accept(self, samples: FloatArray) -> Iterator[tuple[FloatArray, bool]]:
        """Take samples (s,); yield those that belong to the present piece, and whether it ends with them."""
        while samples.size:
            free = max(0, self._free - self._given)
            if free:
                now, samples = samples[:free], samples[free:]
                self._given += now.size
                yield now, False
                continue
            room = self._max - self._given - self._held.size
            self._held = np.concatenate([self._held, samples[:room]])
            samples = samples[room:]
            if self._given + self._held.size < self._max:
                return
            cut = self._quietest(self._held)
            ending, rest = self._held[:cut], self._held[cut:]
            self._given, self._held = 0, rest[:0]
            samples = np.concatenate([rest, samples])
            yield ending, True

    def finish(self) -> FloatArray:
        """Return the samples held back: the end of the last piece."""
        held, self._held, self._given = self._held, self._held[:0], 0
        return held

    def _quietest(self, samples: FloatArray) -> int:
        """Find the middle of the quietest pause, at least one sample from the start."""
        if samples.size <= self._pause:
            return samples.size
        power = np.concatenate([np.zeros(1), np.cumsum(np.square(samples, dtype=np.float64))])
        starts = np.arange(0, samples.size - self._pause + 1, self._step)
        pauses = power[starts + self._pause] - power[starts]
        # Of equally quiet places the last: pieces are then longer and fewer.
        best = starts[len(pauses) - 1 - int(pauses[::-1].argmin())]
        return int(best) + self._pause // 2 or 1
