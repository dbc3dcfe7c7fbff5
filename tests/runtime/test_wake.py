import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from edge_las.audio import read_audio
from edge_las.cli import main
from edge_las.errors import ConfigError, DeviceError
from edge_las.runtime.detectors import EnergyDetector
from edge_las.runtime.endpointer import Endpointer
from edge_las.runtime.live import Session
from edge_las.runtime.recognizer import Recognizer
from edge_las.runtime.sources import Block
from edge_las.runtime.speech_states import EndpointConfig
from edge_las.runtime.wake import MicroWakeDetector, WakeGate
from tests.runtime import tone_engine as tones
from tests.runtime.test_cli import write_wav
from tests.runtime.test_live import model, only, silence  # noqa: F401
from tests.runtime.tone_engine import RATE, say

GOOD_WAKE_FILE = (
    '{"wake_word": "x", "model": "x.tflite", "micro": {"probability_cutoff": 0.9, "sliding_window_size": 5}}'
)


class Beep:
    """The wake word is a tone of 6 kHz: hears it at the end of its first 50 ms."""

    word = "beep"

    def __init__(self):
        self.heard = self.resets = 0

    def hears(self, samples):
        assert samples.shape == (160,)
        spectrum = np.abs(np.fft.rfft(samples))
        self.heard = self.heard + 1 if spectrum.argmax() == 60 and spectrum.max() > 1.0 else 0
        return self.heard == 5

    def reset(self):
        self.heard, self.resets = 0, self.resets + 1


def beep(seconds=0.1):
    return (0.2 * np.sin(2 * np.pi * 6000 * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def events_of(parts, size=1600):
    found, samples = [], np.concatenate(parts)
    endpointer = Endpointer(EnergyDetector(), EndpointConfig(max_utterance_s=8.0), RATE)
    wake = WakeGate(Beep(), RATE)
    live = Session(Recognizer(tones.setup()), endpointer, found.append, wake=wake)
    for start in range(0, samples.size, size):
        live.accept(Block(samples[start : start + size]))
    live.finish()
    return found


@pytest.mark.parametrize("size", [1600, 333, 16000])
def test_only_what_follows_the_wake_word_is_heard(size):
    asleep = [silence(0.5), say("one two"), silence(0.7)]
    woken = [beep(), silence(0.4), say("three"), silence(0.9)]
    events = events_of([*asleep, *woken, say("four"), silence(0.6)], size)
    kinds = [event["event"] for event in events if event["event"] not in ("level", "partial")]
    assert kinds[0] == "wake" and kinds[-3:] == ["speech_start", "speech_end", "final"]
    (wake,) = only(events, "wake")
    begins = sum(part.size for part in asleep) / RATE
    assert (wake["word"], wake["time_s"]) == ("beep", pytest.approx(begins + 0.05, abs=0.011))
    texts = [final for final in only(events, "final") if final["text"]]
    assert [final["text"] for final in texts] == ["three"]
    # Times count all sound, also that which was let go by.
    spoken = begins + 0.1 + 0.4 + 0.16
    assert texts[0]["start_s"] < spoken < texts[0]["end_s"]


def test_a_command_that_does_not_come_is_not_waited_for_for_ever():
    events = events_of([silence(0.3), beep(), silence(6.5), say("one"), silence(0.7)])
    assert len(only(events, "wake")) == 1
    assert [final["text"] for final in only(events, "final") if final["text"]] == []


def test_each_command_needs_its_wake_word():
    turn = [beep(), silence(0.4), say("two"), silence(0.9)]
    events = events_of([silence(0.3), *turn, *turn])
    assert len(only(events, "wake")) == 2
    assert [final["text"] for final in only(events, "final") if final["text"]] == ["two", "two"]


def test_what_is_missing_or_unknown_is_named(model, tmp_path, capsys, monkeypatch):  # noqa: F811
    file = write_wav(tmp_path / "a.wav", say("one"))
    command = ["listen", "--wav", file, "--model", model, "--vad", "energy", "--wake-word"]
    monkeypatch.setitem(__import__("sys").modules, "pymicro_wakeword", None)
    assert main([*command, "okay_nabu"]) == 2
    assert "a wake word needs pymicro-wakeword: pip install 'edge-las[wake]'" in capsys.readouterr().err
    monkeypatch.undo()


def test_the_real_package_names_its_words(tmp_path):
    pytest.importorskip("pymicro_wakeword")
    with pytest.raises(DeviceError, match="wake word 'computer' is unknown, must be a .json file or .*alexa"):
        MicroWakeDetector("computer", RATE)
    with pytest.raises(DeviceError, match="cannot take 8000 Hz"):
        MicroWakeDetector("alexa", 8000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "wake.json: no such file"),
        ("{", "wake.json: not valid JSON"),
        ("[1]", "wake_word must be a string"),
        (
            '{"wake_word": "x", "model": "x", "micro": {"probability_cutoff": "high"}}',
            "micro.probability_cut",
        ),
        (GOOD_WAKE_FILE.replace("x.tflite", "none.tflite"), "none.tflite: no such file"),
        # The package itself dies of a segmentation fault here.
        (GOOD_WAKE_FILE, "x.tflite: is no TFLite file"),
    ],
)
def test_what_is_wrong_with_a_wake_word_file_is_named(text, message, tmp_path):
    pytest.importorskip("pymicro_wakeword")
    (tmp_path / "x.tflite").write_bytes(bytes(100))
    file = tmp_path / "wake.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)):
        MicroWakeDetector(str(file), RATE)


@pytest.mark.skipif(shutil.which("flite") is None, reason="needs flite on this machine")
@pytest.mark.parametrize(
    ("voice", "words", "texts"),
    [("rms", "okay nabu", ["one two"]), ("slt", "okay nabu", ["one two"]), ("slt", "good morning", [])],
)
def test_the_real_package_wakes_for_its_word(voice, words, texts, model, tmp_path, capsys):  # noqa: F811
    pytest.importorskip("pymicro_wakeword")
    spoken = tmp_path / "spoken.wav"
    subprocess.run(["flite", "-voice", voice, "-t", words, "-o", str(spoken)], check=True)
    parts = [silence(1.0), read_audio(spoken), silence(0.8), say("one two"), silence(0.8)]
    file = write_wav(tmp_path / "clip.wav", np.concatenate(parts))
    command = ["listen", "--wav", file, "--model", model, "--vad", "energy", "--json"]
    assert main([*command, "--wake-word", "okay_nabu"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["word"] for event in only(events, "wake")] == ["Okay Nabu"] * len(texts)
    assert [event["text"] for event in only(events, "final") if event["text"]] == texts
