"""One client of the Wyoming server: its events in, its transcripts out."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

from edge_las import __version__
from edge_las.artifact import Manifest
from edge_las.errors import AudioError
from edge_las.runtime.frames import ClientError, Frame, Limits, read_frame
from edge_las.runtime.pcm import PcmFormat, PcmStream
from edge_las.runtime.recognizer import Recognizer
from edge_las.runtime.result import Result
from edge_las.search.fusion import Scorer

T = TypeVar("T")

_URL = "https://arxiv.org/abs/1508.01211"


@dataclass(frozen=True)
class Service:
    """What all sessions share."""

    recognizer: Recognizer
    limits: Limits
    pool: Executor
    # Audio is handed to the pool in parts of at least this length: small chunks cost more to hand over.
    part_s: float = 0.08
    scorers: Sequence[Scorer] = ()


class Session:
    """A conversation; one event is handled after the other, so a client that hurries waits for itself."""

    def __init__(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._service = service
        self._reader = reader
        self._writer = writer
        self._audio: _Audio | None = None
        # True while a transcript is being made: not a moment to hang up.
        self.finishing = False
        self._handlers: dict[str, Callable[[Frame], Awaitable[None]]] = {
            "describe": self._describe,
            "ping": self._ping,
            "transcribe": self._transcribe,
            "audio-start": self._start,
            "audio-chunk": self._chunk,
            "audio-stop": self._stop,
        }

    async def run(self) -> None:
        """Serve until the client leaves.

        Raises: ClientError for what it does wrong, ConnectionError when it is gone or reads nothing.
        """
        limits = self._service.limits
        while True:
            try:
                async with asyncio.timeout(limits.idle_s):
                    frame = await read_frame(self._reader, limits)
            except TimeoutError:
                raise ClientError("idle", f"no event came within {limits.idle_s:g} s") from None
            if frame is None:
                return
            # Unknown events are part of the protocol's future.
            handler = self._handlers.get(frame.type)
            if handler is None:
                continue
            try:
                await handler(frame)
            except AudioError as error:
                raise ClientError("bad-audio", str(error)) from None

    async def send(self, *events: Any) -> None:
        """Send Wyoming events.

        Raises: ConnectionError if the client makes no room for them.
        """
        from wyoming.event import async_write_event

        limit_s = self._service.limits.write_s
        try:
            async with asyncio.timeout(limit_s):
                for event in events:
                    await async_write_event(event.event(), self._writer)
        except TimeoutError:
            raise ConnectionAbortedError(f"read nothing for {limit_s:g} s") from None

    async def _describe(self, frame: Frame) -> None:
        await self.send(describe(self._service.recognizer))

    async def _ping(self, frame: Frame) -> None:
        from wyoming.ping import Pong

        text = frame.data.get("text")
        await self.send(Pong(text if isinstance(text, str) else None))

    async def _transcribe(self, frame: Frame) -> None:
        manifest = self._service.recognizer.manifest
        name = frame.data.get("name")
        check_language(manifest, frame.data.get("language"))
        if name is not None and name != manifest.name:
            raise ClientError("bad-model", f"the model's name is {manifest.name}")

    async def _start(self, frame: Frame) -> None:
        if self._audio is not None:
            raise ClientError("bad-order", "audio-start came before the audio-stop of the last one")
        self._audio = _Audio(_format(frame), self._service)

    async def _chunk(self, frame: Frame) -> None:
        if self._audio is None:
            await self._start(frame)
        audio = self._audio
        assert audio is not None
        if _format(frame) != audio.form:
            raise ClientError("bad-audio", "rate, width or channels changed within an utterance")
        if audio.take(frame.payload):
            text = await self._in_pool(audio.recognize)
            if text:
                await self._tell(audio, text)

    async def _stop(self, frame: Frame) -> None:
        from wyoming.asr import Transcript, TranscriptChunk, TranscriptStart, TranscriptStop

        audio, self._audio = self._audio, None
        self.finishing = True
        try:
            result = await self._in_pool(audio.finish) if audio is not None else None
            text, language = result.text if result else "", self._service.recognizer.manifest.language
            told = audio.told if audio is not None else ""
            events: list[Any] = [] if told else [TranscriptStart(language=language)]
            if text != told:
                events.append(TranscriptChunk(text[len(told) :]))
            await self.send(*events, Transcript(text, language=language), TranscriptStop())
        finally:
            self.finishing = False

    async def _tell(self, audio: "_Audio", text: str) -> None:
        """Send the text of a piece of a long utterance, which goes on."""
        from wyoming.asr import TranscriptChunk, TranscriptStart

        if not audio.told:
            await self.send(TranscriptStart(language=self._service.recognizer.manifest.language))
        else:
            text = f" {text}"
        await self.send(TranscriptChunk(text))
        audio.told += text

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._service.pool, work)


class _Audio:
    """The utterance that a client is sending."""

    def __init__(self, form: PcmFormat, service: Service) -> None:
        self.form = form
        # The part of the text that was sent already.
        self.told = ""
        self._limit_s = service.limits.max_seconds
        self._part_bytes = int(service.part_s * form.rate) * form.frame_bytes
        self._pending = bytearray()
        self._frames = 0
        self._started_s = time.monotonic()
        self._stream = PcmStream(form, service.recognizer.sample_rate)
        self._transcription = service.recognizer.transcription(service.scorers)

    def take(self, payload: bytes) -> bool:
        """Keep a chunk; return whether it is time to recognize what was kept.

        Raises: ClientError if the utterance goes on for too long.
        """
        if len(payload) % self.form.frame_bytes:
            raise AudioError(f"{len(payload)} bytes are no whole frames of {self.form.frame_bytes}")
        self._frames += len(payload) // self.form.frame_bytes
        waited_s = time.monotonic() - self._started_s
        if self._frames > self._limit_s * self.form.rate or waited_s > 2 * self._limit_s:
            raise ClientError("too-long", f"an utterance is longer than {self._limit_s:g} s")
        self._pending += payload
        return len(self._pending) >= self._part_bytes

    def recognize(self) -> str:
        """Run the Listener on what was kept; return the text of pieces that ended."""
        raw, self._pending = bytes(self._pending), bytearray()
        return self._transcription.accept(self._stream.accept(raw))

    def finish(self) -> Result:
        """Recognize the rest; return the whole."""
        self.recognize()
        self._transcription.accept(self._stream.finish())
        return self._transcription.finish()


def _format(frame: Frame) -> PcmFormat:
    data = frame.data
    try:
        return PcmFormat(data["rate"], data["width"], data["channels"])
    except KeyError as error:
        raise ClientError("bad-audio", f"{frame.type} has no {error.args[0]}") from None


def check_language(manifest: Manifest, language: Any) -> None:
    """Raise ClientError if a language is asked for, in any of its regions, that is not the model's."""
    if language is not None and str(language).lower().replace("_", "-").split("-")[0] != manifest.language:
        raise ClientError("bad-language", f"the model's language is {manifest.language}")


def describe(recognizer: Recognizer) -> Any:
    """Make the server's Info event."""
    from wyoming.info import AsrModel, AsrProgram, Attribution, Info

    manifest = recognizer.manifest
    credit = Attribution(name="edge-las", url=_URL)
    model = AsrModel(
        name=manifest.name, attribution=credit, installed=True, version=str(manifest.format_version),
        description="Listen, Attend and Spell", languages=[manifest.language],
    )  # fmt: skip
    program = AsrProgram(
        name="edge-las", attribution=credit, installed=True, version=__version__, models=[model],
        description="Speech recognition on this device", supports_transcript_streaming=True,
    )  # fmt: skip
    return Info(asr=[program])
