"""Log-mel features in numpy: the one definition, for whole files, for streams and for training."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edge_las.errors import ConfigError

FloatArray = npt.NDArray[np.float32]

# BLAS results depend on the number of rows, so a frame is always computed as the same row of an equally large
# matrix: frame i is row i % BLOCK_FRAMES. That makes streams bit-equal to whole files.
BLOCK_FRAMES = 8
# Blocks computed in one go: bounds the memory of a long file and keeps the working set in cache.
_BLOCKS_AT_ONCE = 64
# So that a damaged file cannot ask for more memory than there is.
_LARGEST = {"sample_rate": 768000, "n_fft": 65536, "win_length": 65536, "hop_length": 65536, "n_mels": 1024}


@dataclass(frozen=True)
class FeatureConfig:
    """What a frame of features is; an artifact states every field."""

    sample_rate: int = 16000
    n_fft: int = 512
    win_length: int = 400
    hop_length: int = 160
    n_mels: int = 64
    f_min_hz: float = 60.0
    f_max_hz: float = 7600.0
    log_offset: float = 1e-5

    def __post_init__(self) -> None:
        for name, most in _LARGEST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be 1 to {most}")
        if self.win_length > self.n_fft:
            raise ConfigError(f"win_length is {self.win_length}, must be at most n_fft ({self.n_fft})")
        if not 0.0 <= self.f_min_hz < self.f_max_hz <= self.sample_rate / 2:
            raise ConfigError(
                f"f_min_hz is {self.f_min_hz} and f_max_hz {self.f_max_hz}, "
                f"must rise from 0 to at most half the sample rate ({self.sample_rate / 2:g})"
            )
        if not self.log_offset > 0.0:
            raise ConfigError(f"log_offset is {self.log_offset}, must be above 0")


def num_frames(num_samples: int, config: FeatureConfig) -> int:
    """Count the frames that fit wholly into `num_samples`."""
    if num_samples < config.win_length:
        return 0
    return 1 + (num_samples - config.win_length) // config.hop_length


@lru_cache(maxsize=8)
def hann_window(config: FeatureConfig) -> FloatArray:
    """Make the periodic Hann window, (win_length,)."""
    angle = 2.0 * np.pi * np.arange(config.win_length) / config.win_length
    window = (0.5 - 0.5 * np.cos(angle)).astype(np.float32)
    window.flags.writeable = False
    return window


def mel_edges_hz(config: FeatureConfig) -> FloatArray:
    """Where the triangular filters begin and end: filter i spans edges i to i + 2; (n_mels + 2,) Hz."""
    edges_mel = np.linspace(_hz_to_mel(config.f_min_hz), _hz_to_mel(config.f_max_hz), config.n_mels + 2)
    return np.array([_mel_to_hz(float(mel)) for mel in edges_mel])


@lru_cache(maxsize=8)
def mel_filterbank(config: FeatureConfig) -> FloatArray:
    """Make triangular filters of peak 1 on the Slaney mel scale, (n_fft // 2 + 1, n_mels).

    Raises: ConfigError if a filter falls between two FFT bins.
    """
    edges_hz = mel_edges_hz(config)
    bins_hz = np.arange(config.n_fft // 2 + 1)[:, None] * (config.sample_rate / config.n_fft)
    low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz - low) / (centre - low)
    falling = (high - bins_hz) / (high - centre)
    bank: FloatArray = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    empty = np.flatnonzero(bank.sum(axis=0) == 0.0)
    if empty.size:
        raise ConfigError(f"n_mels is {config.n_mels}: mel filter {empty[0]} is narrower than an FFT bin")
    bank.flags.writeable = False
    return bank


def log_mel(samples: FloatArray, config: FeatureConfig) -> FloatArray:
    """Compute the features of samples (S,) in [-1, 1): (T, n_mels), T = num_frames(S)."""
    samples = _as_samples(samples)
    total = num_frames(samples.shape[0], config)
    features = np.empty((total, config.n_mels), dtype=np.float32)
    step = BLOCK_FRAMES * _BLOCKS_AT_ONCE
    for start in range(0, total, step):
        stop = min(start + step, total)
        first = start * config.hop_length
        last = (stop - 1) * config.hop_length + config.win_length
        features[start:stop] = _frames_to_log_mel(_frame(samples[first:last], config), config)
    return features


class StreamingLogMel:
    """Features of one utterance that arrives in pieces; bit-equal to `log_mel` however it is cut."""

    def __init__(self, config: FeatureConfig) -> None:
        self._config = config
        self._held = np.zeros(0, dtype=np.float32)

    def accept(self, samples: FloatArray) -> FloatArray:
        """Take samples (s,) and return the frames of the blocks that are now complete, (t, n_mels)."""
        self._held = np.concatenate([self._held, _as_samples(samples)])
        ready = num_frames(self._held.shape[0], self._config) // BLOCK_FRAMES * BLOCK_FRAMES
        if ready == 0:
            return np.empty((0, self._config.n_mels), dtype=np.float32)
        hop = self._config.hop_length
        features = log_mel(self._held[: (ready - 1) * hop + self._config.win_length], self._config)
        self._held = self._held[ready * hop :]
        return features

    def finish(self) -> FloatArray:
        """Return the frames still held, (t, n_mels) with t < BLOCK_FRAMES, and begin anew."""
        features = log_mel(self._held, self._config)
        self._held = np.zeros(0, dtype=np.float32)
        return features


def _as_samples(samples: FloatArray) -> FloatArray:
    array = np.asarray(samples)
    if array.ndim != 1 or array.dtype != np.float32:
        raise TypeError(f"samples must be float32 of shape (S,), not {array.dtype} of shape {array.shape}")
    return array


def _frame(samples: FloatArray, config: FeatureConfig) -> FloatArray:
    windows: FloatArray = np.lib.stride_tricks.sliding_window_view(samples, config.win_length)
    return windows[:: config.hop_length]


def _frames_to_log_mel(frames: FloatArray, config: FeatureConfig) -> FloatArray:
    count = frames.shape[0]
    blocks = -(-count // BLOCK_FRAMES)
    padded = np.zeros((blocks * BLOCK_FRAMES, config.n_fft), dtype=np.float32)
    np.multiply(frames, hann_window(config), out=padded[:count, : config.win_length])
    spectrum = np.fft.rfft(padded, axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    power = power.astype(np.float32, copy=False).reshape(blocks, BLOCK_FRAMES, -1)
    mel: FloatArray = np.matmul(power, mel_filterbank(config)).reshape(-1, config.n_mels)
    logs: FloatArray = np.log(mel + np.float32(config.log_offset))
    return logs[:count]


# Slaney's scale (Auditory Toolbox, 1998): linear to 1 kHz, then 27 steps for each factor of 6.4.
_MEL_BREAK_HZ = 1000.0
_HZ_PER_MEL = 200.0 / 3.0
_MEL_BREAK = _MEL_BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = float(np.log(6.4)) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _MEL_BREAK_HZ:
        return hz / _HZ_PER_MEL
    return _MEL_BREAK + float(np.log(hz / _MEL_BREAK_HZ)) / _LOG_STEP


def _mel_to_hz(mel: float) -> float:
    if mel < _MEL_BREAK:
        return mel * _HZ_PER_MEL
    return _MEL_BREAK_HZ * float(np.exp((mel - _MEL_BREAK) * _LOG_STEP))
