"""Hours of sound through the whole loop, microphone included: nothing lost, nothing left behind.

Minutes in `make test`; an hour, and every dev recording, with `pytest --long --speech=DIR` of this file.
"""

import csv
import gc
from pathlib import Path

import numpy as np
import pytest

from edge_las.audio import StreamingResampler, read_audio
from edge_las.runtime import inputs
from edge_las.runtime.detectors import EnergyDetector
from edge_las.runtime.endpointer import Endpointer
from edge_las.runtime.live import Session
from edge_las.runtime.microphone import QUEUE_S, Microphone, MicrophoneConfig
from edge_las.runtime.recognizer import Recognizer, default_model
from edge_las.runtime.speech_states import EndpointConfig
from tests.runtime import tone_engine as tones
from tests.runtime.test_live import SPEECH, silence
from tests.runtime.tone_engine import RATE, say
from tests.unit.test_microphone import FakePortAudio

DEVICE_HZ = 48000
BLOCK_S = 0.05


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def pattern():
    """Half a minute of words, pauses and silence, in stereo at the rate of a USB microphone."""
    sound = np.concatenate([SPEECH, silence(2.0), say("two two"), silence(1.0)])
    sound = np.concatenate([sound, sound, silence(30.0 - 2 * sound.size / RATE)])
    resampler = StreamingResampler(RATE, DEVICE_HZ)
    raised = np.concatenate([resampler.accept(sound), resampler.finish()])
    return np.repeat(raised[: int(30.0 * DEVICE_HZ), None], 2, axis=1).astype(np.float32)


@pytest.fixture
def portaudio(monkeypatch):
    fake = FakePortAudio()
    fake.rates = {DEVICE_HZ}
    monkeypatch.setattr(inputs, "sounddevice", lambda: fake)
    return fake


def soak(recognizer, portaudio, minutes):
    """Say the pattern again and again, in bursts of up to a second: texts, memory after each, the end."""
    listening = Microphone(MicrophoneConfig("USB Mic", DEVICE_HZ, 2, BLOCK_S), RATE)
    endpointer = Endpointer(EnergyDetector(), EndpointConfig(max_utterance_s=8.0), RATE)
    texts, held, others = [], [], []

    def emit(event):
        if event["event"] == "final":
            texts.append(event["text"])
        elif event["event"] in ("overflow", "notice"):
            others.append(event)

    session = Session(recognizer, endpointer, emit)
    sound, size = pattern(), int(BLOCK_S * DEVICE_HZ)
    blocks = [sound[start : start + size] for start in range(0, len(sound), size)]
    rng = np.random.default_rng(0)
    for _ in range(2 * minutes):
        place = 0
        while place < len(blocks):
            burst = blocks[place : place + int(rng.integers(1, 21))]
            for block in burst:
                portaudio.say(block)
            assert listening._queue.qsize() <= QUEUE_S / BLOCK_S
            for _ in burst:
                session.accept(listening.read())
            place += len(burst)
        gc.collect()
        held.append(resident_bytes())
    assert [event for event in others if event["event"] == "overflow"] == []
    return texts, held, endpointer.time_s


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["tones", "bundled"])
def test_sound_goes_through_without_loss_or_growth(kind, portaudio, is_long):
    if kind == "bundled":
        if not (is_long and default_model().is_dir()):
            pytest.skip("the bundled model's hour is part of pytest --long")
        recognizer = Recognizer.load()
    else:
        recognizer = Recognizer(tones.setup(beam_size=1))
    minutes = 60 if is_long else 3
    texts, held, end_s = soak(recognizer, portaudio, minutes)
    # Not a sample is missing but what the resampler still holds.
    assert end_s == pytest.approx(60.0 * minutes, abs=0.1)
    if kind == "tones":
        assert texts == ["one three two", "four", "two two"] * 2 * (2 * minutes)
    slope = np.polyfit(np.arange(len(held) - 2) / 2.0, held[2:], 1)[0]
    print(f"\n{kind}: {minutes} minutes, {len(texts)} utterances, memory {slope / 1024:+.1f} KiB a minute")
    assert slope < (20_000 if is_long else 400_000), f"memory grows by {slope:.0f} bytes a minute: {held}"


@pytest.mark.shared
@pytest.mark.timeout(1800)
def test_streamed_text_is_that_of_the_whole_for_recordings(speech_dir, is_long):
    pytest.importorskip("onnxruntime")
    if not default_model().is_dir():
        pytest.skip("no model is bundled")
    recognizer = Recognizer.load()
    with open(speech_dir / "manifest.tsv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t", quoting=3) if row["split"] == "dev"]
    chosen = rows if is_long else rows[:: max(1, len(rows) // 40)]
    # What is as long as the Speller takes is cut when transcribed whole.
    longest = int(recognizer.manifest.speller.max_utterance_s * RATE) - 1
    rng = np.random.default_rng(0)
    differing = []
    for row in chosen:
        samples = read_audio(speech_dir / row["path"])[:longest]
        utterance, start = recognizer.utterance(), 0
        while start < samples.size:
            size = int(rng.choice([1, 160, 1600, 16000])) + int(rng.integers(0, 9000))
            utterance.accept(samples[start : start + size])
            utterance.partial()
            if rng.random() < 0.2:
                utterance.spell_ahead()
            start += size
        streamed, whole = utterance.finish(), recognizer.transcribe(samples)
        if (streamed.text, streamed.words, streamed.nbest) != (whole.text, whole.words, whole.nbest):
            differing.append((row["id"], streamed.text, whole.text))
    print(f"\n{len(chosen)} recordings, {len(differing)} differ")
    assert differing == []
