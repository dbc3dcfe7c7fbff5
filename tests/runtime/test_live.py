import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_las.audio import float_to_pcm, read_audio
from edge_las.cli import main
from edge_las.runtime import saving
from edge_las.runtime.detectors import EnergyDetector
from edge_las.runtime.endpointer import Endpointer
from edge_las.runtime.events import TextLines, meter
from edge_las.runtime.live import Session, listen
from edge_las.runtime.recognizer import Recognizer
from edge_las.runtime.saving import Saver
from edge_las.runtime.sources import Block
from edge_las.runtime.speech_states import EndpointConfig
from tests.runtime import tone_engine as tones
from tests.runtime.test_cli import write_wav
from tests.runtime.tone_engine import RATE, say

ROOT = Path(__file__).resolve().parents[2]
F_SETPIPE_SZ = 1031  # of Linux; not in every Python's fcntl


def silence(seconds):
    return np.zeros(int(seconds * RATE), dtype=np.float32)


def session(emit, saver=None, beam_size=1, **limits):
    config = EndpointConfig(**{"max_utterance_s": 8.0, **limits})
    endpointer = Endpointer(EnergyDetector(), config, RATE)
    return Session(Recognizer(tones.setup(beam_size=beam_size)), endpointer, emit, saver)


def events_of(samples, sizes, **options):
    found = []
    live = session(found.append, **options)
    start = turn = 0
    while start < samples.size:
        size = sizes[turn % len(sizes)]
        live.accept(Block(samples[start : start + size]))
        start, turn = start + size, turn + 1
    live.finish()
    return found


def only(events, *kinds):
    return [event for event in events if event["event"] in kinds]


SPEECH = np.concatenate([silence(0.7), say("one three two"), silence(1.0), say("four"), silence(0.8)])


def test_events_come_in_order_with_texts_and_times():
    events = events_of(SPEECH, [1600])
    kinds = [event["event"] for event in events if event["event"] not in ("level", "partial")]
    assert kinds == ["speech_start", "speech_end", "final"] * 2
    first, second = only(events, "final")
    assert (first["text"], second["text"]) == ("one three two", "four")
    # Pre-roll before, the tail and at most some frames after.
    assert first["start_s"] == pytest.approx(0.86 - 0.5, abs=0.05)
    assert first["end_s"] == pytest.approx(0.86 + 1.22 + 0.2, abs=0.05)
    assert [end["reason"] for end in only(events, "speech_end")] == ["silence", "silence"]
    partials = [event["text"] for event in only(events, "partial")]
    # The CTC head of the tones knows the first half of "three" only.
    assert partials == ["one", "one thr", "one thr two", "four"]
    levels = only(events, "level")
    assert len(levels) == int(SPEECH.size / RATE / 0.5)
    assert levels[0] == {"event": "level", "dbfs": -120.0, "peak_dbfs": -120.0}
    assert max(level["peak_dbfs"] for level in levels) == pytest.approx(-14.0, abs=0.1)


# Without "three": the CTC head of the tones knows its first half only, and may outvote the Speller.
WORDS = st.lists(st.sampled_from(["one", "two", "four"]), min_size=1, max_size=4)
SIZES = st.lists(st.integers(1, 12000), min_size=1, max_size=6)


@settings(max_examples=6, deadline=None)
@given(WORDS, SIZES)
def test_streamed_text_is_that_of_the_whole_in_any_chunking(words, sizes):
    samples = np.concatenate([say(" ".join(words)), silence(0.2)])
    recognizer = Recognizer(tones.setup())
    utterance, start, turn = recognizer.utterance(), 0, 0
    while start < samples.size:
        size = sizes[turn % len(sizes)]
        utterance.accept(samples[start : start + size])
        utterance.partial()
        start, turn = start + size, turn + 1
    streamed, whole = utterance.finish(), recognizer.transcribe(samples)
    assert streamed.text == whole.text == " ".join(words)
    assert (streamed.words, streamed.nbest) == (whole.words, whole.nbest)
    # And through the loop, with the silence around it:
    around = np.concatenate([silence(0.5), samples, silence(0.6)])
    streamed_events = only(events_of(around, sizes, beam_size=4), "final")
    assert [event["text"] for event in streamed_events] == [" ".join(words)]


