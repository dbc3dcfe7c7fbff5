"""Finds where speech begins and ends in a stream: a voice activity detector under a pure state machine."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.runtime.detectors import FRAME_S, VoiceDetector
from edge_las.runtime.speech_states import Change, EndpointConfig, SpeechStates

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SpeechStart:
    """An utterance begins with the sample at time_s."""

    time_s: float


@dataclass(frozen=True)
class Speech:
    """Samples of the utterance, (s,)."""

    samples: FloatArray


@dataclass(frozen=True)
class SpeechPause:
    """Nobody speaks at the moment: no more samples will come unless speech goes on."""


@dataclass(frozen=True)
class SpeechEnd:
    """The utterance ended with the sample before time_s; reason is silence, limit, or the caller's."""

    time_s: float
    reason: str


Found = SpeechStart | Speech | SpeechPause | SpeechEnd


class Endpointer:
    """Cuts utterances out of a stream: the same ones however it is cut into blocks."""

    def __init__(self, detector: VoiceDetector, config: EndpointConfig, sample_rate: int) -> None:
        self._detector = detector
        self._config = config
        self._sample_rate = sample_rate
        self._frame = round(FRAME_S * sample_rate)
        self._range = 10.0 ** (-config.range_db / 10.0)
        self._least_energy = self._frame * 10.0 ** (config.min_level_dbfs / 10.0)
        self._rest = np.zeros(0, dtype=np.float32)
        self._done = 0  # samples judged so far
        self._reset()

    def _reset(self) -> None:
        self._states = SpeechStates(self._config)
        self._held: deque[FloatArray] = deque(maxlen=max(1, self._states.held_frames))
        self._withheld: list[FloatArray] = []
        self._loudest_energy = 0.0

    def accept(self, samples: FloatArray) -> Iterator[Found]:
        """Take samples (s,) and yield what happens in them."""
        samples = np.concatenate([self._rest, samples])
        whole = samples.size // self._frame * self._frame
        self._rest = samples[whole:].copy()
        for start in range(0, whole, self._frame):
            yield from self._judge(samples[start : start + self._frame])

    @property
    def time_s(self) -> float:
        """How much sound has gone by."""
        return (self._done + self._rest.size) / self._sample_rate

    def skip(self, count: int) -> None:
        """Let samples go by unheard between utterances; what comes next is another stream."""
        assert not self._states.in_speech
        self._done += self._rest.size + count
        self._rest = self._rest[:0]
        self._reset()

    def finish(self, reason: str) -> Iterator[Found]:
        """End the utterance that may be going on; what comes next is another stream."""
        rest, self._rest = self._rest, self._rest[:0]
        self._done += rest.size
        if self._states.in_speech:
            self._withheld.append(rest)
            if not self._states.is_pausing:
                yield self._rest_of_speech()
            yield self._end(reason)
        self._reset()

    def _judge(self, frame: FloatArray) -> Iterator[Found]:
        self._done += frame.size
        energy = float(np.dot(frame, frame))
        least = max(self._least_energy, self._loudest_energy * self._range)
        voiced = self._detector.is_speech(frame) and energy >= least
        if self._states.in_speech:
            self._loudest_energy = max(self._loudest_energy, energy)
            self._withheld.append(frame)
            yield from self._go_on(self._states.step(voiced))
            return
        self._held.append(frame)
        if self._states.step(voiced) is Change.START:
            frames = list(self._held)[-self._states.lead_frames :]
            self._held.clear()
            lead = np.concatenate(frames)
            self._loudest_energy = energy
            yield SpeechStart((self._done - lead.size) / self._sample_rate)
            yield Speech(lead)

    def _go_on(self, change: Change) -> Iterator[Found]:
        if not self._states.is_pausing:
            yield self._rest_of_speech()
        if change is not Change.NONE:
            yield self._end(change.value)
        elif self._states.at_tail_end:
            yield SpeechPause()

    def _rest_of_speech(self) -> Speech:
        samples, self._withheld = np.concatenate(self._withheld), []
        return Speech(samples)

    def _end(self, reason: str) -> SpeechEnd:
        left_out, self._withheld = self._withheld, []
        self._loudest_energy = 0.0
        self._held.extend(left_out)
        return SpeechEnd((self._done - sum(frame.size for frame in left_out)) / self._sample_rate, reason)
