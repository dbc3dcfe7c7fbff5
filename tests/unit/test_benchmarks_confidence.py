from dataclasses import replace

import numpy as np
import pytest

from benchmarks import confidence
from benchmarks.confidence import calibrate, fit_gates, refused
from benchmarks.listening import Answer
from benchmarks.logistic import (
    cross_validated,
    expected_calibration_error,
    fit,
    predict,
    rejection_curve,
    reliability,
)
from benchmarks.scoring import right_words
from edge_las.artifact import load_manifest
from edge_las.errors import ConfigError
from edge_las.runtime.confidence import Evidence, WordEvidence
from edge_las.runtime.recognizer import Recognizer
from tests.runtime.test_cli import write_wav
from tests.runtime.tiny_onnx import write_artifact


def drawn(count=4000, seed=0):
    """Inputs (N, 2) and truths by a known model: logistic(-1 + 2 x)."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, 2)) * (1.0, 30.0)
    return inputs, rng.random(count) < 1 / (1 + np.exp(1.0 - 2.0 * inputs[:, 0]))


def test_a_known_model_is_found_again_and_its_probabilities_hold():
    inputs, truths = drawn()
    bias, weight, nothing = fit(inputs, truths)
    assert (bias, weight) == pytest.approx((-1.0, 2.0), abs=0.15)
    assert abs(nothing) < 0.005
    fresh_inputs, fresh_truths = drawn(seed=1)
    curve = reliability(predict(fit(inputs, truths), fresh_inputs), fresh_truths)
    assert sum(row["count"] for row in curve) == len(fresh_truths)
    assert expected_calibration_error(curve) < 0.03
    assert expected_calibration_error(reliability(cross_validated(inputs, truths), truths)) < 0.03


def test_a_perfect_divide_does_not_run_away():
    inputs = np.array([[-1.0], [-0.5], [0.5], [1.0]])
    weights = fit(inputs, inputs[:, 0] > 0)
    assert np.isfinite(weights).all()
    assert (predict(weights, inputs) > 0.5).tolist() == [False, False, True, True]


def test_what_is_overconfident_shows():
    curve = reliability(np.full(100, 0.95), np.arange(100) < 50)
    assert curve == [{"from": 0.9, "count": 100, "predicted": 0.95, "true": 0.5}]
    assert expected_calibration_error(curve) == pytest.approx(0.45)


def test_rejection_trades_wrong_accepts_for_right_rejects():
    curve = rejection_curve(np.array([0.1, 0.3, 0.7, 0.9]), np.array([False, True, False, True]))
    rates = {row["threshold"]: (row["false_accepts"], row["false_rejects"]) for row in curve}
    assert (rates[0.0], rates[0.5], rates[0.8]) == ((1.0, 0.0), (0.5, 0.5), (0.0, 0.5))


def answers(count, said, sure, ctc_tokens=3.0):
    """Texts that are right if anything was said; `sure` moves all evidence."""
    rng = np.random.default_rng(count)
    made = []
    for value in rng.normal(sure, 1.0, count).tolist():
        evidence = Evidence(spelled=value, heard=value, unspelled=0.1, margin=3.0, length=1.0, sounded=1.4)
        made.append(Answer("clips", said, "yes", ctc_tokens, -20.0, evidence, ()))
    return made


def test_gates_keep_noise_back_and_no_more_speech_than_allowed():
    speech, noise = answers(400, "yes", 3.0), answers(200, "", -3.0)
    settings = fit_gates(speech, noise, most_lost=0.02)
    assert settings["gate_min_ctc_tokens"] == 1.5
    assert all(refused(noise, settings))
    assert sum(refused(speech, settings)) <= 8
    # Noise that can't be told from speech is let through rather than speech lost.
    alike = answers(200, "", 3.0)
    settings = fit_gates(speech, alike, most_lost=0.02)
    assert sum(refused(speech, settings)) <= 8 and not all(refused(alike, settings))
    # And what the CTC head hears next to nothing of needs no spelling.
    assert all(refused(answers(10, "", 9.0, ctc_tokens=0.9), settings))


def name(said, heard, unspelled):
    """A spelled name: much is heard of which much is not spelled, which makes a text doubtful."""
    evidence = Evidence(spelled=-1.0, heard=0.5, unspelled=unspelled, margin=0.5, length=2.5, sounded=3.2)
    return Answer("names", said, heard, 24.0, -20.0, evidence, ())


def test_a_few_texts_that_are_mostly_right_are_worth_as_much_as_many_words():
    rng = np.random.default_rng(0)
    words = answers(1200, "yes", 3.0)
    names = [name("a r j u n", "e r j you n", value) for value in rng.normal(2.2, 0.2, 12).tolist()]
    noise = [
        replace(item, evidence=replace(item.evidence, unspelled=value, sounded=value))
        for item, value in zip(answers(200, "", -2.0), rng.uniform(0.2, 1.0, 200).tolist(), strict=True)
    ]
    settings = fit_gates([*words, *names], noise, most_lost=0.02)
    assert not any(refused(names, settings)) and all(refused(noise, settings))
    # Texts of which less is right are nothing to go by: they pass or not as it happens.
    assert fit_gates([*words, *names, name("p q", "yes it is", 2.0)], noise, 0.02) == settings
    with pytest.raises(ConfigError, match="no text is half right"):
        fit_gates([name("p q", "yes it is", 2.0)], noise, 0.02)


@pytest.mark.parametrize(
    ("said", "text", "mostly"),
    [
        ("a r j u n", "e r j you n", True),
        ("yes", "yet", True),
        ("yes", "no", False),
        ("yes", "yes yes", False),
        ("", "down", False),
    ],
)
def test_a_text_is_mostly_right_by_its_letters(said, text, mostly):
    assert name(said, text, 0.0).is_mostly_right is mostly


def test_a_row_may_stand_for_several():
    inputs, truths = drawn(300)
    counts = np.where(np.arange(300) < 100, 3.0, 1.0)
    repeated = np.repeat(np.arange(300), counts.astype(int))
    assert fit(inputs, truths, counts=counts) == pytest.approx(fit(inputs[repeated], truths[repeated]))


def test_nothing_can_be_learnt_where_all_is_right():
    rows = np.zeros((5, 2))
    with pytest.raises(ConfigError, match="of 5 words all are right or all are wrong"):
        calibrate("word", WordEvidence, rows, np.ones(5, dtype=bool))


@pytest.mark.parametrize(
    ("said", "heard", "right"),
    [
        ("turn on the light", "turn the light", [True, True, True]),
        ("bed", "bed bed", [True, False]),
        ("a b c", "x b", [False, True]),
        ("", "up", [False]),
        ("up", "", []),
    ],
)
def test_words_are_right_by_the_least_edits(said, heard, right):
    found = right_words(said, heard.split())
    assert sorted(found) == sorted(right) and len(found) == len(right)


def test_the_command_writes_what_it_fitted(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    model = write_artifact(tmp_path / "model")
    rng = np.random.default_rng(0)
    rows = ["id\tdataset\tspeaker\tsplit\ttext\tpath\tseconds"]
    recognizer = Recognizer.load(model)
    for number in range(24):
        samples = (0.2 * rng.standard_normal(16000 + 200 * number)).astype(np.float32)
        write_wav(tmp_path / f"{number}.wav", samples)
        # Half of what the random model hears is declared right.
        said = recognizer.transcribe(samples).text if number % 2 else "nothing like it"
        rows.append(f"c{number}\twords\ts\tdev\t{said}\t{number}.wav\t{samples.size / 16000}")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "noise").mkdir()
    write_wav(tmp_path / "noise" / "hiss.wav", (0.1 * rng.standard_normal(16000 * 12)).astype(np.float32))
    monkeypatch.setattr(confidence, "_STARTS_S", (0.4,))
    options = ["--model", str(model), "--speech", str(tmp_path), "--noise", str(tmp_path / "noise")]
    assert confidence.main([*options, "--write", "--json", str(tmp_path / "out.json")]) == 0
    written = load_manifest(model).search
    assert {"speech_bias", "text_spelled", "word_heard", "gate_min_speech"} <= written.keys()
    assert Recognizer.load(model).setup.confidence.text_spelled == written["text_spelled"]
