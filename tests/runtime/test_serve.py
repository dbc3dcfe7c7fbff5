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
from edge_las.runtime.recognizer import Recognizer

pytest.importorskip("wyoming")
pytest.importorskip("onnxruntime")

from wyoming.audio import AudioChunk, AudioStart, AudioStop  # noqa: E402
from wyoming.client import AsyncClient  # noqa: E402
from wyoming.info import Describe, Info  # noqa: E402
from wyoming.ping import Ping, Pong  # noqa: E402

from tests.runtime import tiny_onnx  # noqa: E402
from tests.runtime.wyoming_process import answer, converse, serving, speech, text_of, transcript  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_onnx.write_artifact(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def recognizer(model):
    return Recognizer.load(model, beam_size=1)


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


def test_memory_is_flat_over_many_sessions(server):
    process = psutil.Process(server.process.pid)

    async def sessions(count):
        for _ in range(count):
            await asyncio.gather(*(transcript(server.uri, speech(seed, 0.4).tobytes()) for seed in range(5)))

    asyncio.run(sessions(8))
    before = process.memory_info().rss
    asyncio.run(sessions(40))
    grown = process.memory_info().rss - before
    assert grown < 3e6, f"{grown / 1e6:.1f} MB more after 200 sessions"
    assert process.num_fds() < 40


def raw(server, *parts, read=True, timeout=10):
    """Send bytes as they are; return all that comes back until the server closes."""
    with socket.create_connection(server.address, timeout=timeout) as sock:
        for part in parts:
            sock.sendall(part)
        sock.shutdown(socket.SHUT_WR)
        answered = b""
        while part := sock.recv(65536):
            answered += part
        return answered


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"no json\n", b"bad-event"),
        (b"[1]\n", b"bad-event"),
        (b'{"type": 3}\n', b"bad-event"),
        (b"[" * 60000 + b"\n", b"bad-event"),
        (b'{"type": "ping", "data_length": "x"}\n', b"bad-event"),
        (b'{"type": "ping", "payload_length": -1}\n', b"bad-event"),
        (b'{"type": "ping", "payload_length": 9}\nabc', b"bad-event"),
        (b'{"type": "audio-chunk", "payload_length": 99999999999}\n', b"too-large"),
        (b'{"type": "describe", "data_length": 99999999}\n', b"too-large"),
        (b"x" * 200000, b"too-large"),
        (b'{"type": "audio-start"}\n', b"bad-audio"),
        (b'{"type": "audio-start", "data": {"rate": 0, "width": 2, "channels": 1}}\n', b"bad-audio"),
        (b'{"type": "audio-start", "data": {"rate": NaN, "width": 2, "channels": 1}}\n', b"bad-audio"),
        (b'{"type": "audio-start", "data": {"rate": 16000, "width": 9, "channels": 1}}\n', b"bad-audio"),
        (b'{"type": "transcribe", "data": {"language": "de"}}\n', b"bad-language"),
        (b'{"type": "transcribe", "data": {"name": "other"}}\n', b"bad-model"),
    ],
)
def test_what_is_malformed_or_oversized_is_told_and_dropped(server, sent, code):
    assert b'"' + code + b'"' in raw(server, sent)
    assert asyncio.run(transcript(server.uri, bytes(3200))) == ""


def test_unknown_events_are_passed_over(server):
    async def talk():
        async with AsyncClient.from_uri(server.uri) as client:
            await client.write_event(AudioChunk(16000, 2, 1, b"").event())
            unknown = Ping().event()
            unknown.type, unknown.payload = "from-the-future", bytes(1000)
            await client.write_event(unknown)
            await client.write_event(AudioStop().event())
            return await answer(client)

    assert text_of(asyncio.run(talk())) == ""


def test_slow_endless_and_surplus_clients_are_dropped_in_time(model, recognizer, tmp_path):
    options = (
        "--beam",
        "1",
        "--idle-timeout",
        "1",
        "--write-timeout",
        "1",
        "--max-seconds",
        "2",
        "--max-clients",
        "3",
    )
    with serving(tmp_path, model, *options) as server:
        asyncio.run(endless(server))
        idle(server)
        reads_nothing(server)
        asyncio.run(surplus(server))
        assert asyncio.run(transcript(server.uri, speech(1).tobytes())) == expected(recognizer, speech(1))
        assert server.process.poll() is None


async def endless(server):
    started = time.monotonic()
    with pytest.raises(ConnectionError):
        async with AsyncClient.from_uri(server.uri) as client:
            await client.write_event(AudioStart(16000, 2, 1).event())
            for _ in range(10000):
                await client.write_event(AudioChunk(16000, 2, 1, bytes(32000)).event())
                await asyncio.sleep(0.001)
    assert time.monotonic() - started < 5
    assert "too-long" in server.log


def idle(server):
    started = time.monotonic()
    with socket.create_connection(server.address, timeout=10) as sock:
        sock.sendall(b'{"type": ')  # half an event is none
        assert b'"idle"' in sock.recv(65536)
    assert time.monotonic() - started < 2.5


def reads_nothing(server):
    ping = b'{"type": "ping", "data": {"text": "' + b"x" * 60000 + b'"}}\n'
    started = time.monotonic()
    memory = psutil.Process(server.process.pid)
    before = memory.memory_info().rss
    with socket.create_connection(server.address, timeout=20) as sock, pytest.raises(OSError):
        while time.monotonic() - started < 15:
            sock.sendall(ping)
    assert time.monotonic() - started < 6
    assert memory.memory_info().rss - before < 8e6
    assert "read nothing for 1 s" in server.log


async def surplus(server):
    clients = [AsyncClient.from_uri(server.uri) for _ in range(4)]
    for client in clients:
        await client.connect()
        await client.write_event(Describe().event())
    events = [await client.read_event() for client in clients]
    assert sorted(event.type for event in events) == ["error", "info", "info", "info"]
    assert [event.data["code"] for event in events if event.type == "error"] == ["busy"]
    for client in clients:
        await client.disconnect()
    while (await first_answer(server)).type == "error":
        await asyncio.sleep(0.1)


async def first_answer(server):
    async with AsyncClient.from_uri(server.uri) as client:
        await client.write_event(Describe().event())
        return await client.read_event()


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
