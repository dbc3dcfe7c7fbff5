import json

import pytest

from benchmarks import tune
from benchmarks.tune import language_model_settings, repeats_a_word, search_settings
from edge_las.artifact import load_manifest
from edge_las.ngram import save_ngrams
from edge_las.ngram_estimate import estimate
from edge_las.runtime.recognizer import Recognizer
from edge_las.search.config import BeamConfig
from tests.runtime import tone_engine as tones
from tests.runtime.test_cli import write_wav
from tests.runtime.tone_engine import RATE, say


@pytest.mark.parametrize(
    ("text", "said", "repeats"),
    [
        ("bed bed", "bed", True),
        ("seven seven two", "seven seven two", False),
        ("two two seven seven", "two seven seven", True),
        ("one two one", "one two", False),
        ("", "one", False),
    ],
)
def test_repeated_words_are_those_that_were_not_said_twice(text, said, repeats):
    assert repeats_a_word(text, said) == repeats


def test_every_setting_changes_the_named_thing_only():
    base = BeamConfig(ctc_weight=0.25)
    for setting in [*search_settings(base), *language_model_settings(base)]:
        named = dict(part.split("=") for part in setting.name.split())
        assert float(named.pop("lm_weight", 0.0)) == setting.lm_weight
        for key, value in named.items():
            assert getattr(setting.search, key) == float(value)
        assert named.get("ctc_weight") or setting.search.ctc_weight == 0.25


@pytest.fixture
def options(tmp_path, monkeypatch):
    model = tones.loadable_artifact(tmp_path / "model", monkeypatch)
    rows = ["id\tdataset\tspeaker\tsplit\ttext\tpath\tseconds"]
    for name, text in (("a", "one two"), ("b", " ".join(["four"] * 16))):
        write_wav(tmp_path / f"{name}.wav", say(text))
        rows.append(f"{name}\t{name}\ts\tdev\t{text}\t{name}.wav\t{say(text).size / RATE}")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return ["--model", str(model), "--speech", str(tmp_path)]


def test_the_command_ranks_settings(options, capsys):
    assert tune.main([*options, "--sets", "a"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["wer"] == rows[0]["cer"] == {"a": 0.0} and rows[0]["repeats"] == 0.0
    assert [row["mean_wer"] for row in rows] == sorted(row["mean_wer"] for row in rows)
    assert len(rows) == len(list(search_settings(BeamConfig())))


def test_recordings_longer_than_the_speller_takes_are_heard_in_pieces(options, capsys):
    assert tune.main([*options, "--sets", "b"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["mean_wer"] == 0.0


def test_weights_of_a_language_model_are_tried(options, tmp_path, capsys):
    tokens = Recognizer.load(options[1]).tokens
    save_ngrams(tmp_path / "lm.npz", estimate(["one two", "four four"], 3, tokens), tokens)
    assert tune.main([*options, "--sets", "a", "--lm", str(tmp_path / "lm.npz")]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["setting"] for row in rows} == {item.name for item in language_model_settings(BeamConfig())}
    assert rows[0]["mean_wer"] == 0.0
    # The best is written: it weighs the language model, and is what the name says.
    before = load_manifest(options[1]).search
    assert tune.main([*options, "--sets", "a", "--lm", str(tmp_path / "lm.npz"), "--write"]) == 0
    best = json.loads(capsys.readouterr().out)[0]["setting"]
    named = {key: float(value) for key, value in (part.split("=") for part in best.split())}
    assert load_manifest(options[1]).search == {**before, **named}
    # With no weight it takes no part, whatever it says.
    save_ngrams(tmp_path / "bad.npz", estimate(["three three three"], 3, tokens), tokens)
    found = []
    for name in ("lm", "bad"):
        assert tune.main([*options, "--sets", "a", "--lm", str(tmp_path / f"{name}.npz")]) == 0
        rows = json.loads(capsys.readouterr().out)
        found.append({row["setting"]: row["mean_wer"] for row in rows})
    without = [name for name in found[0] if "lm_weight=0.0" in name]
    assert without and all(found[0][name] == found[1][name] for name in without)
