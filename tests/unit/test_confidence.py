import math

import numpy as np
import pytest

from edge_las.runtime.confidence import (
    ConfidenceConfig,
    Evidence,
    WordEvidence,
    evidence_of,
    lead,
    logit,
    mean_prob,
    word_evidence,
)
from edge_las.runtime.placing import place
from edge_las.search.hypothesis import Hypothesis
from edge_las.tokens import TokenTable

TABLE = TokenTable.characters("abc")
MARK, A, B, C = (TABLE.pieces.index(piece) for piece in ("▁", "a", "b", "c"))


def ctc(frames, places):
    """CTC log probs (frames, V): blank but where places tell {frame: (token, probability)}."""
    probs = np.full((frames, len(TABLE)), 1e-6)
    probs[:, TABLE.blank_id] = 1.0
    for frame, (token, probability) in places.items():
        probs[frame, TABLE.blank_id] = 1.0 - probability
        probs[frame, token] = probability
    return np.log(probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)


def hypothesis(tokens, score=-1.0, probs=None):
    log_probs = tuple(np.log(probs or [0.5] * len(tokens)).tolist())
    return Hypothesis(tuple(tokens), score, score, log_probs, tuple(range(len(tokens))), True)


def evidence(tokens, heard, probs=None, margin=1.0):
    placed = place(hypothesis(tokens, probs=probs), heard, TABLE.blank_id, (TABLE.blank_id, MARK))
    return evidence_of(placed, margin, heard, (TABLE.blank_id, MARK))


def test_what_both_networks_agree_on_is_sure():
    heard = ctc(12, {2: (MARK, 0.9), 4: (A, 0.9), 7: (B, 0.9)})
    sure = evidence([MARK, A, B], heard, [0.9, 0.9, 0.9])
    assert (sure.spelled, sure.heard) == pytest.approx((logit(0.9), logit(0.9)), abs=1e-4)
    assert sure.unspelled == pytest.approx(0.0, abs=1e-3)
    assert sure.length == pytest.approx(math.log(2))  # the mark is no sound


def test_what_the_ctc_head_does_not_hear_and_what_is_not_spelled_shows():
    heard = ctc(12, {4: (A, 0.9), 9: (C, 0.8)})
    found = evidence([MARK, A], heard)
    assert found.heard == pytest.approx(logit(0.9), abs=1e-3)
    assert found.sounded == pytest.approx(math.log1p(0.9 + 0.8), abs=0.02)
    assert found.unspelled == pytest.approx(math.log1p(0.8), abs=1e-3)
    invented = evidence([MARK, B, B, B], heard)
    assert invented.heard < -4.0
    # Marks all through noise are no sound.
    marks = ctc(12, dict.fromkeys(range(12), (MARK, 0.9)))
    assert evidence([MARK, A], marks).unspelled == pytest.approx(0.0, abs=1e-3)


def test_evidence_is_bounded():
    found = evidence([A], ctc(4, {1: (A, 0.99999)}), [1.0], margin=math.inf)
    assert found.spelled == found.heard == pytest.approx(math.log(999))
    assert found.margin == 9.0
    assert evidence([A], ctc(4, {}), [1e-9], margin=-3.0).margin == 0.0


def test_the_lead_is_over_another_text():
    other_split = TokenTable.from_subwords(["▁a", "b", "▁ab"], [-1.0] * 3)
    first, same, other = hypothesis([6], -1.0), hypothesis([4, 5], -1.5), hypothesis([4], -4.0)

    def text(item):
        return other_split.decode(item.tokens)

    assert lead([first, same, other], text) == 3.0
    assert lead([first, same], text) == math.inf


def test_unfitted_the_spellers_own_probability_is_the_confidence():
    config = ConfidenceConfig()
    found = evidence([MARK, A], ctc(6, {2: (A, 0.3)}), [0.9, 0.4])
    assert config.text(found) == pytest.approx(math.sqrt(0.36))
    assert config.speech(found) > 0.999999
    placed = place(hypothesis([MARK, A, B], probs=[0.8, 0.2, 0.5]), ctc(6, {}), 0, (0, MARK))
    assert config.word(word_evidence(placed, 0, 2)) == pytest.approx(0.4)


def test_weights_are_those_of_their_names():
    config = ConfidenceConfig(
        speech_bias=-1.0, speech_unspelled=-2.0, speech_sounded=0.5, text_bias=0.5, text_margin=0.25,
        text_spelled=0.0, word_bias=0.0, word_spelled=0.0, word_heard=2.0,
    )  # fmt: skip
    found = Evidence(spelled=1.0, heard=2.0, unspelled=3.0, margin=4.0, length=5.0, sounded=6.0)
    assert config.speech(found) == pytest.approx(1 / (1 + math.exp(4.0)))
    assert config.text(found) == pytest.approx(1 / (1 + math.exp(-1.5)))
    assert config.word(WordEvidence(spelled=9.0, heard=-0.5)) == pytest.approx(1 / (1 + math.exp(1.0)))


def test_mean_prob():
    assert mean_prob([]) == 0.0
    assert mean_prob([math.log(0.5), math.log(0.125)]) == pytest.approx(0.25)
