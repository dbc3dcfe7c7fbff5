import numpy as np
import pytest

from benchmarks.scoring import (
    edit_distance,
    examples,
    is_digits,
    is_spelled,
    percentile,
    score_set,
    snapper,
)


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("left", "felt", 2), ("stop", "stop", 0)],
)
def test_edit_distance(a: str, b: str, distance: int) -> None:
    assert edit_distance(a, b) == edit_distance(b, a) == distance


def test_the_nearest_word_wins_and_nothing_stays_nothing() -> None:
    snap = snapper(["yes", "no", "happy", "stop", "up"])
    assert [snap(text) for text in ("hapy", "nno", "the stop", "", "yes")] == [
        "happy",
        "no",
        "stop",
        "",
        "yes",
    ]
    # Equally near: the first by alphabet, whatever the order of the list.
    assert snapper(["bed", "bad"])("bid") == snapper(["bad", "bed"])("bid") == "bad"


def test_single_words_are_scored_raw_and_snapped() -> None:
    scores = score_set("speech_commands", ["yes", "no", "stop"], ["yes", "nno", ""], ["yes", "no", "stop"])
    assert scores["accuracy"] == pytest.approx(1 / 3, abs=1e-4)
    assert scores["snapped_accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert (scores["wer"], scores["empty"]) == (
        pytest.approx(2 / 3, abs=1e-4),
        pytest.approx(1 / 3, abs=1e-4),
    )


def test_digit_and_letter_strings_have_figures_of_their_own() -> None:
    said = ["one two three four", "e l i s e", "my house"]
    scores = score_set("alphanumeric", said, ["one two three", "e l i s e", "mouse"])
    assert (scores["digits_utterances"], scores["digits_wer"]) == (1, 0.25)
    assert (scores["spelled_utterances"], scores["spelled_wer"]) == (1, 0.0)
    assert "snapped_accuracy" not in scores
    assert "digits_wer" not in score_set("librispeech", said, said)


def test_kinds_of_text() -> None:
    assert is_digits("nine oh five") and not is_digits("nine men") and not is_digits("")
    assert is_spelled("s a m") and not is_spelled("a") and not is_spelled("a man")


def test_percentile_is_the_nearest_rank() -> None:
    values = np.arange(1.0, 101.0).tolist()[::-1]
    assert (percentile(values, 50), percentile(values, 95), percentile(values, 100)) == (50.0, 95.0, 100.0)
    assert percentile([3.0], 50) == 3.0


def test_examples_are_wrong_pairs_spread_over_all() -> None:
    said = [f"word {i}" for i in range(10)]
    heard = [text if i < 4 else "other" for i, text in enumerate(said)]
    assert [pair["reference"] for pair in examples(said, heard, 3)] == ["word 5", "word 7", "word 9"]
    assert examples(said, said) == []
