import numpy as np
import pytest

from edge_las.channels import ChannelMixer, FloatArray


def noise(seed: int, level: float = 0.1) -> FloatArray:
    return np.random.default_rng(seed).normal(0.0, level, 8000).astype(np.float32)


def mixed(*channels: FloatArray, size: int = 800) -> FloatArray:
    samples = np.stack(channels, axis=1)
    mixer = ChannelMixer(len(channels))
    return np.concatenate(
        [mixer.accept(samples[start : start + size]) for start in range(0, len(samples), size)]
    )


def mixer_of(*channels: FloatArray) -> ChannelMixer:
    mixer = ChannelMixer(len(channels))
    mixer.accept(np.stack(channels, axis=1))
    return mixer


@pytest.mark.parametrize("other", [noise(1), noise(2), -0.5 * noise(1), noise(2, 1e-5)])
def test_channels_are_averaged(other: FloatArray) -> None:
    assert np.allclose(mixed(noise(1), other), (noise(1) + other) / 2, atol=1e-7)


@pytest.mark.parametrize("size", [160, 8000])
def test_of_channels_that_cancel_out_one_is_taken(size: int) -> None:
    left, hiss = noise(1), noise(3, 1e-3)
    assert np.array_equal(mixed(left, hiss - 1.05 * left, size=size), left)
    assert not mixer_of(left, hiss).takes_one and mixer_of(left, -left).takes_one
    silence = np.zeros_like(left)
    assert np.array_equal(mixed(silence, left, -left, size=size), left)


def test_one_channel_and_silence_stay_what_they_are() -> None:
    left = noise(1)
    assert np.array_equal(mixed(left), left)
    assert not mixed(np.zeros_like(left), np.zeros_like(left)).any()
    assert ChannelMixer(2).accept(np.zeros((0, 2), np.float32)).shape == (0,)
