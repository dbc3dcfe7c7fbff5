import json

import pytest

from benchmarks import tune
from benchmarks.tune import repeats_a_word, search_settings
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
    for name, config in search_settings(base):
        named = dict(part.split("=") for part in name.split())
        for key, value in named.items():
            assert getattr(config, key) == float(value)
        assert named.get("ctc_weight") or config.ctc_weight == 0.25


def test_the_command_ranks_settings(tmp_path, monkeypatch, capsys):
    engines = {"onnx": ("tests.runtime.tone_engine:ToneEngine", "onnx")}
    monkeypatch.setattr("edge_las.runtime.engine._ENGINES", engines)
    model = tones.write_artifact(tmp_path / "model")
    write_wav(tmp_path / "a.wav", say("one two"))
    row = f"a\ttones\ts\tdev\tone two\ta.wav\t{say('one two').size / RATE}"
    (tmp_path / "manifest.tsv").write_text(f"id\tdataset\tspeaker\tsplit\ttext\tpath\tseconds\n{row}\n")
    assert tune.main(["--model", str(model), "--speech", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["mean_wer"] == 0.0 and rows[0]["repeats"] == 0.0
    assert [row["mean_wer"] for row in rows] == sorted(row["mean_wer"] for row in rows)
    assert len(rows) == len(list(search_settings(BeamConfig())))
