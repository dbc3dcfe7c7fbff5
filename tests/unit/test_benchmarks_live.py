import json

import numpy as np
import pytest

from benchmarks import live
from benchmarks.live import Shown, changed_words, run_loop, utterances
from edge_las.runtime.recognizer import Recognizer
from tests.runtime import tone_engine as tones
from tests.runtime.test_cli import write_wav
from tests.runtime.test_live import SPEECH
from tests.runtime.tone_engine import RATE, say


@pytest.mark.parametrize(
    ("partials", "taken_back", "words"),
    [
        ([], 0, 0),
        (["on", "one", "one tw", "one two"], 0, 2),
        (["one", "two"], 1, 2),
        (["one two", "one too two"], 1, 4),
        (["one two", "on two"], 2, 4),
        (["one two", "one"], 1, 2),
        (["one", "ones more"], 0, 2),
        (["one two", "ones two"], 2, 4),
    ],
)
def test_words_taken_back_are_counted_and_a_last_word_may_grow(partials, taken_back, words):
    assert changed_words(Shown(partials)) == (taken_back, words)


def test_the_loop_shows_what_was_said():
    shown = [item for item, _ in utterances(run_loop(Recognizer(tones.setup()), SPEECH, "energy"))]
    assert [item.final for item in shown] == ["one three two", "four"]
    assert shown[0].partials == ["one", "one thr", "one thr two"]


def test_the_command_measures_speech_and_noise(tmp_path, monkeypatch):
    model = tones.loadable_artifact(tmp_path / "model", monkeypatch)
    write_wav(tmp_path / "a.wav", say("one two"))
    row = f"a\ttones\ts\tdev\tone two\ta.wav\t{say('one two').size / RATE}"
    (tmp_path / "manifest.tsv").write_text(f"id\tdataset\tspeaker\tsplit\ttext\tpath\tseconds\n{row}\n")
    (tmp_path / "noise").mkdir()
    rng = np.random.default_rng(0)
    write_wav(tmp_path / "noise" / "hiss.wav", (1e-3 * rng.standard_normal(3 * RATE)).astype(np.float32))
    options = ["--model", str(model), "--speech", str(tmp_path), "--noise", str(tmp_path / "noise")]
    assert live.main([*options, "--vad", "energy", "--json", str(tmp_path / "out.json")]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["sets"]["tones"]["wer"] == 0.0
    assert found["sets"]["tones"]["partial_words_taken_back"] == 0
    assert (found["noise"]["seconds"], found["noise"]["with_text"]) == (63.0, 0)
