"""Reads Wyoming events off a stream within limits, so that no client can take more memory than stated."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from edge_las.errors import ConfigError, EdgeLasError


class ClientError(EdgeLasError):
    """What a client did wrong; code is for machines."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Limits:
    """What a client may take of the server."""

    max_clients: int = 128
    # A line of JSON, and the JSON that may follow it.
    header_bytes: int = 65536
    data_bytes: int = 65536
    payload_bytes: int = 1 << 20
    # Audio in one utterance; also, twice over, the time it may take to arrive.
    max_seconds: float = 60.0
    # A whole event must arrive within this.
    idle_s: float = 30.0
    # The client must make room for what is sent to it within this.
    write_s: float = 10.0
    # Transcripts being made when the server is told to stop get this long.
    grace_s: float = 5.0

    def __post_init__(self) -> None:
        for name in ("max_clients", "max_seconds", "idle_s", "write_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be above 0")


@dataclass(frozen=True)
class Frame:
    """An event as it came."""

    type: str
    data: dict[str, Any]
    payload: bytes


async def read_frame(reader: asyncio.StreamReader, limits: Limits) -> Frame | None:
    """Read an event; None at the end of the stream. The reader's own limit must be limits.header_bytes.

    Raises: ClientError for anything that is no event or goes beyond the limits.
    """
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ClientError("bad-event", "the stream ended within a header") from None
        return None
    except asyncio.LimitOverrunError:
        raise ClientError("too-large", f"a header is longer than {limits.header_bytes} bytes") from None
    header = _json_object(line, "a header")
    kind, data = header.get("type"), header.get("data") or {}
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise ClientError("bad-event", "a header needs a type (text) and, if any, data (an object)")
    data_length = _length(header, "data_length", limits.data_bytes)
    payload_length = _length(header, "payload_length", limits.payload_bytes)
    if data_length:
        data = {**data, **_json_object(await _exactly(reader, data_length), "data")}
    return Frame(kind, data, await _exactly(reader, payload_length) if payload_length else b"")


def _json_object(text: bytes, what: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ClientError("bad-event", f"{what} is no JSON") from None
    if not isinstance(values, dict):
        raise ClientError("bad-event", f"{what} is no JSON object")
    return values


def _length(header: dict[str, Any], name: str, limit: int) -> int:
    length = header.get(name)
    if length is None:
        return 0
    if type(length) is not int or length < 0:
        raise ClientError("bad-event", f"{name} is no length")
    if length > limit:
        raise ClientError("too-large", f"{name} is over {limit}")
    return length


async def _exactly(reader: asyncio.StreamReader, length: int) -> bytes:
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        raise ClientError("bad-event", "the stream ended within an event") from None