@settings(max_examples=5, deadline=None)
@given(SIZES)
def test_finals_do_not_depend_on_the_blocks(sizes):
    def finals(found):
        times = ("rtf", "latency_ms")
        return [{k: v for k, v in event.items() if k not in times} for event in only(found, "final")]

    assert finals(events_of(SPEECH, sizes)) == finals(events_of(SPEECH, [SPEECH.size]))


def test_silence_and_noise_give_no_text():
    rng = np.random.default_rng(0)
    noise = [level * rng.standard_normal(30 * RATE) for level in (0.0, 1e-3, 1e-2)]
    events = events_of(np.concatenate(noise).astype(np.float32), [1600])
    assert [event["text"] for event in only(events, "partial", "final") if event["text"]] == []
    (notice,) = only(events, "notice")
    assert "only digital zeros" in notice["text"]


def test_an_interruption_ends_the_utterance_and_overflows_add_up():
    found = []
    live = session(found.append)
    speech = np.concatenate([silence(0.5), say("one two")])
    live.accept(Block(speech))
    live.accept(Block(notice="the microphone is gone", interrupted=True))
    live.accept(Block(silence(0.1), overflows=2, lost_s=0.5))
    live.accept(Block(silence(0.1), overflows=1, lost_s=0.25))
    live.finish()
    kinds = [event["event"] for event in found if event["event"] != "partial" and event["event"] != "level"]
    assert kinds == ["speech_start", "speech_end", "final", "notice", "overflow", "overflow"]
    assert only(found, "speech_end")[0]["reason"] == "interrupted"
    assert only(found, "final")[0]["text"] == "one two"
    assert only(found, "overflow")[1] == {"event": "overflow", "count": 3, "lost_s": 0.75}


def test_saved_utterances_are_those_announced(tmp_path, monkeypatch):
    events = events_of(SPEECH, [4000], saver=Saver(tmp_path, RATE))
    finals = only(events, "final")
    for event in finals:
        heard = read_audio(event["saved"])
        assert heard.size == round((event["end_s"] - event["start_s"]) * RATE)
        assert json.loads(Path(event["saved"]).with_suffix(".json").read_text()) == event
    assert len(list(tmp_path.iterdir())) == 4

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving.os, "fsync", full)
    events = events_of(SPEECH, [4000], saver=Saver(tmp_path, RATE))
    assert [event["saved"] for event in only(events, "final")] == [None, None]
    assert [event["text"] for event in only(events, "final")] == ["one three two", "four"]
    assert all("no space left on device" in event["text"] for event in only(events, "notice"))
    assert len(list(tmp_path.iterdir())) == 4


def test_the_loop_closes_its_source_and_keeps_what_was_being_said():
    class Source:
        closed = False
        blocks = 0

        def read(self):
            self.blocks += 1
            return Block(SPEECH[(self.blocks - 1) * 1600 : self.blocks * 1600])

        def close(self):
            self.closed = True

    source, found = Source(), []
    listen(source, session(found.append), lambda: "stopped" if source.blocks == 16 else "")
    assert source.closed
    assert only(found, "speech_end")[-1]["reason"] == "stopped"
    assert only(found, "final")[0]["text"] == "one three"


