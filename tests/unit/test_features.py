import numpy as np
import pytest

from edge_las.errors import ConfigError
from edge_las.features import (
    BLOCK_FRAMES,
    FeatureConfig,
    StreamingLogMel,
    hann_window,
    log_mel,
    mel_filterbank,
    num_frames,
)

CONFIG = FeatureConfig()


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(num_samples) * 0.1).astype(np.float32)


def stream(samples: np.ndarray, sizes: list[int], config: FeatureConfig = CONFIG) -> np.ndarray:
    streaming = StreamingLogMel(config)
    pieces, start = [], 0
    for size in sizes:
        pieces.append(streaming.accept(samples[start : start + size]))
        start += size
    pieces += [streaming.accept(samples[start:]), streaming.finish()]
    return np.concatenate(pieces)


def naive_log_mel(samples: np.ndarray, config: FeatureConfig) -> np.ndarray:
    frames = []
    for i in range(num_frames(len(samples), config)):
        frame = samples[i * config.hop_length :][: config.win_length].astype(np.float64)
        n = np.arange(config.win_length)
        windowed = frame * (0.5 - 0.5 * np.cos(2 * np.pi * n / config.win_length))
        bins = np.arange(config.n_fft // 2 + 1)
        dft = np.exp(-2j * np.pi * np.outer(bins, n) / config.n_fft) @ windowed
        frames.append(np.log(np.abs(dft) ** 2 @ mel_filterbank(config) + config.log_offset))
    return np.array(frames)


@pytest.mark.parametrize("samples, frames", [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16000, 98)])
def test_num_frames_counts_whole_frames_only(samples: int, frames: int) -> None:
    assert num_frames(samples, CONFIG) == frames
    assert log_mel(noise(samples), CONFIG).shape == (frames, CONFIG.n_mels)


def test_log_mel_equals_the_definition_written_out() -> None:
    samples = noise(4000)
    features = log_mel(samples, CONFIG)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, naive_log_mel(samples, CONFIG), atol=2e-4)


@pytest.mark.parametrize("config", [CONFIG, FeatureConfig(n_mels=40), FeatureConfig(hop_length=200)])
def test_streams_are_bit_equal_to_whole_files_however_cut(config: FeatureConfig) -> None:
    rng = np.random.default_rng(1)
    for trial in range(30):
        samples = noise(int(rng.integers(0, 40000)), seed=trial)
        sizes = rng.integers(0, int(rng.choice([2, 50, 700, 9000])), size=200).tolist()
        assert stream(samples, sizes, config).tobytes() == log_mel(samples, config).tobytes()


def test_a_long_file_equals_its_stream() -> None:
    samples = noise(16000 * 12)  # more frames than are computed in one go
    assert stream(samples, [1600] * 200).tobytes() == log_mel(samples, CONFIG).tobytes()


def test_a_stream_gives_whole_blocks_early_and_starts_anew_after_its_end() -> None:
    streaming = StreamingLogMel(CONFIG)
    first = streaming.accept(noise(CONFIG.win_length + 7 * CONFIG.hop_length))
    assert first.shape == (BLOCK_FRAMES, CONFIG.n_mels)
    assert streaming.finish().shape == (0, CONFIG.n_mels)
    again = streaming.accept(noise(CONFIG.win_length + 7 * CONFIG.hop_length))
    assert again.tobytes() == first.tobytes()


def test_digital_silence_gives_the_offset() -> None:
    features = log_mel(np.zeros(1600, dtype=np.float32), CONFIG)
    np.testing.assert_allclose(features, np.log(CONFIG.log_offset), rtol=1e-6)


def test_a_tone_lands_in_its_own_filter() -> None:
    time_s = np.arange(8000) / CONFIG.sample_rate
    edges = np.flatnonzero(mel_filterbank(CONFIG)[32] > 0)  # bin 32 is 1000 Hz
    tone = (0.5 * np.sin(2 * np.pi * 1000.0 * time_s)).astype(np.float32)
    assert int(log_mel(tone, CONFIG)[10].argmax()) in edges


def test_hann_window_is_periodic() -> None:
    window = hann_window(CONFIG)
    assert window.shape == (400,) and window.dtype == np.float32
    assert window[0] == 0.0 and window[200] == 1.0
    np.testing.assert_allclose(window[1:], window[:0:-1], atol=1e-7)


def test_mel_filters_are_overlapping_triangles_below_a_peak_of_one() -> None:
    bank = mel_filterbank(CONFIG)
    assert bank.shape == (257, 64) and bank.dtype == np.float32
    assert bank.min() >= 0.0 and bank.max(axis=0).min() > 0.3 and bank.max() <= 1.0
    hz = np.arange(257) * 31.25
    assert bank[(hz <= 60.0) | (hz >= 7600.0)].sum() == 0.0
    inner = bank[(hz > 200.0) & (hz < 7000.0)].sum(axis=1)
    np.testing.assert_allclose(inner, 1.0, atol=1e-5)  # each triangle falls as the next one rises
    assert (np.diff(bank.argmax(axis=0)) >= 0).all()


def test_shared_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError):
        mel_filterbank(CONFIG)[0, 0] = 1.0
    with pytest.raises(ValueError):
        hann_window(CONFIG)[0] = 1.0


@pytest.mark.parametrize(
    "setting, named",
    [
        ({"n_mels": 0}, "n_mels"),
        ({"hop_length": 0}, "hop_length"),
        ({"win_length": 600}, "win_length"),
        ({"f_max_hz": 9000.0}, "f_max_hz"),
        ({"f_min_hz": 8000.0}, "f_min_hz"),
        ({"log_offset": 0.0}, "log_offset"),
        ({"log_offset": float("nan")}, "log_offset"),
    ],
)
def test_impossible_settings_are_refused_by_name(setting: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        FeatureConfig(**setting)


def test_filters_narrower_than_a_bin_are_refused() -> None:
    with pytest.raises(ConfigError, match="n_mels is 200"):
        mel_filterbank(FeatureConfig(n_mels=200))


@pytest.mark.parametrize("samples", [np.zeros(800), np.zeros((800, 2), np.float32), np.zeros(800, np.int16)])
def test_other_arrays_are_refused(samples: np.ndarray) -> None:
    with pytest.raises(TypeError, match="float32"):
        log_mel(samples, CONFIG)
    with pytest.raises(TypeError, match="float32"):
        StreamingLogMel(CONFIG).accept(samples)
