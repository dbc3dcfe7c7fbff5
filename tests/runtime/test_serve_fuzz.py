"""Frames that are almost, or not at all, of the protocol: the server says so or goes on, and never hangs."""

import asyncio
import json
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("wyoming")
pytest.importorskip("onnxruntime")

from edge_las.runtime.frames import ClientError, Frame, Limits, read_frame  # noqa: E402
from tests.runtime.wyoming_process import serving, transcript  # noqa: E402

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(
    ["audio-start", "audio-chunk", "audio-stop", "transcribe", "describe", "ping", "other"]
)
FORMATS = st.fixed_dictionaries(
    {},
    optional={
        "rate": st.sampled_from([16000, 8000, 44100]) | JSON,
        "width": st.integers(0, 5) | JSON,
        "channels": st.integers(0, 3) | JSON,
        "language": st.just("en") | JSON,
        "name": JSON,
        "text": JSON,
    },
)


@st.composite
def frames(draw):
    """An event whose lengths mostly tell the truth."""
    header = {"type": draw(TYPES | JSON), "data": draw(FORMATS | JSON)}
    payload = draw(st.binary(max_size=400))
    header["payload_length"] = draw(st.just(len(payload)) | JSON)
    extra = json.dumps(draw(FORMATS | JSON)).encode() if draw(st.booleans()) else b""
    if extra:
        header["data_length"] = draw(st.just(len(extra)) | JSON)
    return json.dumps(header).encode() + b"\n" + extra + payload


STREAMS = st.lists(frames() | st.binary(max_size=60), min_size=1, max_size=6).map(b"".join)


@settings(max_examples=100, deadline=None)
@given(STREAMS)
def test_reading_gives_events_or_client_errors(stream):
    async def read():
        reader = asyncio.StreamReader(limit=65536)
        reader.feed_data(stream)
        reader.feed_eof()
        while frame := await read_frame(reader, Limits()):
            assert isinstance(frame, Frame) and isinstance(frame.data, dict)

    try:
        asyncio.run(asyncio.wait_for(read(), 5))
    except ClientError as error:
        assert error.code in ("bad-event", "too-large") and "\n" not in str(error)


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("fuzzed"), model, "--beam", "1", "--idle-timeout", "5") as served:
        yield served
        assert served.process.poll() is None
        assert "internal" not in served.log


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STREAMS)
def test_a_fuzzed_stream_ends_and_hurts_nobody(server, stream):
    with socket.create_connection(server.address, timeout=8) as sock:
        try:
            sock.sendall(stream)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except ConnectionError:
            pass  # cut off: that is an end too
    assert server.process.poll() is None


def test_after_all_that_it_still_serves(server):
    assert asyncio.run(transcript(server.uri, bytes(3200))) == ""
