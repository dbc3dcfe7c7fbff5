import json

import numpy as np
import pytest

from benchmarks import tune_words
from benchmarks.tune_words import Piece, Spoken, fit, mean_wer
from tests.unit.test_benchmarks_tune import options  # noqa: F401


def piece(right: str, wrong: str, seed: int) -> Piece:
    """The right text has more of the second value, the wrong one of the first."""
    values = np.random.default_rng(seed).normal(size=(2, 5))
    values[:, :2] += [[0.0, 9.0], [9.0, 0.0]]
    return Piece((right, wrong), values, np.zeros(2))


SPOKEN = [
    Spoken("a", f"one two three {n}", (piece("one two", "one", n), piece(f"three {n}", "free", n + 50)))
    for n in range(20)
] + [Spoken("b", "four", (piece("four", "for", n + 100),)) for n in range(20)]


def test_errors_are_counted_over_all_pieces_of_a_recording() -> None:
    # By the first value: "one free" for "one two three 0", and "for" for "four".
    assert mean_wer(SPOKEN, np.array([9.0, 0, 0, 0, 0])) == {"a": 0.75, "b": 1.0}
    assert mean_wer(SPOKEN, np.array([0, 9.0, 0, 0, 0])) == {"a": 0.0, "b": 0.0}


def test_weights_move_to_fewer_errors_and_the_same_way_each_time() -> None:
    told: list[str] = []
    start = [1.0, 0.2, 0.5, -0.5, -0.5]
    weights = fit(SPOKEN, start, told.append)
    before, after = (np.mean(list(mean_wer(SPOKEN, w).values())) for w in (np.array(start), weights))
    assert before > 0.5 and after < 0.1 and len(told) == 4
    assert weights.tolist() == fit(SPOKEN, start, lambda _: None).tolist()
    # None changes its sign: what costs goes on costing.
    assert (np.sign(weights) == np.sign(start)).all()


def test_a_narrow_hole_is_left_for_lower_ground_all_around() -> None:
    # "one two" is the best text only where the first two weights are nearly equal, as they are at the start.
    values = np.array([[0.0, 0, 0, 0, 0], [1.0, -1, 0, 0, 0], [-1.0, 1, 0, 0, 0]])
    spoken = Spoken("a", "one two", (Piece(("one two", "one", ""), values, np.array([0.01, 0, 0])),))
    start = [1.0, 1.0, 1.0, 1.0, 1.0]
    weights = fit([spoken], start, lambda _: None)
    assert spoken.errors(np.array(start)) == 0 and spoken.errors(weights) == 1
    assert weights[0] > weights[1] + 0.2


def test_a_model_without_words_is_refused(options, capsys) -> None:  # noqa: F811
    assert tune_words.main([*options, "--sets", "a"]) == 2
    assert "knows no words" in capsys.readouterr().err


def test_what_was_fitted_is_shown(capsys) -> None:
    found = {"search": {"word_model": 1.5}, "before": {"a": 0.5}, "after": {"a": 0.25}}
    tune_words.show(json.loads(json.dumps(found)))
    assert capsys.readouterr().out.split() == ["a", "50.0", "->", "25.0", "%", "WER", "word_model", "1.5"]


@pytest.mark.parametrize("text", ["one", "free"])
def test_a_piece_chooses_by_all_that_speaks_for_a_text(text: str) -> None:
    others = np.array([5.0, 0.0]) if text == "one" else np.array([0.0, 5.0])
    assert Piece(("one", "free"), np.zeros((2, 5)), others).best(np.ones(5)) == text
