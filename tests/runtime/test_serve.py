"""The Wyoming server in a second process, spoken to by the real client."""

import asyncio
import os
import signal
import socket
import time

import numpy as np
import psutil
import pytest

from edge_las.audio import pcm_to_float

pytest.importorskip("wyoming")
pytest.importorskip("onnxruntime")

from wyoming.client import AsyncClient  # noqa: E402
from wyoming.info import Describe, Info  # noqa: E402
from wyoming.ping import Ping, Pong  # noqa: E402

from tests.runtime.wyoming_process import converse, serving, speech, text_of, transcript  # noqa: E402


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    # A random model finds no end of a text: greedy search, or every transcript takes its time.
    with serving(tmp_path_factory.mktemp("server"), model, "--beam", "1") as served:
        yield served


def expected(recognizer, pcm):
    return recognizer.transcribe(pcm_to_float(pcm)).text


def test_describe_and_ping(server):
    async def talk():
        async with AsyncClient.from_uri(server.uri) as client:
            await client.write_event(Describe().event())
            info = Info.from_event(await client.read_event())
            await client.write_event(Ping("hello").event())
            return info, Pong.from_event(await client.read_event())

    info, pong = asyncio.run(talk())
    (program,) = info.asr
    assert program.installed and program.supports_transcript_streaming and pong.text == "hello"
    assert [(m.name, m.languages) for m in program.models] == [("tiny", ["en"])]


def test_text_is_that_of_the_recognizer_and_a_connection_serves_many(server, recognizer):
    async def talk():
        async with AsyncClient.from_uri(server.uri) as client:
            return [text_of(await converse(client, speech(seed).tobytes(), chunk=700)) for seed in range(4)]

    texts = asyncio.run(talk())
    assert texts == [expected(recognizer, speech(seed)) for seed in range(4)]
    assert len(set(texts)) > 1 and all(texts)


def test_audio_longer_than_the_model_takes_comes_in_pieces(server, recognizer):
    long = np.concatenate([speech(seed, 3.0) for seed in range(12)])
    assert long.size / 16000 > recognizer.manifest.speller.max_utterance_s

    async def talk():
        async with AsyncClient.from_uri(server.uri) as client:
            return await converse(client, long.tobytes())

    events = asyncio.run(talk())
    assert text_of(events) == expected(recognizer, long)
    assert sum(event.type == "transcript-chunk" for event in events) > 1


@pytest.mark.parametrize(
    ("width", "channels"), [(1, 1), (2, 2), (3, 1), (4, 1), (4, 3)], ids=lambda value: str(value)
)
def test_widths_and_channels(server, recognizer, width, channels):
    pcm = speech(5)
    if width == 1:
        pcm = (pcm >> 8 << 8).astype(np.int16)
        raw = ((pcm >> 8) + 128).astype(np.uint8).tobytes()
    else:
        many = np.repeat(pcm.astype("<i4") << 16, channels)
        raw = many.view(np.uint8).reshape(-1, 4)[:, 4 - width :].tobytes()
    assert asyncio.run(transcript(server.uri, raw, width=width, channels=channels)) == expected(
        recognizer, pcm
    )


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_rates(server, recognizer, rate):
    soxr = pytest.importorskip("soxr")
    pcm = soxr.resample(speech(2), 16000, rate)
    back = soxr.resample(pcm.astype(np.float32) / 32768, rate, 16000, quality="HQ")
    text = asyncio.run(transcript(server.uri, pcm.tobytes(), rate=rate))
    assert text and text == recognizer.transcribe(back).text


def test_no_speech_gives_an_empty_transcript(server):
    assert asyncio.run(transcript(server.uri, bytes(32000))) == ""
    assert asyncio.run(transcript(server.uri, b"")) == ""


def test_a_hundred_streams_at_once(server, recognizer):
    want = {seed: expected(recognizer, speech(seed, 0.7)) for seed in range(100)}

    async def talk():
        jobs = (transcript(server.uri, speech(seed, 0.7).tobytes()) for seed in want)
        return await asyncio.gather(*jobs)

    assert asyncio.run(talk()) == list(want.values())


def test_memory_is_flat_over_a_thousand_sessions(server):
    process = psutil.Process(server.process.pid)

    async def sessions(rounds):
        for _ in range(rounds):
            jobs = (transcript(server.uri, speech(seed, 0.2).tobytes()) for seed in range(10))
            await asyncio.gather(*jobs)

    asyncio.run(sessions(10))
    before = process.memory_info().rss
    asyncio.run(sessions(100))
    grown = process.memory_info().rss - before
    assert grown < 4e6, f"{grown / 1e6:.1f} MB more after 1,000 sessions"
    assert process.num_fds() < 40


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_cleanly_with_clients_connected(model, tmp_path, number):
    with serving(tmp_path, model, uri=f"unix://{tmp_path}/socket") as server:
        assert asyncio.run(transcript(server.uri, speech(1).tobytes()))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "socket"))
            client.sendall(b'{"type": "audio-start", "data": {"rate": 16000, "width": 2, "channels": 1}}\n')
            time.sleep(0.1)
            started = time.monotonic()
            assert server.stop(number) == 0
            assert time.monotonic() - started < 3
        assert server.log.splitlines()[-1] == "edge-las: stopped"
        assert not (tmp_path / "socket").exists()


def test_systemd_is_told(model, tmp_path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(20)
        env = {**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
        with serving(tmp_path, model, env=env) as server:
            told = [systemd.recv(100) for _ in range(3)]
            assert sorted(set(told)) == [b"READY=1", b"WATCHDOG=1"]
            assert server.stop() == 0
            while told[-1] != b"STOPPING=1":
                told.append(systemd.recv(100))


def test_an_address_that_cannot_be_had_is_an_error(server, model, capsys):
    from edge_las.cli import main

    for uri in (server.uri, "tcp://127.0.0.1", "http://x:1", "tcp://127.0.0.1:99999"):
        assert main(["serve", "--uri", uri, "--model", str(model)]) == 2
        assert uri in capsys.readouterr().err
