import numpy as np
import pytest

from edge_las.runtime.confidence import ConfidenceConfig
from edge_las.runtime.placing import place, token_spans
from edge_las.runtime.words import words_of
from edge_las.search.hypothesis import Hypothesis
from edge_las.tokens import TokenTable

TABLE = TokenTable.from_subwords(["▁one", "▁two", "▁thr", "ee"], [-1.0] * 4)


def spikes(frames, places, blank=0):
    """CTC log probs (frames, V) that are sure of the given tokens at the given frames."""
    probs = np.full((frames, len(TABLE)), 1e-3, dtype=np.float32)
    probs[:, blank] = 1.0
    for frame, token in places.items():
        probs[frame] = 1e-3
        probs[frame, token] = 1.0
    return np.log(probs / probs.sum(axis=1, keepdims=True))


def hypothesis(tokens, frames, probs=None):
    log_probs = tuple(np.log(probs or [0.5] * len(tokens)).tolist())
    return Hypothesis(tokens, -1.0, -1.0, log_probs, frames, True)


def words(found, ctc_log_probs, duration_s):
    return words_of(place(found, ctc_log_probs, 0), TABLE, ConfidenceConfig(), 0.04, duration_s)


def test_times_follow_the_ctc_spikes_and_confidences_the_tokens():
    found = hypothesis((4, 6, 7), (0, 0, 0), [0.9, 0.8, 0.2])
    one, three = words(found, spikes(40, {5: 4, 20: 6, 24: 7}), 1.6)
    assert (one.word, three.word) == ("one", "three")
    assert (one.start_s, one.end_s) == pytest.approx((3 * 0.04, 8 * 0.04))
    assert (three.start_s, three.end_s) == pytest.approx((18 * 0.04, 27 * 0.04))
    assert one.confidence == pytest.approx(0.9)
    assert three.confidence == pytest.approx(0.4)


def test_close_words_share_the_gap_and_never_overlap():
    found = hypothesis((4, 5, 4), (0, 0, 0))
    placed = words(found, spikes(12, {1: 4, 3: 5, 11: 4}), 0.44)
    assert placed[0].start_s == pytest.approx(0.5 * 0.04)
    assert placed[0].end_s == placed[1].start_s == pytest.approx(2.5 * 0.04)
    assert placed[2].end_s == pytest.approx(0.44)  # not beyond the recording
    assert all(word.start_s <= word.end_s for word in placed)


def test_without_room_for_ctc_attention_tells_the_times_and_never_runs_back():
    found = hypothesis((4, 4, 5), (1, 0, 2))
    assert token_spans(found, spikes(3, {0: 4}), 0) == [(1, 1), (1, 1), (2, 2)]
    placed = words(found, spikes(3, {0: 4}), 0.2)
    starts = [word.start_s for word in placed]
    assert starts == sorted(starts)


def test_no_words():
    assert words(hypothesis((), ()), spikes(5, {}), 0.2) == ()
