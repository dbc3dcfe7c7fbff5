from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from edge_las.errors import ConfigError
from edge_las.features import log_mel
from export.calibration import (
    CalibrationClip,
    CalibrationConfig,
    choose,
    list_hash,
    listener_feeds,
    speller_feeds,
)
from tests.tiny_artifact import CONFIG, recordings, tiny_model


def test_only_real_training_speech_is_chosen() -> None:
    rows = recordings(40)
    synthetic = [replace(row, id=f"k{row.id}", dataset="kokoro_home") for row in rows]
    chosen = choose(rows + synthetic, CalibrationConfig(clips=100))
    assert {clip.recording.dataset for clip in chosen} == {"chirps"}
    assert {clip.recording.split for clip in chosen} == {"train"}
    assert len(chosen) == 30
    assert set(Counter(clip.manner for clip in chosen)) == {"plain", "quiet", "noisy"}
    with pytest.raises(ConfigError, match="no recording of real speech"):
        choose(synthetic, CalibrationConfig())


def test_the_hash_tells_lists_apart() -> None:
    clips = choose(recordings(), CalibrationConfig(clips=4))
    assert list_hash(clips) == list_hash(choose(recordings(), CalibrationConfig(clips=4)))
    assert list_hash(clips) != list_hash(clips[:-1])
    assert list_hash([replace(clips[0], manner="other")]) != list_hash(clips[:1])


def test_manners() -> None:
    row = recordings(1)[0]
    plain, quiet, noisy = (CalibrationClip(row, m).samples(16000) for m in ("plain", "quiet", "noisy"))
    assert len(plain) == len(quiet) == len(noisy) == 20000
    np.testing.assert_allclose(quiet, plain * 10**-1.5, atol=1e-6)
    noise = noisy - plain
    assert 10 * np.log10(np.mean(plain**2) / np.mean(noise**2)) == pytest.approx(10.0, abs=0.2)
    np.testing.assert_array_equal(noisy, CalibrationClip(row, "noisy").samples(16000))
    # It falls with frequency.
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    assert np.mean(spectrum[100:200]) > 10 * np.mean(spectrum[5000:6000])


def test_chunks_add_up_to_the_whole_utterance() -> None:
    model, _ = tiny_model()
    features = log_mel(recordings(2)[1].samples(), CONFIG.features)
    feeds, encoded = listener_feeds(model, features, 32)
    with torch.no_grad():
        whole, _ = model.listener(torch.from_numpy(features)[None], torch.tensor([len(features)]))
    np.testing.assert_allclose(encoded, whole, atol=1e-5)
    assert all(feed["features"].shape == (1, 32, 64) for feed in feeds)
    assert np.any(feeds[1]["state_3"]) and not np.any(feeds[0]["state_3"])


def test_the_speller_hears_transcript_and_own_guess() -> None:
    model, tokens = tiny_model()
    encoded = torch.randn(1, 30, CONFIG.compact.encoded_dim)
    ids = tokens.encode("one two")
    feeds = speller_feeds(model, encoded, ids)
    assert [int(feed["token"][0]) for feed in feeds] == [tokens.sos_id, *ids]
    assert feeds[0]["token"][1] == tokens.sos_id and not np.any(feeds[0]["hidden"])
    assert feeds[3]["alignment"].sum(axis=1) == pytest.approx([1.0, 1.0], abs=1e-5)
