"""`edge-las serve --http`: OpenAI's way to ask for a transcript, beside the Wyoming server of a process."""

import asyncio
import http.client
import io
import json
import re
import socket
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from edge_las.audio import pcm_to_float
from edge_las.cli import main

pytest.importorskip("wyoming")
pytest.importorskip("aiohttp")
pytest.importorskip("onnxruntime")

from tests.runtime.wyoming_process import serving, speech, transcript  # noqa: E402

URL = "/v1/audio/transcriptions"


@contextmanager
def with_http(folder, model, *options):
    with serving(folder, model, "--beam", "1", "--http", "http://127.0.0.1:0", *options) as server:
        server.http = ("127.0.0.1", int(re.search(r"HTTP on http://127.0.0.1:(\d+)", server.log)[1]))
        yield server


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    with with_http(tmp_path_factory.mktemp("server"), model, "--max-seconds", "4") as served:
        yield served


def wav(pcm, rate=16000):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())
    return buffer.getvalue()


def form(file=None, **fields):
    """A multipart body and its content type."""
    parts = [
        f'--limit\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if file is not None:
        head = '--limit\r\nContent-Disposition: form-data; name="file"; filename="said.wav"\r\n\r\n'
        parts.append(head.encode() + file + b"\r\n")
    return b"".join(parts) + b"--limit--\r\n", "multipart/form-data; boundary=limit"


def two(body_and_type):
    """The same parts once more."""
    body, content_type = body_and_type
    return body.removesuffix(b"--limit--\r\n") + body, content_type


def post(server, body, content_type, url=URL, method="POST"):
    connection = http.client.HTTPConnection(*server.http, timeout=20)
    connection.request(method, url, body, {"Content-Type": content_type})
    response = connection.getresponse()
    return response.status, response.read()


def test_the_text_is_that_of_the_recognizer(server, recognizer):
    pcm = speech(3)
    status, body = post(server, *form(wav(pcm), model="whisper-1", language="en", temperature="0"))
    assert (status, json.loads(body)) == (200, {"text": recognizer.transcribe(pcm_to_float(pcm)).text})
    status, body = post(server, *form(wav(pcm), model="whisper-1", response_format="text"))
    assert (status, body.decode()) == (200, recognizer.transcribe(pcm_to_float(pcm)).text + "\n")


def test_verbose_answers_have_words_and_duration(server, recognizer):
    pcm = speech(3)
    status, body = post(server, *form(wav(pcm), response_format="verbose_json"))
    found, wanted = json.loads(body), recognizer.transcribe(pcm_to_float(pcm))
    assert (status, found["language"], found["duration"]) == (200, "en", 1.0)
    assert [word["word"] for word in found["words"]] == [word.word for word in wanted.words]


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        (form(model="x"), 400, "bad-request", "has no file"),
        (form(b"no sound"), 400, "bad-audio", "said.wav"),
        (form(b""), 400, "bad-audio", "said.wav"),
        (form(wav(speech(0, 5.0))), 413, "too-long", "said.wav is longer than 4 s"),
        (form(wav(speech(0)), language="de"), 400, "bad-language", "en"),
        (form(wav(speech(0)), response_format="srt"), 400, "bad-request", "response_format"),
        (form(wav(speech(0)), stream="true"), 400, "bad-request", "stream"),
        (form(wav(speech(0)), prompt="x" * 5000), 413, "too-large", "prompt is over 4096 bytes"),
        (two(form(wav(speech(0)))), 400, "bad-request", "two files"),
        (form(**{f"field{number}": 1 for number in range(65)}), 413, "too-large", "over 64 parts"),
        (form(bytes((25 << 20) + 1)), 413, "too-large", "file is over"),
        ((b"{}", "application/json"), 400, "bad-request", "multipart"),
        ((b"nonsense", "multipart/form-data; boundary=limit"), 400, "bad-request", ""),
        ((b"nonsense", "multipart/form-data"), 400, "bad-request", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_as_openai_does(server, body, status, code, message):
    got, answer = post(server, *body)
    error = json.loads(answer)["error"]
    assert (got, error["code"], error["type"]) == (status, code, "invalid_request_error")
    assert message in error["message"] and "edge-las-" not in error["message"]


def test_other_paths_and_methods(server):
    assert post(server, *form(), url="/v1/other")[0] == 404
    assert post(server, *form(), method="GET")[0] == 405


def test_many_at_once_beside_wyoming(server, recognizer):
    want = {seed: recognizer.transcribe(pcm_to_float(speech(seed, 0.5))).text for seed in range(20)}

    def ask(seed):
        return json.loads(post(server, *form(wav(speech(seed, 0.5))))[1])["text"]

    with ThreadPoolExecutor(10) as pool:
        asked = pool.map(ask, want)
        spoken = asyncio.run(transcript(server.uri, speech(1, 0.5).tobytes()))
        assert list(asked) == list(want.values()) and spoken == want[1]


def test_silent_slow_and_surplus_connections_are_cut_off(model, tmp_path):
    with with_http(tmp_path, model, "--idle-timeout", "1", "--max-clients", "2") as server:
        started = time.monotonic()
        with socket.create_connection(server.http, timeout=10) as silent:
            with socket.create_connection(server.http, timeout=10) as slow:
                slow.sendall(f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n".encode())
                slow.sendall(b"Content-Type: multipart/form-data; boundary=limit\r\n\r\n--limit")
                time.sleep(0.2)  # connections that come in the same moment are not counted yet
                came = time.monotonic()
                with socket.create_connection(server.http, timeout=10) as surplus:
                    assert ended(surplus) == b"" and time.monotonic() - came < 0.7
                assert b"408" in ended(slow)
            assert ended(silent) == b""
        assert time.monotonic() - started < 5.0
        assert post(server, *form(wav(speech(1))))[0] == 200
        assert server.stop() == 0


def ended(sock):
    """All that comes until the server hangs up."""
    told = b""
    try:
        while part := sock.recv(65536):
            told += part
    except ConnectionError:
        pass
    return told


def test_an_address_that_cannot_be_had_is_an_error(server, model, capsys):
    taken = "http://{}:{}".format(*server.http)
    for uri in (taken, "tcp://127.0.0.1:1", "http://127.0.0.1", "http://x:99999", "http://127.0.0.1:1/v1"):
        assert main(["serve", "--uri", "tcp://127.0.0.1:0", "--model", str(model), "--http", uri]) == 2
        assert uri in capsys.readouterr().err