def test_sound_that_cannot_be_read_on_loses_nothing_of_what_came_before(model, tmp_path):
    pcm = float_to_pcm(np.concatenate([silence(0.3), say("one")])).astype("<i2").tobytes()
    process = start(model, "--json")
    output, errors = process.communicate(pcm + b"x", timeout=60)
    found = [json.loads(line) for line in output.splitlines()]
    assert process.returncode == 2
    assert b"ends within a sample" in errors
    assert only(found, "speech_end")[0]["reason"] == "interrupted"
    assert only(found, "final")[0]["text"] == "one"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_text_lines_on_a_terminal_and_without_one():
    for line in (Terminal(), io.StringIO()):
        out = io.StringIO()
        show = TextLines(out, line)
        for event in events_of(SPEECH, [1600]):
            show(event)
        show({"event": "overflow", "count": 1, "lost_s": 0.5})
        show.close()
        assert out.getvalue() == "one three two\nfour\n"
        assert "edge-las: overflow 1: too slow, 0.5 s of sound lost so far\n" in line.getvalue()
        assert ("----] one thr two" in line.getvalue()) == line.isatty()
    assert (meter(-120.0), meter(-30.0), meter(0.0), meter(3.0)) == (
        "-" * 10,
        "#####-----",
        "#" * 10,
        "#" * 10,
    )


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder that loads as the tone recognizer."""
    return str(tones.loadable_artifact(tmp_path / "model", monkeypatch))


def test_listen_to_a_file(model, tmp_path, capsys):
    file = write_wav(tmp_path / "a.wav", SPEECH)
    assert main(["listen", "--wav", file, "--model", model, "--vad", "energy"]) == 0
    assert capsys.readouterr().out == "one three two\nfour\n"
    saved = tmp_path / "saved"
    arguments = ["listen", "--wav", file, "--model", model, "--vad", "energy", "--json", "--save", str(saved)]
    assert main(arguments) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["text"] for event in only(events, "final")] == ["one three two", "four"]
    assert all(Path(event["saved"]).is_file() for event in only(events, "final"))
    assert main([*arguments, "-"]) == 2
    assert "--wav and - are both given" in capsys.readouterr().err
    assert main(["listen", "--wav", file, "--model", model, "--silence", "0"]) == 2


# A process of its own whose recognizer is the one of tones.
PROGRAM = """
import sys
import edge_las.runtime.engine as engine
engine._ENGINES = {"onnx": ("tests.runtime.tone_engine:ToneEngine", "onnx")}
from edge_las.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start(model, *arguments):
    command = [sys.executable, "-c", PROGRAM, "listen", "-", "--vad", "energy", "--model", model, *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )


@pytest.mark.timeout(90)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_end_it_in_good_order(model, tmp_path, number, status):
    process = start(model, "--json", "--save", str(tmp_path / "saved"))
    process.stdin.write(float_to_pcm(SPEECH[: int(1.5 * RATE)]).tobytes())
    process.stdin.flush()
    seen = []
    # The third level is that of the 1.5 s which were sent: all of it was taken in.
    while len(only(seen, "level")) < 3:
        seen.append(json.loads(process.stdout.readline()))
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    events = [json.loads(line) for line in out.splitlines()]
    assert (process.returncode, err) == (status, b"")
    assert only(events, "speech_end")[0]["reason"] == "stopped"
    final = only(events, "final")[0]
    assert final["text"] == "one three"
    assert final["end_s"] == 1.5
    assert read_audio(final["saved"]).size == round((1.5 - final["start_s"]) * RATE)


@pytest.mark.timeout(90)
def test_a_reader_that_takes_nothing_cannot_keep_it_from_ending(model, tmp_path):
    process = start(model, "--json", "--save", str(tmp_path / "saved"))
    fcntl.fcntl(process.stdout.fileno(), F_SETPIPE_SZ, 4096)
    sound = float_to_pcm(np.tile(SPEECH, 20)).tobytes()
    process.stdin.write(sound[:60000])
    process.stdin.flush()
    assert os.read(process.stdout.fileno(), 1) == b"{"  # it runs; nothing more will be read
    os.set_blocking(process.stdin.fileno(), False)
    sent, idle_since = 60000, time.monotonic()
    while time.monotonic() - idle_since < 4.0 and sent < len(sound):
        try:
            sent += os.write(process.stdin.fileno(), sound[sent : sent + 65536])
            idle_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.05)
    assert sent < len(sound), "it must wait for its reader instead of piling events up"
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 2
    assert b"takes no more" in process.stderr.read()
    saved = sorted((tmp_path / "saved").iterdir())
    assert saved and all(path.suffix in (".wav", ".json") for path in saved)
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
