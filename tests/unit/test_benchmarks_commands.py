import json

import numpy as np
import pytest

from benchmarks import commands
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
WEIGHTS = np.array([0.0, 0.0, 0.0, 0.0, 1.0])


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
    found = fit_acceptance([trial], 0.01, 0.97)
    assert sum(found.accept(noise)) == 0
    assert sum(found.accept(right)) >= 290
    # As far from the strangers as no right word is lost by it.
    assert 0.5 <= found.most_loss <= 1.2
    assert rates(trial.halves, found)["rejected"] == 1.0
    # Those that are as near as right ones cost some of these.
    near = random_orders("two", 100, 3.0, 0.4, False)
    tight = fit_acceptance([Trial(["one", "two"], right, [*right, *near], noise, [])], 0.01, 0.97)
    assert rates(near, tight)["rejected"] >= 0.97 and tight.most_loss < 0.4
    with pytest.raises(ConfigError, match="nothing to fit"):
        fit_acceptance([Trial(["one"], right, right, [], [])], 0.01, 0.97)


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
    options += ["--set", "tones", "--write", "--json", str(folder / "out.json")]
    assert commands.main(options) == 0
    found = json.loads((folder / "out.json").read_text())
    assert found["sets"]["tones"]["all_words"]["accuracy"] == 1.0
    assert found["sets"]["tones"]["half_the_words"]["rejected"] == 1.0
    assert found["sets"]["tones"]["noise_accepted"]["heldout"][0] == 0
    assert found["settings"].items() <= load_manifest(model).search.items()
    assert "3 recordings of 3 words" in capsys.readouterr().out
    # What was written is what a recognizer of this model uses.
    setup = Recognizer.load(model).setup
    assert setup.gate.gate_min_command == found["settings"]["gate_min_command"]
    assert setup.confidence.command_gained == found["settings"]["command_gained"]
    # Measured without fitting: the same.
    assert commands.main([*options[:8], *options[9:]]) == 0
    again = json.loads((folder / "out.json").read_text())
    assert (again["settings"], again["sets"]) == (found["settings"], found["sets"])


def test_a_single_word_is_no_set(folder, capsys):
    table = folder / "manifest.tsv"
    table.write_text("\n".join(table.read_text().splitlines()[:2]) + "\n")
    assert len(load_recordings(folder, RATE)) == 1
    model = folder / "model"
    options = ["--model", str(model), "--speech", str(folder), "--noise", str(folder / "noise")]
    assert commands.main([*options, "--set", "tones"]) == 2
    assert "tones has one word, at least two are needed" in capsys.readouterr().err
