"""The loop from a source of sound to events: what `edge-las listen` does, without its options."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_las.audio import SILENCE_DBFS, level_dbfs
from edge_las.errors import AudioError
from edge_las.runtime.endpointer import Endpointer, Found, Speech, SpeechEnd, SpeechPause, SpeechStart
from edge_las.runtime.recognizer import Recognizer
from edge_las.runtime.saving import Saver
from edge_las.runtime.sources import Block, Source
from edge_las.runtime.utterance import Utterance
from edge_las.runtime.wake import WakeGate
from edge_las.search.fusion import Scorer

FloatArray = npt.NDArray[np.float32]
Event = Mapping[str, Any]

# Pieces that an utterance takes at once: partial text is read after each.
_PIECE_S = 0.1
_LEVEL_EVERY_S = 0.5
_ZEROS_S = 3.0


class Session:
    """Turns blocks of sound into events, in the order of the sound.

    Every speech_start is followed by one speech_end and then one final, whose text is empty where
    nothing was understood.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        endpointer: Endpointer,
        emit: Callable[[Event], None],
        saver: Saver | None = None,
        scorers: Sequence[Scorer] = (),
        wake: WakeGate | None = None,
    ) -> None:
        self._recognizer = recognizer
        self._wake = wake
        self._endpointer = endpointer
        self._emit = emit
        self._saver = saver
        self._scorers = scorers
        self._levels = Levels(recognizer.sample_rate)
        self._current: _Current | None = None
        self._overflows = 0
        self._lost_s = 0.0

    def accept(self, block: Block) -> None:
        """Take the next block of a source."""
        if block.interrupted:
            self._handle_all(self._endpointer.finish("interrupted"))
        if block.notice:
            self._emit({"event": "notice", "text": block.notice})
        if block.overflows:
            self._overflows += block.overflows
            self._lost_s += block.lost_s
            self._emit({"event": "overflow", "count": self._overflows, "lost_s": round(self._lost_s, 3)})
        for event in self._levels.accept(block.samples):
            self._emit(event)
        samples = block.samples if self._wake is None else self._wait_for_wake_word(self._wake, block.samples)
        self._handle_all(self._endpointer.accept(samples))

    def _wait_for_wake_word(self, wake: WakeGate, samples: FloatArray) -> FloatArray:
        """Hold samples (s,) back until the wake word; return those after it."""
        if not wake.is_awake:
            held_back, samples = wake.hold_back(samples)
            self._endpointer.skip(held_back)
            if wake.is_awake:
                time_s = round(self._endpointer.time_s, 3)
                self._emit({"event": "wake", "word": wake.word, "time_s": time_s})
        wake.pass_time(samples.size)
        return samples

    def finish(self, reason: str = "end") -> None:
        """End what is going on: the source has ended, or the loop shall."""
        self._handle_all(self._endpointer.finish(reason))

    def _handle_all(self, found: Iterable[Found]) -> None:
        for item in found:
            if isinstance(item, SpeechStart):
                self._current = _Current(self._recognizer.utterance(self._scorers), item.time_s, [])
                self._emit({"event": "speech_start", "time_s": round(item.time_s, 3)})
                if self._wake:
                    self._wake.speech_started()
            elif isinstance(item, Speech):
                self._hear(item.samples)
            elif isinstance(item, SpeechPause):
                self._pause()
            else:
                self._end(item)

    def _hear(self, samples: FloatArray) -> None:
        current = self._current
        assert current is not None
        if self._saver:
            current.kept.append(samples)
        current.utterance.accept(samples)
        current.since_partial += samples.size
        if current.since_partial < _PIECE_S * self._recognizer.sample_rate:
            return
        current.since_partial = 0
        text = current.utterance.partial()
        if text != current.partial:
            current.partial = text
            self._emit({"event": "partial", "text": text})

    def _pause(self) -> None:
        """Use the time until the pause is long enough to be the end: most often the text is then there."""
        assert self._current is not None
        self._current.utterance.spell_ahead()

    def _end(self, end: SpeechEnd) -> None:
        current, self._current = self._current, None
        assert current is not None
        times = {"start_s": round(current.start_s, 3), "end_s": round(end.time_s, 3)}
        self._emit({"event": "speech_end", "time_s": times["end_s"], "reason": end.reason})
        record = {"event": "final", **times, **current.utterance.finish().to_dict(), "saved": None}
        if self._saver:
            try:
                record["saved"] = self._saver.save(np.concatenate(current.kept), record)
            except AudioError as error:
                self._emit({"event": "notice", "text": f"not saved: {error}"})
        self._emit(record)
        if self._wake:
            self._wake.speech_ended(bool(record["text"] or record["intent"]))


@dataclass
class _Current:
    """The utterance going on."""

    utterance: Utterance
    start_s: float
    kept: list[FloatArray]
    partial: str = ""
    since_partial: int = 0


class Levels:
    """Level events twice a second of sound, and a word about a source that gives nothing but zeros."""

    def __init__(self, sample_rate: int) -> None:
        self._every = round(_LEVEL_EVERY_S * sample_rate)
        self._zeros_limit = round(_ZEROS_S * sample_rate)
        self._samples: list[FloatArray] = []
        self._count = self._zeros = 0

    def accept(self, samples: FloatArray) -> list[Event]:
        """Take samples (s,); return the events that they complete."""
        events: list[Event] = []
        if not samples.size:
            return events
        before = self._zeros
        self._zeros = 0 if samples.any() else before + samples.size
        if before < self._zeros_limit <= self._zeros:
            text = "only digital zeros arrive: is the microphone muted? `edge-las doctor` looks closer"
            events.append({"event": "notice", "text": text})
        self._samples.append(samples)
        self._count += samples.size
        if self._count >= self._every:
            heard = np.concatenate(self._samples)
            peak = float(np.abs(heard).max())
            peak_dbfs = 20.0 * float(np.log10(peak)) if peak else SILENCE_DBFS
            level = {"dbfs": round(level_dbfs(heard), 1), "peak_dbfs": round(max(peak_dbfs, SILENCE_DBFS), 1)}
            events.append({"event": "level", **level})
            self._samples, self._count = [], 0
        return events


def listen(source: Source, session: Session, stop: Callable[[], str]) -> None:
    """Run until the source ends or `stop()` tells a reason; what is being said then is still recognized.

    Raises: AudioError if the source cannot be read on, after the text of what it gave so far.
    """
    try:
        while not (reason := stop()):
            block = source.read()
            if block is None:
                reason = "end"
                break
            session.accept(block)
    except AudioError:
        session.finish("interrupted")
        raise
    finally:
        source.close()
    session.finish(reason)
