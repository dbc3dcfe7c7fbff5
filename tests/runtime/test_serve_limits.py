"""What a client may take of the Wyoming server, and what becomes of one that takes more."""

import asyncio
import socket
import time

import psutil
import pytest

from edge_las.audio import pcm_to_float

pytest.importorskip("wyoming")
pytest.importorskip("onnxruntime")

from wyoming.audio import AudioChunk, AudioStart, AudioStop  # noqa: E402
from wyoming.client import AsyncClient  # noqa: E402
from wyoming.info import Describe  # noqa: E402
from wyoming.ping import Ping  # noqa: E402

from tests.runtime.wyoming_process import answer, serving, speech, text_of, transcript  # noqa: E402


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server"), model, "--beam", "1") as served:
        yield served


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
        wanted = recognizer.transcribe(pcm_to_float(speech(1))).text
        assert asyncio.run(transcript(server.uri, speech(1).tobytes())) == wanted
        assert server.process.poll() is None


def test_bad_clients_do_not_disturb_good_ones(server, recognizer):
    """Half an event, endless sound, and pings of one that reads nothing, all at once, beside good clients."""
    wanted = [recognizer.transcribe(pcm_to_float(speech(seed))).text for seed in range(20)]

    async def flood(start, part):
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(start)
        try:
            while part:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            await asyncio.sleep(60)
        finally:
            writer.transport.abort()

    async def talk():
        form = b'{"type": "audio-start", "data": {"rate": 16000, "width": 2, "channels": 1}}\n'
        chunk = form.replace(b"start", b"chunk").replace(b"}}", b'}, "payload_length": 640}') + bytes(640)
        ping = b'{"type": "ping", "data": {"text": "' + b"x" * 60000 + b'"}}\n'
        bad = [flood(b'{"type": ', b""), flood(form, chunk), flood(b"", ping)]
        tasks = [asyncio.create_task(task) for task in bad * 3]
        await asyncio.sleep(0.2)
        good = (transcript(server.uri, speech(seed).tobytes()) for seed in range(20))
        texts = await asyncio.wait_for(asyncio.gather(*good), 60)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return texts

    assert asyncio.run(talk()) == wanted


async def endless(server):
    started = time.monotonic()
    with pytest.raises(ConnectionError):
        async with AsyncClient.from_uri(server.uri) as client:
            await client.write_event(AudioStart(16000, 2, 1).event())
            for _ in range(10000):
                await client.write_event(AudioChunk(16000, 2, 1, bytes(32000)).event())
                await asyncio.sleep(0.001)
    assert time.monotonic() - started < 10
    assert "too-long" in server.log


def idle(server):
    started = time.monotonic()
    with socket.create_connection(server.address, timeout=10) as sock:
        sock.sendall(b'{"type": ')  # half an event is none
        told = b""
        while part := sock.recv(65536):
            told += part
    assert b'"idle"' in told and 1.0 <= time.monotonic() - started < 5


def reads_nothing(server):
    ping = b'{"type": "ping", "data": {"text": "' + b"x" * 60000 + b'"}}\n'
    started = time.monotonic()
    memory = psutil.Process(server.process.pid)
    before = memory.memory_info().rss
    with socket.create_connection(server.address, timeout=20) as sock, pytest.raises(OSError):
        while time.monotonic() - started < 15:
            sock.sendall(ping)
    assert time.monotonic() - started < 10
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
