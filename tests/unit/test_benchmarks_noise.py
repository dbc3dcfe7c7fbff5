import numpy as np
import pytest

from benchmarks.noise import at_level, load_noises, mix, pieces
from edge_las.audio import level_dbfs
from edge_las.errors import ConfigError


@pytest.fixture
def sounds() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    speech = (0.1 * np.sin(np.arange(16000) / 7.0)).astype(np.float32)
    return speech, (0.01 * rng.standard_normal(9000)).astype(np.float32)


@pytest.mark.parametrize("snr_db", [20.0, 10.0, 5.0])
def test_mixing_gives_the_ratio_asked_for(sounds, snr_db: float) -> None:
    speech, noise = sounds
    added = mix(speech, noise, snr_db, offset=8000) - speech
    assert level_dbfs(speech) - level_dbfs(added) == pytest.approx(snr_db, abs=0.01)
    # Noise shorter than speech goes on from its beginning.
    assert np.corrcoef(added[:1000], noise[8000:])[0, 1] > 0.99
    assert np.corrcoef(added[1000:10000], noise)[0, 1] > 0.99


def test_mixing_with_silence_changes_nothing_and_loud_sound_is_clipped(sounds) -> None:
    speech, noise = sounds
    assert np.array_equal(mix(speech, np.zeros(10, np.float32), 5.0, 3), speech)
    assert np.array_equal(mix(np.zeros(10, np.float32), noise, 5.0, 3), np.zeros(10))
    assert np.abs(mix(9.0 * speech, noise, -20.0, 0)).max() == 1.0


def test_pieces_have_their_level_and_do_not_overlap(sounds) -> None:
    _, noise = sounds
    made = list(pieces({"hum": np.resize(noise, 16000 * 30)}, 16000, (-20.0, -50.0), (2.0, 5.0)))
    hum = [piece for piece in made if piece.source == "hum"]
    assert sum(piece.samples.size for piece in hum) <= 16000 * 30
    assert len(hum) == 9
    for piece in hum:
        assert level_dbfs(piece.samples) == pytest.approx(piece.level_dbfs, abs=0.1)
    silences = [piece for piece in made if piece.source == "digital_silence"]
    assert [piece.samples.size for piece in silences] == [32000, 80000]
    assert not any(piece.samples.any() for piece in silences)


def test_silence_cannot_be_brought_to_a_level() -> None:
    assert not at_level(np.zeros(100, np.float32), -20.0).any()


def test_a_folder_without_noise_is_an_error(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no noise files"):
        load_noises(tmp_path, 16000)
