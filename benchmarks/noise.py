"""Noise: mixed with speech at a stated ratio, and cut into pieces that hold nothing else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_las.audio import read_audio
from edge_las.errors import ConfigError

FloatArray = npt.NDArray[np.float32]

# Kept out of training so that it can be measured with.
HELD_BACK = "doing_the_dishes"
# Lengths of stretches without speech, in turn.
LENGTHS_S = (2.0, 3.0, 5.0, 10.0)
SUFFIXES = (".opus", ".wav", ".flac", ".ogg")


@dataclass(frozen=True)
class Piece:
    """A stretch without speech: samples (S,) of one noise at one level."""

    source: str
    level_dbfs: float
    samples: FloatArray


def load_noises(folder: Path, sample_rate: int) -> dict[str, FloatArray]:
    """Read all noise files of a folder, by their names without suffix.

    Raises: ConfigError if there are none.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES)
    if not paths:
        raise ConfigError(f"{folder}: no noise files are there")
    return {path.stem: read_audio(path, sample_rate) for path in paths}


def mix(speech: FloatArray, noise: FloatArray, snr_db: float, offset: int) -> FloatArray:
    """Add noise from `offset` on, repeated as needed, so that the mean powers are snr_db apart: (S,).

    The power of speech is taken over the whole recording, pauses included.
    """
    stretch = noise[(offset + np.arange(speech.size)) % noise.size]
    powers = [float(np.mean(np.square(x, dtype=np.float64))) for x in (speech, stretch)]
    if not all(powers):
        return speech
    gain = np.sqrt(powers[0] / powers[1] / 10.0 ** (snr_db / 10.0))
    mixed: FloatArray = np.clip(speech + np.float32(gain) * stretch, -1.0, 1.0)
    return mixed


def at_level(samples: FloatArray, level_dbfs: float) -> FloatArray:
    """Scale samples to an RMS level."""
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    gain = 10.0 ** (level_dbfs / 20.0) / rms if rms else 0.0
    scaled: FloatArray = np.clip(samples * np.float32(gain), -1.0, 1.0)
    return scaled


def pieces(
    noises: Mapping[str, FloatArray],
    sample_rate: int,
    levels_dbfs: tuple[float, ...] = (-20.0, -35.0, -50.0),
    lengths_s: tuple[float, ...] = LENGTHS_S,
    start_s: float = 0.0,
) -> Iterator[Piece]:
    """Cut every noise from start_s on into stretches of lengths and levels in turn; add digital silence."""
    for name, noise in noises.items():
        start, number = int(start_s * sample_rate), 0
        while True:
            length = int(lengths_s[number % len(lengths_s)] * sample_rate)
            if start + length > noise.size:
                break
            level = levels_dbfs[number % len(levels_dbfs)]
            yield Piece(name, level, at_level(noise[start : start + length], level))
            start, number = start + length, number + 1
    for length_s in lengths_s:
        yield Piece("digital_silence", -np.inf, np.zeros(int(length_s * sample_rate), np.float32))
