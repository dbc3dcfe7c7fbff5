import math

import pytest

from edge_las.errors import ConfigError
from edge_las.metrics import accuracy, cer, measure, wer


def test_errors_are_counted_over_the_corpus() -> None:
    references = ["turn on the light", "yes", "no"]
    hypotheses = ["turn of light", "yes", "no no"]
    report = measure(references, hypotheses)
    assert (report.words.substitutions, report.words.deletions, report.words.insertions) == (1, 1, 1)
    assert report.words.reference_length == 6
    assert report.wer == wer(references, hypotheses) == pytest.approx(3 / 6)
    assert report.accuracy == accuracy(references, hypotheses) == pytest.approx(1 / 3)
    assert report.utterances == 3 and report.exact == 1
    assert report.to_dict() == {
        "utterances": 3,
        "words": 6,
        "wer": 0.5,
        "cer": round(report.cer, 4),
        "accuracy": 0.3333,
        "substitutions": 1,
        "deletions": 1,
        "insertions": 1,
    }


def test_characters_are_counted_with_spaces() -> None:
    assert cer(["a bc"], ["a bd"]) == pytest.approx(1 / 4)
    assert cer(["a  bc "], ["a bc"]) == 0.0


def test_empty_references_count_as_insertions() -> None:
    assert wer(["", "yes no"], ["uh huh", "yes no"]) == pytest.approx(2 / 2)
    assert wer([""], [""]) == 0.0
    assert math.isinf(wer([""], ["uh"]))
    assert wer(["yes"], [""]) == cer(["yes"], [""]) == 1.0


@pytest.mark.parametrize("references, hypotheses", [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_unpaired_or_no_texts_are_refused(references: list[str], hypotheses: list[str]) -> None:
    for function in (measure, wer, cer, accuracy):
        with pytest.raises(ConfigError, match="cannot be compared"):
            function(references, hypotheses)


def test_a_text_is_not_taken_for_a_list() -> None:
    with pytest.raises(TypeError):
        wer("yes", "yes")
