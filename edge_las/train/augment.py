"""Augmentation on the training device: many speakers, rooms, microphones and kitchens out of few recordings.

Every random number comes from the generator given, so a batch is augmented alike however often it is made.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from edge_las.features import FeatureConfig, mel_edges_hz
from edge_las.train.config import AugmentConfig

# Seconds of coloured noise that are made once: making it anew for each batch took a tenth of the training.
_COLOURED_S = 320


@dataclass(frozen=True)
class Moved:
    """How augmentation moved each clip of a batch in time: sample i was at (i - lead_samples) * speed."""

    speed: Tensor  # (N,)
    lead_samples: Tensor  # (N,)


class Augmenter:
    """Augments batches of waveforms (N, S) with lengths (N,), and of features (N, T, n_mels)."""

    def __init__(self, config: AugmentConfig, noises: list[Tensor], features: FeatureConfig) -> None:
        """Take noise recordings, each (S,) float, on the device of the batches."""
        self.config, self.sample_rate = config, features.sample_rate
        self.centres_hz = torch.from_numpy(mel_edges_hz(features)[1:-1]).float()
        self.noise = torch.cat(noises) if noises else None
        self.coloured = _coloured(torch.Generator().manual_seed(0), _COLOURED_S * self.sample_rate)
        if self.noise is not None:
            self.coloured = self.coloured.to(self.noise.device)

    def waveforms(self, x: Tensor, lengths: Tensor, rng: Generator) -> tuple[Tensor, Tensor, "Moved"]:
        """Change speed, room, noise and level; also tell when what is heard was said."""
        config = self.config
        speed = _uniform(len(x), config.speed_min, config.speed_max, rng)
        x, lengths = change_speed(x, lengths, speed, rng)
        x, lengths, lead_samples = self._lead(x, lengths, rng)
        x = self._room(x, rng)
        x = (x + self._noise(x, lengths, rng)) * _valid(lengths, x.shape[1])
        peak_db = _uniform(len(x), config.gain_min_db, config.gain_max_db, rng)
        x = x * (10.0 ** (peak_db / 20.0) / x.abs().amax(dim=1).clamp(min=1e-5))[:, None]
        return x, lengths, Moved(speed, lead_samples)

    def features(self, x: Tensor, lengths: Tensor, rng: Generator) -> Tensor:
        """Colour the spectrum, mask bands and moments (SpecAugment, Park et al. 2019, arXiv:1904.08779)."""
        config = self.config
        n, frames, mels = x.shape
        padding = x
        x = self._tract(x, rng)
        x = x + self._equalizer(n, mels, rng)[:, None]
        valid = _valid(lengths, frames)[:, :, None]
        mean = (x * valid).sum(dim=(1, 2), keepdim=True) / (lengths * mels)[:, None, None].clamp(min=1)
        hidden = torch.zeros(n, frames, mels, dtype=torch.bool, device=x.device)
        for _ in range(config.freq_masks):
            hidden |= _band(torch.full_like(lengths, mels), config.freq_mask_bins, mels, rng)[:, None, :]
        longest = int(lengths.max())
        for i in range(math.ceil(config.time_masks_per_s * longest / 100)):
            # A mask for each stretch of speech that a clip has: short clips lose as little of themselves.
            has = (lengths * config.time_masks_per_s / 100 - i).clamp(0, 1)
            drawn = _rand(n, rng) < has
            width = torch.minimum(torch.full_like(lengths, config.time_mask_frames), lengths // 5)
            hidden |= (_band(lengths, width, frames, rng) & drawn[:, None])[:, :, None]
        return torch.where(valid, torch.where(hidden, mean, x), padding)

    def _lead(self, x: Tensor, lengths: Tensor, rng: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Put a pause before and after the speech."""
        most = int(self.config.lead_max_s * self.sample_rate)
        if most == 0:
            return x, lengths, torch.zeros_like(lengths)
        lead = (_rand(len(x), rng) * most).long()
        x = F.pad(x, (0, 2 * most))
        index = torch.arange(x.shape[1], device=x.device)[None] - lead[:, None]
        x = torch.where(index >= 0, x.gather(1, index.clamp(min=0)), 0.0)
        return x, lengths + lead + (_rand(len(x), rng) * most).long(), lead

    def _room(self, x: Tensor, rng: Generator) -> Tensor:
        """Convolve with exponentially decaying noise: a room's late reverberation."""
        config = self.config
        taps = int(config.room_rt60_max_s * self.sample_rate)
        if config.room_probability <= 0.0 or taps < 2:
            return x
        drawn = torch.nonzero(_rand(len(x), rng) < config.room_probability)[:, 0]
        n = len(drawn)
        if n == 0:
            return x
        rt60 = _uniform(n, 0.08, config.room_rt60_max_s, rng)[:, None]
        t = torch.arange(taps, device=x.device)[None] / self.sample_rate
        tail = torch.randn(n, taps, generator=rng, device=x.device) * torch.exp(-6.9 * t / rt60)
        ratio_db = _uniform(n, -3.0, 15.0, rng)[:, None]  # direct to reverberant
        tail[:, : int(0.002 * self.sample_rate)] = 0.0
        tail = tail / tail.square().sum(dim=1, keepdim=True).sqrt() * 10.0 ** (-ratio_db / 20.0)
        tail[:, 0] = 1.0
        size = 1 << (x.shape[1] + taps - 1).bit_length()
        wet = torch.fft.irfft(torch.fft.rfft(x[drawn], size) * torch.fft.rfft(tail, size), size)
        return x.index_put((drawn,), wet[:, : x.shape[1]])

    def _noise(self, x: Tensor, lengths: Tensor, rng: Generator) -> Tensor:
        """Make the noise to add: a recording, coloured noise, or the other talkers of the batch."""
        config, (n, size) = self.config, x.shape
        noise = _stretches(self.coloured.to(x.device), n, size, rng)
        if self.noise is not None:
            recorded = _stretches(self.noise, n, size, rng)
            noise = torch.where((_rand(n, rng) < 0.6)[:, None], recorded, noise)
        talks = _rand(n, rng) < config.babble_probability / max(config.noise_probability, 1e-6)
        noise = torch.where(talks[:, None], x.roll(1, 0) + 0.7 * x.roll(2, 0), noise)
        power = x.square().sum(dim=1) / lengths
        snr_db = _uniform(n, config.snr_min_db, config.snr_max_db, rng)
        snr_db = torch.where(talks, snr_db + 6.0, snr_db)
        wanted = (power / 10.0 ** (snr_db / 10.0)).sqrt()
        scale = wanted / noise.square().mean(dim=1).sqrt().clamp(min=1e-7)
        return noise * (scale * (_rand(n, rng) < config.noise_probability))[:, None]

    def _tract(self, x: Tensor, rng: Generator) -> Tensor:
        """Give each clip's voice another length of vocal tract: its spectrum is stretched along Hz."""
        change, (n, frames, mels) = self.config.tract_change, x.shape
        if change == 0.0:
            return x
        hz = self.centres_hz.to(x.device)
        wanted = hz[None] * _uniform(n, 1.0 - change, 1.0 + change, rng)[:, None]
        above = torch.searchsorted(hz, wanted).clamp(1, mels - 1)
        share = ((wanted - hz[above - 1]) / (hz[above] - hz[above - 1])).clamp(0.0, 1.0)[:, None]
        above = above[:, None].expand(n, frames, mels)
        return torch.lerp(x.gather(2, above - 1), x.gather(2, above), share)

    def _equalizer(self, n: int, mels: int, rng: Generator) -> Tensor:
        """Draw a smooth response of a microphone for each clip, in log power: (N, mels)."""
        config = self.config
        phase = torch.linspace(0, math.pi, mels, device=rng.device)
        waves = torch.stack([torch.cos(k * phase) for k in range(1, 5)])
        amount = config.equalizer_db / 4.34 / 3.0
        curve = (torch.randn(n, 4, generator=rng, device=rng.device) * amount) @ waves
        narrow = torch.zeros(mels, device=rng.device)
        narrow[: mels // 16] = -4.0
        narrow[int(mels * 0.77) :] = -6.0  # above 3.5 kHz
        drawn = _rand(n, rng) < config.telephone_probability
        return curve + narrow * drawn[:, None]


def change_speed(x: Tensor, lengths: Tensor, speed: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
    """Play each clip of (N, S) at its speed (N,), pitch and all, by cubic interpolation."""
    lengths = (lengths / speed).long()
    size = int(lengths.max())
    position = torch.arange(size, device=x.device)[None] * speed[:, None].double()
    base = position.long()
    t = (position - base).float()
    padded = F.pad(x, (1, 3))
    last = padded.shape[1] - 1
    a, b, c, d = (padded.gather(1, (base + k).clamp(max=last)) for k in range(4))
    out = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return out * _valid(lengths, size), lengths


def _coloured(rng: Generator, samples: int) -> Tensor:
    """Make noise that goes from white to brown: many stretches one after the other, (samples,)."""
    slopes = torch.linspace(0.0, 1.5, 16)[:, None]
    white = torch.fft.rfft(torch.randn(len(slopes), samples // len(slopes), generator=rng))
    frequency = torch.linspace(0, 1, white.shape[1]).clamp(min=1e-3)
    noise = torch.fft.irfft(white * frequency[None] ** -slopes)
    return (noise / noise.square().mean(dim=1, keepdim=True).sqrt()).flatten()


def _stretches(noise: Tensor, n: int, size: int, rng: Generator) -> Tensor:
    """Cut n random stretches out of noise (S,), which begins again at its end: (n, size)."""
    start = (_rand(n, rng) * len(noise)).long().tolist()
    ring = noise if size <= len(noise) else noise.repeat(-(-size // len(noise)))
    ring = torch.cat([ring, ring[:size]])
    return torch.stack([ring[i : i + size] for i in start])


def _valid(lengths: Tensor, size: int) -> Tensor:
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


def _rand(n: int, rng: Generator) -> Tensor:
    return torch.rand(n, generator=rng, device=rng.device)


def _uniform(n: int, low: float, high: float, rng: Generator) -> Tensor:
    return low + (high - low) * _rand(n, rng)


def _band(lengths: Tensor, widest: Tensor | int, size: int, rng: Generator) -> Tensor:
    """Draw a stretch of up to `widest` positions inside each length: (N, size), True inside."""
    width = _rand(len(lengths), rng) * widest
    start = _rand(len(lengths), rng) * (lengths - width)
    t = torch.arange(size, device=lengths.device)[None]
    return (t >= start[:, None]) & (t < (start + width)[:, None])
