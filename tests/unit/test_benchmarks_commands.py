import json

import numpy as np
import pytest

from benchmarks import commands, slot_tasks
from benchmarks.acceptance import Acceptance, Order, Trial, fit_acceptance, rates
from benchmarks.recordings import load_recordings
from edge_las.artifact import load_manifest
from edge_las.errors import ConfigError
from edge_las.runtime.confidence import CommandEvidence
from edge_las.runtime.recognizer import Recognizer
from tests.runtime import tone_engine as tones
from tests.runtime.test_cli import write_wav
from tests.runtime.tone_engine import RATE, say

SURE, UNSURE = (CommandEvidence(4.0, 0.0, 9.0, gained) for gained in (20.0, -5.0))
# Believes what gained anything.
WEIGHTS = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0])


def order(said, text, loss=0.0, evidence=SURE, is_inside=True):
    return Order(said, is_inside, text, loss, evidence)


def test_rates_count_inside_and_outside_apart():
    found = [
        order("one", "one"),
        order("one", "two", 0.2),
        order("two", "two", 0.9),
        order("two", "two", evidence=UNSURE),
        order("six", "two", 0.3, is_inside=False),
        order("ten", "two", 2.0, is_inside=False),
        order("ten", "", np.inf, None, is_inside=False),
    ]
    strict, loose = (rates(found, Acceptance(WEIGHTS, 0.5, most)) for most in (0.25, 1.0))
    assert (strict["accuracy"], strict["wrong"], strict["rejected"]) == (0.25, 0.25, 1.0)
    assert (loose["accuracy"], loose["wrong"]) == (0.5, 0.25)
    assert loose["rejected"] == pytest.approx(2 / 3, abs=1e-4)


def random_orders(said, count, center, loss, is_inside=True):
    rng = np.random.default_rng(len(said) + count)
    return [
        order(said, "one", loss + 0.1 * x, CommandEvidence(*(center + row)), is_inside)
        for x, *row in rng.normal(size=(count, 5)).tolist()
        for row in [np.array(row)]
    ]


def test_fitted_tests_refuse_noise_and_strangers():
    right, noise = random_orders("one", 300, 3.0, 0.4), random_orders("", 100, -3.0, 1.0, False)
    strangers = random_orders("two", 100, 3.0, 2.0, False)
    trial = Trial(["one", "two"], right, [*right, *strangers], noise, [])
    found = fit_acceptance([trial], 0.01)
    assert sum(found.accept(noise)) == 0
    assert sum(found.accept(right)) >= 290
    # As far from the strangers as no right word is lost by it.
    assert 0.5 <= found.most_loss <= 1.2
    assert rates(trial.halves, found)["rejected"] == 1.0
    with pytest.raises(ConfigError, match="nothing to fit"):
        fit_acceptance([Trial(["one"], right, right, [], [])], 0.01)


def test_grammars_of_words_and_sentences_find_one_threshold() -> None:
    """Few sentences, whose strangers come near, count as much as many words, whose strangers don't."""
    right, noise = random_orders("one", 300, 3.0, 2.0), random_orders("", 100, -3.0, 1.0, False)
    words = Trial(["one", "two"], right, [*right, *random_orders("two", 100, 3.0, 6.0, False)], noise, [])
    sentences = [*random_orders("one", 20, 3.0, 3.0), *random_orders("three", 20, 3.0, 3.8, False)]
    both = fit_acceptance([words, Trial(["one", "three"], [], sentences, [], [])], 0.01)
    alone = fit_acceptance([words], 0.01)
    assert 3.0 < both.most_loss < 3.8 and alone.most_loss < 3.0
    assert rates(sentences, both)["rejected"] >= 0.95
    assert rates(sentences, both)["accuracy"] >= 0.95 > rates(sentences, alone)["accuracy"]
    # Noise is told from texts where it was heard.
    assert both.weights.tolist() == alone.weights.tolist() and both.least == alone.least


@pytest.fixture
def folder(tmp_path, monkeypatch):
    tones.loadable_artifact(tmp_path / "model", monkeypatch)
    rows = ["id\tdataset\tspeaker\tsplit\ttext\tpath\tseconds"]
    for word in ("one", "two", "four"):
        write_wav(tmp_path / f"{word}.wav", say(word))
        rows.append(f"{word}\ttones\ts\tdev\t{word}\t{word}.wav\t{say(word).size / RATE}")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "noise").mkdir()
    rng = np.random.default_rng(0)
    write_wav(tmp_path / "noise" / "hiss.wav", rng.normal(0.0, 0.1, 12 * RATE).astype(np.float32))
    return tmp_path


def test_the_command_writes_what_it_fits(folder, capsys):
    model = folder / "model"
    options = ["--model", str(model), "--speech", str(folder), "--noise", str(folder / "noise")]
    options += ["--set", "tones", "--sentences", "", "--write", "--json", str(folder / "out.json")]
    assert commands.main(options) == 0
    found = json.loads((folder / "out.json").read_text())
    assert found["sets"]["tones"]["all"]["accuracy"] == 1.0
    assert found["sets"]["tones"]["halves"]["rejected"] == 1.0
    assert found["sets"]["tones"]["noise_accepted"]["heldout"][0] == 0
    assert found["settings"].items() <= load_manifest(model).search.items()
    assert "3 recordings of 3 texts" in capsys.readouterr().out
    # What was written is what a recognizer of this model uses.
    setup = Recognizer.load(model).setup
    assert setup.gate.gate_min_command == found["settings"]["gate_min_command"]
    assert setup.confidence.command_gained == found["settings"]["command_gained"]
    # Measured without fitting: the same.
    assert commands.main([option for option in options if option != "--write"]) == 0
    again = json.loads((folder / "out.json").read_text())
    assert (again["settings"], again["sets"]) == (found["settings"], found["sets"])


def test_a_single_word_is_no_set(folder, capsys):
    table = folder / "manifest.tsv"
    table.write_text("\n".join(table.read_text().splitlines()[:2]) + "\n")
    assert len(load_recordings(folder, RATE)) == 1
    model = folder / "model"
    options = ["--model", str(model), "--speech", str(folder), "--noise", str(folder / "noise")]
    assert commands.main([*options, "--set", "tones"]) == 2
    assert "tones has one text, at least two are needed" in capsys.readouterr().err


def test_sentences_with_slots_are_tried_too(folder, monkeypatch, capsys):
    # All that the tones say is digits, which are no sentences.
    monkeypatch.setattr(slot_tasks, "is_digits", lambda text: False)
    rows = (folder / "manifest.tsv").read_text()
    for number, text in enumerate(("one two four one", "two four one two", "four one two four")):
        samples = np.concatenate([say(word) for word in text.split()])
        write_wav(folder / f"s{number}.wav", samples)
        rows += f"s{number}\tread\ts\tdev\t{text}\ts{number}.wav\t{samples.size / RATE}\n"
    (folder / "manifest.tsv").write_text(rows)
    options = ["--model", str(folder / "model"), "--speech", str(folder), "--noise", str(folder / "noise")]
    options += ["--set", "tones", "--json", str(folder / "out.json")]
    assert commands.main([*options, "--sentences", "read"]) == 0
    found = json.loads((folder / "out.json").read_text())["sets"]["read"]
    # Each as recorded and in noise.
    assert (found["recordings"], found["texts"], found["all"]["accuracy"]) == (6, 3, 1.0)
    assert found["noise_accepted"] == {"fitted": [0, 0], "heldout": [0, 0]}
    assert commands.main([*options, "--sentences", "tones"]) == 2
    assert "tones: has no sentence of 4 words" in capsys.readouterr().err
