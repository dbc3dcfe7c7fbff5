"""The gate's judgement in words: damage is refused, other guesses are not."""

import numpy as np
import pytest

from export.comparison import EVERYTHING, allowed, as_numbers, compare, compare_engines, table_lines
from export.decoding import Decoded, Spoken, read_dev
from export.parity import ParityConfig, ParityError
from tests.tiny_artifact import recordings

CONFIG = ParityConfig()
SAMPLES = np.zeros(1, dtype=np.float32)


def spoken(count: int, dataset: str = "words") -> list[Spoken]:
    return [Spoken(dataset, "seven", SAMPLES)] * count


def heard(label: str, texts: list[str], confidence: float = 0.9) -> Decoded:
    return Decoded(label, texts, [confidence] * len(texts))


def changed(texts: list[str], wrong: range, text: str = "eleven") -> list[str]:
    return [text if number in wrong else before for number, before in enumerate(texts)]


def test_the_same_texts_pass() -> None:
    said = [*spoken(3), *spoken(2, "digits")]
    form = heard("int8", ["seven", "seven", "nine", "seven", ""])
    tables = as_numbers(compare(heard("float", form.texts), form, said, CONFIG))
    assert list(tables) == ["digits", "words", EVERYTHING]
    assert tables["words"] == {
        "recordings": 3, "wer_float": 0.3333, "wer": 0.3333, "wer_allowed": 0.003,
        "sure": 2, "sure_errors": 0.0, "sure_allowed": 0.01,
    }  # fmt: skip
    assert table_lines(tables)[2].startswith(
        "all: 5 clips, WER 40.00%, float 40.00%: +0.00% of 0.30% allowed"
    )


def test_a_higher_error_rate_is_refused_where_it_is_no_chance() -> None:
    """Eight more wrong words of a hundred are none; four wrong ones in the place of three others are."""
    right = ["seven"] * 100
    unsure = heard("float", changed(right, range(0, 3)), confidence=0.2)
    with pytest.raises(ParityError, match=r"WER is 11\.00%, float's is 3\.00%: allowed are [67]"):
        compare(unsure, heard("int8", changed(right, range(0, 11))), spoken(100), CONFIG)
    found = compare(unsure, heard("int8", changed(right, range(3, 7))), spoken(100), CONFIG)
    assert found["words"].wer - found["words"].wer_float == pytest.approx(0.01)


def test_the_bar_holds_where_a_set_is_large_enough() -> None:
    right = ["seven"] * 4000
    unsure = heard("float", right, confidence=0.2)
    fine = compare(unsure, heard("int8", changed(right, range(0, 10))), spoken(4000), CONFIG)
    assert fine["words"].wer_allowed == CONFIG.max_wer_increase
    with pytest.raises(ParityError, match="allowed are 0.30% more"):
        compare(unsure, heard("int8", changed(right, range(0, 16))), spoken(4000), CONFIG)


def test_one_recording_of_a_small_set_may_be_another() -> None:
    right = ["seven"] * 14
    found = compare(heard("float", right), heard("int8", changed(right, range(1))), spoken(14), CONFIG)
    assert 0.07 < found["words"].wer < found["words"].wer_allowed
    assert 0.0 < found["words"].sure_errors < found["words"].sure_allowed


def test_harm_to_what_is_surely_right_is_refused_whatever_the_error_rate() -> None:
    """As many guesses come right as sure texts go wrong."""
    before = heard("float", ["seven"] * 60 + ["eleven"] * 60)
    after = heard("int8", changed(before.texts, range(0, 15)))
    after.texts[60:75] = ["seven"] * 15
    with pytest.raises(
        ParityError, match=r"int8: words: \d+\.\d+% of the characters change in 60 recordings"
    ):
        compare(before, after, spoken(120), CONFIG)


def test_other_guesses_are_no_harm() -> None:
    texts = [f"guess {number}" for number in range(50)]
    found = compare(heard("float", texts), heard("int8", texts[::-1]), spoken(50), CONFIG)
    assert (found["words"].sure, found["words"].wer) == (0, found["words"].wer_float)


def test_engines_must_agree_on_what_is_sure() -> None:
    said = spoken(100)
    floats = heard("float", ["seven"] * 60 + ["guess"] * 40)
    one = heard("onnx int8", floats.texts)
    other = heard("tflite int8", changed(floats.texts, range(60, 100), "seventh"))
    found = compare_engines(floats, [one, other], said, CONFIG)
    assert found == {"tflite int8": {"equal_texts_onnx_int8": 0.6, "equal_sure_texts_onnx_int8": 1.0}}
    other.texts[:20] = ["eleven"] * 20
    with pytest.raises(ParityError, match=r"tflite int8: 66\.7% of the texts equal those of onnx int8 where"):
        compare_engines(floats, [one, other], said, CONFIG)


def test_chance_is_what_a_paired_bootstrap_finds() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 12, size=300).astype(np.float64)
    errors = rng.binomial(2, 0.1, size=300) * sizes - rng.binomial(2, 0.1, size=300)
    draws = rng.integers(0, 300, size=(2000, 300))
    spread = np.std(errors[draws].sum(axis=1) / sizes[draws].sum(axis=1))
    assert allowed(errors, sizes, 0.0) == pytest.approx(2.6 * spread, rel=0.1)
    assert allowed(errors[:1], sizes[:1], 0.0) == 1.0


def test_dev_recordings_are_read_up_to_a_length_of_each_set() -> None:
    made = recordings(24)
    seconds = [len(clip.samples) / 16000 for clip in read_dev(made, 4, 16000 * 600)]
    assert len(seconds) == 4  # of six in split dev
    few = read_dev(made, 4, int(16000 * (seconds[0] + seconds[1] - 0.1)))
    assert [clip.dataset for clip in few] == ["chirps", "chirps"]
