"""Small signal tools for synthetic speech: resampling by any factor, trimming, level."""

import math

import numpy as np

BLOCK = 512
KEEP_S = 0.05
FRAME_S = 0.01
SILENCE_DB = 38.0
PEAK = 0.97


def resample(samples: np.ndarray, ratio: float) -> np.ndarray:
    """Change the number of samples by `ratio` through the spectrum (band-limited): (S,) -> (~S*ratio,)."""
    if samples.size == 0 or abs(ratio - 1.0) < 1e-4:
        return samples.astype(np.float32)
    # Sizes with small prime factors keep the transforms fast; the ratio moves by less than 0.1 %.
    padded = BLOCK * math.ceil((samples.size + BLOCK) / BLOCK)
    target = 32 * max(1, round(padded * ratio / 32))
    spectrum = np.fft.rfft(samples, padded)
    keep = min(spectrum.size, target // 2 + 1)
    moved = np.zeros(target // 2 + 1, dtype=spectrum.dtype)
    moved[:keep] = spectrum[:keep]
    out = np.fft.irfft(moved, target) * (target / padded)
    return out[: round(samples.size * ratio)].astype(np.float32)


def trim(samples: np.ndarray, sample_rate: int, keep_s: float = KEEP_S) -> np.ndarray:
    """Cut silence at both ends down to `keep_s`; nothing is left of a clip that is silent throughout."""
    frame = round(FRAME_S * sample_rate)
    count = samples.size // frame
    if count == 0:
        return samples[:0]
    power = np.mean(samples[: count * frame].reshape(count, frame) ** 2, axis=1)
    loud = np.flatnonzero(power > max(power.max() * 10 ** (-SILENCE_DB / 10), 1e-9))
    if loud.size == 0:
        return samples[:0]
    keep = round(keep_s * sample_rate)
    start = max(0, loud[0] * frame - keep)
    return samples[start : (loud[-1] + 1) * frame + keep]


def condition(samples: np.ndarray, sample_rate: int, level_dbfs: float) -> np.ndarray:
    """Remove the offset, trim, and set the level (RMS) without clipping."""
    if samples.size == 0 or not np.isfinite(samples).all():
        return np.zeros(0, dtype=np.float32)
    speech = trim(samples - samples.mean(), sample_rate)
    rms = float(np.sqrt(np.mean(speech**2))) if speech.size else 0.0
    if rms == 0.0:
        return np.zeros(0, dtype=np.float32)
    gain = min(10 ** (level_dbfs / 20) / rms, PEAK / float(np.abs(speech).max()))
    return (speech * gain).astype(np.float32)
