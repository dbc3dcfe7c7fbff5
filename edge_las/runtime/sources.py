"""Where live sound comes from: what a source gives, and those that are not microphones."""

import os
import select
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_las.audio import stream_audio
from edge_las.errors import AudioError
from edge_las.runtime.pcm import PcmFormat, PcmStream

FloatArray = npt.NDArray[np.float32]

BLOCK_S = 0.1
# A source returns at least this often, so that a request to stop is seen.
WAIT_S = 0.1


def no_samples() -> FloatArray:
    """Return (0,)."""
    return np.zeros(0, dtype=np.float32)


@dataclass(frozen=True)
class Block:
    """The next samples (s,), mono at the wanted rate, and what went wrong just before them.

    overflows counts losses of samples, lost_s their length as far as it is known;
    interrupted tells that the sound before and after do not belong together.
    """

    samples: FloatArray = field(default_factory=no_samples)
    overflows: int = 0
    lost_s: float = 0.0
    notice: str = ""
    interrupted: bool = False


class Source(Protocol):
    """A stream of sound."""

    def read(self) -> Block | None:
        """Return the next block, perhaps an empty one; None at the end."""

    def close(self) -> None:
        """Let go of the device or file."""


class FileSource:
    """A file, as fast as it is taken."""

    def __init__(self, path: str | Path, sample_rate: int, block_s: float = BLOCK_S) -> None:
        self._blocks: Iterator[FloatArray] = stream_audio(path, sample_rate, block_s)

    def read(self) -> Block | None:
        """Return the next block."""
        samples = next(self._blocks, None)
        return None if samples is None else Block(samples)

    def close(self) -> None:
        """Forget the file."""
        self._blocks = iter(())


class PcmSource:
    """Raw 16-bit little-endian PCM from a file descriptor, such as standard input's."""

    def __init__(self, descriptor: int, from_hz: int, channels: int, sample_rate: int) -> None:
        self._descriptor = descriptor
        self._form = PcmFormat(from_hz, 2, channels)
        self._block_bytes = round(BLOCK_S * from_hz) * self._form.frame_bytes
        self._stream = PcmStream(self._form, sample_rate)
        self._rest = b""
        self._begun = self._ended = False

    def read(self) -> Block | None:
        """Return what has arrived, after at most WAIT_S."""
        if self._ended:
            return None
        if not select.select([self._descriptor], [], [], WAIT_S)[0]:
            return Block()
        data = os.read(self._descriptor, self._block_bytes)
        if not data:
            self._ended = True
            if self._rest:
                raise AudioError("standard input ends within a sample: it must be 16-bit PCM")
            return Block(self._stream.finish())
        if not self._begun:
            _check_raw(data)
            self._begun = True
        data = self._rest + data
        whole = len(data) - len(data) % self._form.frame_bytes
        self._rest = data[whole:]
        return Block(self._stream.accept(data[:whole]))

    def close(self) -> None:
        """Leave the descriptor to its owner."""


def _check_raw(data: bytes) -> None:
    """Raise AudioError for the beginning of a file: its header and perhaps all of it would be noise."""
    kind = {b"RIFF": "a WAV file", b"fLaC": "a FLAC file", b"OggS": "an Ogg file"}.get(data[:4])
    if kind:
        raise AudioError(f"standard input is {kind}, must be raw 16-bit PCM (arecord -t raw), or use --wav")
