"""A real server in a second process, and what real clients do with it."""

import asyncio
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient

from tests.runtime import tone_engine as tones

ROOT = Path(__file__).resolve().parents[2]


class Served:
    """A server that runs."""

    def __init__(self, process, uri, log):
        self.process, self.uri, self._log = process, uri, log
        host, _, port = uri.removeprefix("tcp://").rpartition(":")
        self.address = (host, int(port)) if uri.startswith("tcp") else None

    @property
    def log(self):
        return self._log.read_text()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(15)


@contextmanager
def serving(folder, model, *options, uri="tcp://127.0.0.1:0", env=None):
    log = folder / "server.log"
    command = [sys.executable, "-m", "edge_las", "serve", "--uri", uri, "--model", str(model), *options]
    with open(log, "w") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, stderr=stderr, env=env)
    try:
        served = None
        for _ in range(400):
            found = re.search(r"serving \S+ on (\S+)", log.read_text())
            if found:
                served = Served(process, found[1], log)
                break
            assert process.poll() is None, log.read_text()
            process_wait(process, 0.05)
        assert served, "no server after 20 s"
        yield served
    finally:
        process.kill()
        process.wait()


def process_wait(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def speech(seed=0, seconds=1.0):
    """Sounds in 16 bits, (S,) int16: the model's words mean nothing, but differ."""
    text = " ".join(np.random.default_rng(seed).permutation(["one", "two", "three"])[: 1 + seed % 3])
    samples = np.resize(tones.say(text), int(16000 * seconds))
    noise = 0.01 * np.random.default_rng(seed).standard_normal(samples.size)
    return np.round(np.clip(samples + noise, -1, 0.99) * 32768).astype(np.int16)


async def converse(client, pcm, rate=16000, width=2, channels=1, chunk=1024):
    """One utterance over a connected client: the events that came back, transcript-stop the last."""
    await client.write_event(Transcribe(language="en").event())
    await client.write_event(AudioStart(rate, width, channels).event())
    step = chunk * width * channels
    for start in range(0, len(pcm), step):
        await client.write_event(AudioChunk(rate, width, channels, pcm[start : start + step]).event())
    await client.write_event(AudioStop().event())
    return await answer(client)


async def answer(client):
    events = []
    while not events or not (TranscriptStop.is_type(events[-1].type) or events[-1].type == "error"):
        event = await asyncio.wait_for(client.read_event(), 60)
        if event is None:
            break
        events.append(event)
    return events


def text_of(events):
    """The transcript, which the streamed chunks together must equal."""
    kinds = [event.type for event in events]
    assert TranscriptStart.is_type(kinds[0]) and TranscriptStop.is_type(kinds[-1])
    assert kinds.count("transcript") == 1 and kinds[-2] == "transcript"
    text = Transcript.from_event(events[-2]).text
    chunks = [TranscriptChunk.from_event(event).text for event in events if event.type == "transcript-chunk"]
    assert "".join(chunks) == text
    return text


async def transcript(uri, pcm, **form):
    async with AsyncClient.from_uri(uri) as client:
        return text_of(await converse(client, pcm, **form))
