import json

import pytest

from benchmarks import commands
from benchmarks.commands import Order, rates
from edge_las.artifact import load_manifest
from tests.runtime import tone_engine as tones
from tests.runtime.test_cli import write_wav
from tests.runtime.tone_engine import RATE, say


def test_rates_count_inside_and_outside_apart():
    found = [
        Order("one", True, "one", 0.0, False),
        Order("one", True, "two", 0.2, False),
        Order("two", True, "two", 0.9, False),
        Order("two", True, "two", 0.0, True),
        Order("six", False, "two", 0.3, False),
        Order("ten", False, "two", 2.0, False),
        Order("ten", False, "", 0.0, False),
    ]
    strict, loose = rates(found, 0.25), rates(found, 1.0)
    assert (strict["accuracy"], strict["wrong"], strict["rejected"]) == (0.25, 0.25, 1.0)
    assert (loose["accuracy"], loose["wrong"]) == (0.5, 0.25)
    assert loose["rejected"] == pytest.approx(2 / 3, abs=1e-4)


def test_the_command_writes_the_best_threshold(tmp_path, monkeypatch, capsys):
    engines = {"onnx": ("tests.runtime.tone_engine:ToneEngine", "onnx")}
    monkeypatch.setattr("edge_las.runtime.engine._ENGINES", engines)
    model = tones.write_artifact(tmp_path / "model")
    rows = ["id\tdataset\tspeaker\tsplit\ttext\tpath\tseconds"]
    for word in ("one", "two", "four"):
        write_wav(tmp_path / f"{word}.wav", say(word))
        rows.append(f"{word}\ttones\ts\tdev\t{word}\t{word}.wav\t{say(word).size / RATE}")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    options = ["--model", str(model), "--speech", str(tmp_path), "--set", "tones", "--write"]
    assert commands.main([*options, "--json", str(tmp_path / "out.json")]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["all_words"]["accuracy"] == 1.0
    assert found["best"]["accuracy"] == 1.0 and found["best"]["rejected"] == 1.0
    assert load_manifest(model).search["grammar_max_loss"] == found["best"]["grammar_max_loss"]
    assert "3 recordings of 3 words" in capsys.readouterr().out
