"""An OpenAI-compatible `POST /v1/audio/transcriptions` beside the Wyoming server."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from aiohttp import BodyPartReader, web

from edge_las.audio import stream_audio
from edge_las.errors import AudioError, DeviceError
from edge_las.runtime.frames import ClientError
from edge_las.runtime.result import Result
from edge_las.runtime.session import Service, check_language
from edge_las.runtime.wyoming_server import LINGER_S

# What OpenAI takes at most.
MAX_FILE_BYTES = 25 << 20
_MAX_FIELD_BYTES = 4096
_MAX_PARTS = 64
_PART_BYTES = 65536
_STATUS = {"too-large": 413, "too-long": 413, "busy": 503, "idle": 408}


@contextlib.asynccontextmanager
async def http_served(service: Service, uri: str) -> AsyncIterator[str]:
    """Serve at http://HOST:PORT for as long as the context lasts; gives the address with its port.

    Raises: DeviceError if that address cannot be listened at.
    """
    url = urlparse(uri)
    try:
        port = url.port
    except ValueError:
        port = None
    if url.scheme != "http" or not url.hostname or port is None or url.path not in ("", "/"):
        raise DeviceError(f"{uri}: must be http://HOST:PORT")
    api = _Api(service)
    runner = web.AppRunner(
        api.application(),
        access_log=None,
        shutdown_timeout=service.limits.grace_s,
        lingering_time=LINGER_S,
    )
    await runner.setup()
    try:
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(lambda: api.connected(runner), url.hostname, port)
        except OSError as error:
            raise DeviceError(f"{uri}: {error.strerror or error}") from None
        bound = listener.sockets[0].getsockname()[1]
        try:
            yield f"http://{url.hostname}:{bound}"
        finally:
            listener.close()
    finally:
        await runner.cleanup()


class _Refused(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: Any) -> None:
        """Hang up."""
        transport.abort()


class _Api:
    """The requests that are answered, and the connections they come by."""

    def __init__(self, service: Service) -> None:
        self._service = service
        # Connections whose request has not begun, and what will cut them off.
        self._silent: dict[Any, asyncio.TimerHandle] = {}

    def application(self) -> web.Application:
        """Make the application."""
        application = web.Application(middlewares=[self._answered])
        application.router.add_post("/v1/audio/transcriptions", self._transcriptions)
        return application

    def connected(self, runner: web.AppRunner) -> asyncio.BaseProtocol:
        """Take a connection, within the limit; one that asks nothing is cut off after a while.

        Those that come in one turn of the loop are counted from the next on: a hundred more at the most.
        """
        server, limits = runner.server, self._service.limits
        assert server is not None
        if len(server.connections) >= limits.max_clients:
            return _Refused()
        protocol = server()
        loop = asyncio.get_running_loop()
        self._silent[protocol] = loop.call_later(limits.idle_s, self._drop, protocol)
        return protocol

    def _drop(self, protocol: Any) -> None:
        del self._silent[protocol]
        if protocol.transport is not None:
            protocol.transport.abort()

    @web.middleware
    async def _answered(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Answer errors as OpenAI does, and close: a connection is for one request."""
        timer = self._silent.pop(request.protocol, None)
        if timer is not None:  # else it is just being cut off
            timer.cancel()
        try:
            response: web.StreamResponse = await handler(request)
        except ClientError as error:
            response = _failure(_STATUS.get(error.code, 400), error.code, str(error))
        except web.HTTPException as error:
            response = _failure(error.status, "bad-request", error.reason)
        response.force_close()
        return response

    async def _transcriptions(self, request: web.Request) -> web.StreamResponse:
        with tempfile.NamedTemporaryFile(prefix="edge-las-") as file:
            try:
                async with asyncio.timeout(self._service.limits.idle_s):
                    fields = await _read_form(request, file)
            except TimeoutError:
                raise ClientError("idle", "the request did not arrive in time") from None
            answer = fields.get("response_format", "json")
            if answer not in _ANSWERS:
                raise ClientError("bad-request", f"response_format must be one of {', '.join(_ANSWERS)}")
            if fields.get("stream", "false").lower() not in ("false", "0"):
                raise ClientError("bad-request", "stream is not supported: use the Wyoming server")
            check_language(self._service.recognizer.manifest, fields.get("language"))
            work = partial(self._recognize, Path(file.name), fields["file"])
            result = await asyncio.get_running_loop().run_in_executor(self._service.pool, work)
        return _ANSWERS[answer](result, self._service.recognizer.manifest.language)

    def _recognize(self, path: Path, name: str) -> Result:
        recognizer, limit_s = self._service.recognizer, self._service.limits.max_seconds
        transcription, heard = recognizer.transcription(self._service.scorers), 0
        try:
            for samples in stream_audio(path, recognizer.sample_rate):
                heard += samples.size
                if heard > limit_s * recognizer.sample_rate:
                    raise ClientError("too-long", f"{name} is longer than {limit_s:g} s")
                transcription.accept(samples)
        except AudioError as error:
            raise ClientError("bad-audio", str(error).replace(str(path), name)) from None
        return transcription.finish()


async def _read_form(request: web.Request, file: Any) -> dict[str, str]:
    """Write the part `file` to a file, and give the other parts; `file` among them is its name."""
    fields: dict[str, str] = {}
    parts = 0
    if not request.content_type.startswith("multipart/"):
        raise ClientError("bad-request", "the body must be multipart/form-data")
    try:
        async for part in await request.multipart():
            parts += 1
            if parts > _MAX_PARTS:
                raise ClientError("too-large", f"the form has over {_MAX_PARTS} parts")
            if not isinstance(part, BodyPartReader) or not part.name:
                continue
            if part.name == "file" and "file" in fields:
                raise ClientError("bad-request", "the form has two files")
            limit = MAX_FILE_BYTES if part.name == "file" else _MAX_FIELD_BYTES
            taken = b""
            size = 0
            while chunk := await part.read_chunk(_PART_BYTES):
                size += len(chunk)
                if size > limit:
                    raise ClientError("too-large", f"{part.name} is over {limit} bytes")
                if part.name == "file":
                    file.write(chunk)
                else:
                    taken += chunk
            fields[part.name] = (part.filename or "file") if part.name == "file" else taken.decode()
    except ValueError as error:  # of the reader, and of decoding
        raise ClientError("bad-request", f"the body is no form: {error}") from None
    if "file" not in fields:
        raise ClientError("bad-request", "the form has no file")
    file.flush()
    return fields


def _failure(status: int, code: str, message: str) -> web.Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return web.json_response({"error": error}, status=status)


def _verbose(result: Result, language: str) -> web.Response:
    words = [{"word": word.word, "start": word.start_s, "end": word.end_s} for word in result.words]
    return web.json_response(
        {
            "task": "transcribe",
            "language": language,
            "duration": round(result.duration_s, 3),
            "text": result.text,
            "words": words,
        }
    )


_ANSWERS = {
    "json": lambda result, language: web.json_response({"text": result.text}),
    "text": lambda result, language: web.Response(text=result.text + "\n"),
    "verbose_json": _verbose,
}
