import math

import numpy as np
import pytest

from edge_las.grammar import phrases_grammar
from edge_las.runtime.constraint import Constraint, alphabet_of, loss_of
from edge_las.search.config import ConstraintConfig
from edge_las.search.hypothesis import Hypothesis
from edge_las.search.rescoring import ctc_sums
from edge_las.tokens import TokenTable

TABLE = TokenTable.characters("ab")
A, B = TABLE.pieces.index("a"), TABLE.pieces.index("b")


def ctc(frames):
    """CTC log probs (T, V) that hear these tokens, 98 times likelier than any other."""
    said = np.array(frames)[:, None] == np.arange(len(TABLE))
    return np.log(np.where(said, 0.98, 0.01)).astype(np.float32)


def hypothesis(text, log_prob=0.0, finished=True):
    tokens = tuple(TABLE.encode(text))
    return Hypothesis(tokens, -1.0, log_prob, (0.0,) * len(tokens), tuple(range(len(tokens))), finished)


def judged(log_probs, *ids, log_prob=0.0):
    """A hypothesis as `rescore` gives it."""
    heard = float(ctc_sums(log_probs, [ids], 0)[0])
    return Hypothesis(ids, 0.0, log_prob, (0.0,) * len(ids), ids, True, heard)


def test_blanks_count_less_where_sentences_are_sought():
    grammar = phrases_grammar(["a"], alphabet_of(TABLE), "en", "phrases")
    heard = ctc([0, A])
    assert Constraint(grammar, TABLE, ConstraintConfig(grammar_blank_penalty=0.0)).sought_in(heard) is heard
    before = heard.copy()
    sought = Constraint(grammar, TABLE, ConstraintConfig(grammar_blank_penalty=2.0)).sought_in(heard)
    assert np.array_equal(heard, before)
    assert np.exp(sought).sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    odds = (sought[:, A] - sought[:, 0]) - (heard[:, A] - heard[:, 0])
    assert odds == pytest.approx(2.0, abs=1e-4)
    assert sought[:, A] - sought[:, B] == pytest.approx(heard[:, A] - heard[:, B], abs=1e-4)


def test_a_short_text_pays_for_all_of_long_speech():
    log_probs = ctc([A, 0, B, 0, A, 0, B, 0, A, 0])
    right, short = (loss_of(judged(log_probs, *ids), log_probs) for ids in ((A, B, A, B, A), (A,)))
    assert abs(right) < 0.05
    # Four letters go unexplained, each log(0.98 / 0.01); five tokens share that: one, and four to spare.
    assert short == pytest.approx(4 * np.log(98) / 5, rel=0.1)


def test_what_the_speller_doubts_is_a_loss_too():
    log_probs = ctc([A, 0, B])
    sure, unsure = (
        loss_of(judged(log_probs, A, B, log_prob=log_prob), log_probs) for log_prob in (-0.1, -5.1)
    )
    assert unsure - sure == pytest.approx(5.0 / 6)


def test_only_sentences_are_kept_and_the_first_has_a_meaning():
    grammar = phrases_grammar(["ab", "ba"], alphabet_of(TABLE), "en")
    constraint = Constraint(grammar, TABLE, ConstraintConfig())
    log_probs = ctc([TABLE.encode("ba")[0], B, A])
    right = judged(log_probs, *TABLE.encode("ba"))
    found = [hypothesis("ab", finished=False), hypothesis("aa"), right, hypothesis("ab")]
    kept = constraint.keep(found, log_probs)
    assert kept.kept == found[2:]
    assert kept.intent == {"intent": "phrase", "slots": {"phrase": "ba"}}
    assert kept.loss == loss_of(right, log_probs) < 1.0
    nothing = constraint.keep(found[:2], log_probs)
    assert (nothing.kept, nothing.intent, nothing.loss) == ([], None, math.inf)
    assert constraint.outside("aa", math.inf)["loss"] is None


def test_only_a_soft_grammar_joins_other_searches():
    grammar = phrases_grammar(["ab"], alphabet_of(TABLE), "en")
    strict, soft = (Constraint(grammar, TABLE, ConstraintConfig(mode=mode)) for mode in ("strict", "soft"))
    assert strict.is_strict and strict.scorers == ()
    assert not soft.is_strict and len(soft.scorers) == 1
