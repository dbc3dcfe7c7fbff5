"""Augmentation: the same from the same generator, in bounds, and never over a clip's end."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from edge_las.features import FeatureConfig, mel_edges_hz
from edge_las.train.augment import Augmenter, change_speed
from edge_las.train.config import AugmentConfig

RATE = 16000
PLAIN = {
    "speed_min": 1.0, "speed_max": 1.0, "room_probability": 0.0, "noise_probability": 0.0,
    "babble_probability": 0.0, "lead_max_s": 0.0,
}  # fmt: skip


def rng(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tone(hertz: float, samples: int) -> Tensor:
    return torch.sin(2 * math.pi * hertz / RATE * torch.arange(samples))


def waves() -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([16000, 9000, 12345, 4000])
    x = torch.zeros(4, 16000)
    for row, length in enumerate(lengths.tolist()):
        x[row, :length] = 0.5 * tone(200.0 * (row + 1), length)
    return x, lengths


def augmenter(noise: bool = True, **changed: float) -> Augmenter:
    noises = [torch.randn(5000, generator=rng(5))] if noise else []
    return Augmenter(AugmentConfig(**changed), noises, FeatureConfig(sample_rate=RATE))


def test_the_generator_decides_all() -> None:
    made = [augmenter().waveforms(*waves(), rng(seed)) for seed in (3, 3, 4)]
    assert torch.equal(made[0][0], made[1][0]) and torch.equal(made[0][1], made[1][1])
    assert not torch.equal(made[0][1], made[2][1])
    features, lengths = torch.randn(4, 90, 64), torch.tensor([90, 40, 70, 11])
    coloured = [augmenter().features(features, lengths, rng(seed)) for seed in (3, 3, 4)]
    assert torch.equal(coloured[0], coloured[1])
    assert not torch.equal(coloured[0], coloured[2])


@pytest.mark.parametrize("noise", [True, False])
def test_padding_stays_silent_and_levels_stay_in_bounds(noise: bool) -> None:
    x, lengths = waves()
    for seed in range(5):
        y, after, _ = augmenter(noise, room_probability=1.0, noise_probability=1.0).waveforms(
            x, lengths, rng(seed)
        )
        assert y.shape[1] >= int(after.max()) and torch.isfinite(y).all()
        assert (after >= lengths / 1.16).all() and (after <= lengths / 0.84 + 0.8 * RATE + 1).all()
        for row, length in enumerate(after.tolist()):
            assert not y[row, length:].any()
        peaks_db = 20 * torch.log10(y.abs().amax(dim=1))
        assert (peaks_db >= -36.01).all() and (peaks_db <= -0.99).all()


def test_without_augmentation_only_the_level_changes() -> None:
    x, lengths = waves()
    y, after, _ = augmenter(**PLAIN).waveforms(x, lengths, rng())
    assert torch.equal(after, lengths)
    ratio = y.abs().amax(dim=1) / x.abs().amax(dim=1)
    torch.testing.assert_close(y, x * ratio[:, None], atol=1e-6, rtol=1e-5)


def test_speed_moves_pitch_and_length_alike() -> None:
    speeds = torch.tensor([0.85, 1.0, 1.15])
    x = tone(1000.0, RATE).repeat(3, 1)
    y, lengths = change_speed(x, torch.full((3,), RATE), speeds, rng())
    for row, speed in enumerate(speeds.tolist()):
        length = int(lengths[row])
        assert length == pytest.approx(RATE / speed, abs=1)
        spectrum = np.abs(np.fft.rfft(y[row, :length].numpy() * np.hanning(length)))
        assert spectrum.argmax() * RATE / length == pytest.approx(1000.0 * speed, abs=2.0)
        expected = tone(1000.0 * speed, length)
        torch.testing.assert_close(y[row, 10 : length - 10], expected[10:-10], atol=0.01, rtol=0)


@pytest.mark.parametrize("snr_db", [3.0, 20.0])
def test_noise_has_the_ratio_that_was_asked_for(snr_db: float) -> None:
    x, lengths = waves()
    settings = {**PLAIN, "noise_probability": 1.0, "snr_min_db": snr_db, "snr_max_db": snr_db}
    y, _, _ = augmenter(**settings).waveforms(x, lengths, rng())
    length = int(lengths[0])
    clean, noisy = x[0, :length], y[0, :length]
    gain = (clean @ noisy) / (clean @ clean)
    noise = noisy - gain * clean
    measured_db = 10 * math.log10(float((gain * clean).square().sum() / noise.square().sum()))
    assert measured_db == pytest.approx(snr_db, abs=1.5)


def test_rooms_let_a_click_ring() -> None:
    x = torch.zeros(1, 8000)
    x[0, 1000] = 0.5
    y, _, _ = augmenter(**{**PLAIN, "room_probability": 1.0}).waveforms(x, torch.tensor([8000]), rng())
    assert int(y[0].abs().argmax()) == 1000
    assert not y[0, :900].abs().max() > 1e-6 and y[0, 1100:2000].abs().max() > 0


def test_silence_and_a_batch_of_one_stay_finite() -> None:
    y, _, _ = augmenter(noise_probability=1.0, room_probability=1.0).waveforms(
        torch.zeros(1, 4000), torch.tensor([4000]), rng()
    )
    assert torch.isfinite(y).all()


def test_masks_stay_inside_a_clip_and_leave_most_of_it() -> None:
    x, lengths = torch.randn(6, 200, 64), torch.tensor([200, 100, 60, 40, 30, 150])
    plain = augmenter(equalizer_db=0.0, telephone_probability=0.0)
    y = plain.features(x, lengths, rng())
    changed = (y != x).float()
    for row, length in enumerate(lengths.tolist()):
        assert not changed[row, length:].any()
        assert float(changed[row, :length].mean()) < 0.8
    assert changed.any()


def test_a_clip_is_masked_alike_however_it_is_padded() -> None:
    x, lengths = torch.randn(2, 50, 64), torch.tensor([50, 30])
    longer = torch.cat([x, torch.randn(2, 33, 64)], dim=1)
    longer[1, 30:] = 7.0
    a = augmenter().features(x, lengths, rng())
    b = augmenter().features(longer, lengths, rng())
    torch.testing.assert_close(a[0], b[0, :50])
    torch.testing.assert_close(a[1, :30], b[1, :30])


def test_a_longer_tract_moves_formants_down_and_nothing_else() -> None:
    config = FeatureConfig()
    hz = torch.from_numpy(mel_edges_hz(config)[1:-1])
    bump = torch.exp(-((hz - 1500.0) / 200.0).square()).float().repeat(64, 5, 1)
    still = {"equalizer_db": 0.0, "telephone_probability": 0.0, "freq_masks": 0, "time_masks_per_s": 0.0}
    lengths = torch.full((64,), 5)
    moved = augmenter(tract_change=0.1, **still).features(bump, lengths, rng())
    peaks = hz[moved[:, 2].argmax(dim=1)]
    assert peaks.min() < 1420.0 and peaks.max() > 1580.0
    assert (peaks > 1500.0 / 1.12).all() and (peaks < 1500.0 / 0.88).all()
    assert torch.equal(moved[:, 0], moved[:, 4])
    assert torch.equal(augmenter(**still).features(bump, lengths, rng()), bump)
