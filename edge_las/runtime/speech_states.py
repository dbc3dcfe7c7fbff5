"""When an utterance begins and ends, from one flag a frame: a state machine and its limits."""

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum

from edge_las.config import check_at_least
from edge_las.errors import ConfigError
from edge_las.runtime.detectors import FRAME_S

# An utterance longer than this part of the maximum may end at a shorter pause: better than in a word.
_LONG_PART = 0.6
_SHORT_PAUSE_S = 0.2


@dataclass(frozen=True)
class EndpointConfig:
    """Limits of an utterance, in seconds."""

    # From before the first voiced frame. Of 152 clips 13 lost sound within 30 dB of peak at 0.3, 4 at 0.5.
    pre_roll_s: float = 0.5
    # Voiced time, within twice as long, that makes a beginning: clicks don't.
    min_speech_s: float = 0.1
    # The detector holds on for up to 0.1 s after speech: together at most 0.5.
    trailing_silence_s: float = 0.4
    max_utterance_s: float = 15.0
    # Quieter frames are never speech, whatever the detector says.
    min_level_dbfs: float = -60.0
    # Of the pause, what still belongs to the utterance: the rest would only be more silence to spell.
    tail_s: float = 0.2
    # Frames this far below the loudest of their utterance are a pause, whatever the detector says: breath and
    # echo keep it going. Of 416 recordings the end of 10 % was known after more than 0.52 s without this,
    # 0.42 s with 30 dB; 25 dB cuts quiet words off.
    range_db: float = 30.0

    def __post_init__(self) -> None:
        check_at_least(self, FRAME_S, "min_speech_s", "trailing_silence_s")
        check_at_least(self, 0, "pre_roll_s", "tail_s", "range_db")
        least = self.pre_roll_s + 2 * self.min_speech_s + self.trailing_silence_s
        if not self.max_utterance_s >= least:
            raise ConfigError(
                f"max_utterance_s is {self.max_utterance_s}, shorter than pre-roll, "
                f"beginning and trailing silence together ({least:g})"
            )


class Change(Enum):
    """What a frame changed."""

    NONE = "none"
    START = "start"
    END_SILENCE = "silence"
    END_LIMIT = "limit"


class SpeechStates:
    """Speech or silence from one flag a frame.

    At a START, lead_frames counts those already in it. is_pausing tells that the last frame came after the
    tail: it belongs to the utterance only if speech goes on.
    """

    def __init__(self, config: EndpointConfig) -> None:
        self._least = frames_in(config.min_speech_s)
        self._pre_roll = frames_in(config.pre_roll_s)
        self._trailing = frames_in(config.trailing_silence_s)
        self._tail = frames_in(config.tail_s)
        # Rounded down: the recognizer's own limit must hold.
        self._max = int(config.max_utterance_s / FRAME_S + 1e-6)
        self._recent: deque[bool] = deque(maxlen=2 * self._least)
        self._unused = 0  # frames since the last utterance
        self._length = 0
        self._silent = 0
        self.lead_frames = 0
        self.is_pausing = False

    @property
    def at_tail_end(self) -> bool:
        """Whether a pause has just grown as long as the tail."""
        return self._length > 0 and self._silent == self._tail

    @property
    def in_speech(self) -> bool:
        """Whether an utterance is going on."""
        return self._length > 0

    @property
    def held_frames(self) -> int:
        """The most frames that lead_frames can tell."""
        return self._pre_roll + 2 * self._least

    def step(self, voiced: bool) -> Change:
        """Take the next frame's flag."""
        return self._in_speech(voiced) if self._length else self._in_silence(voiced)

    def _in_silence(self, voiced: bool) -> Change:
        self._recent.append(voiced)
        self._unused += 1
        if not voiced or sum(self._recent) < self._least:
            return Change.NONE
        first = list(self._recent).index(True)
        lead = min(len(self._recent) - first + self._pre_roll, self._unused, self._max - 1)
        self.lead_frames, self._length, self._silent = lead, lead, 0
        return Change.START

    def _in_speech(self, voiced: bool) -> Change:
        self._length += 1
        self._silent = 0 if voiced else self._silent + 1
        self.is_pausing = self._silent > self._tail
        if self._silent >= self._pause_that_ends():
            self._end()
            return Change.END_SILENCE
        if self._length >= self._max:
            self._end()
            # Speech goes on: its next voiced frame begins an utterance at once.
            self._recent.extend([True] * self._least)
            return Change.END_LIMIT
        return Change.NONE

    def _pause_that_ends(self) -> int:
        if self._length < _LONG_PART * self._max:
            return self._trailing
        return min(self._trailing, frames_in(_SHORT_PAUSE_S))

    def _end(self) -> None:
        self._recent.clear()
        # What the utterance did not take may be the next one's pre-roll.
        self._unused = max(0, self._silent - self._tail)
        self.lead_frames = self._length = self._silent = 0


def frames_in(seconds: float) -> int:
    """Count the frames that cover a time."""
    return math.ceil(seconds / FRAME_S - 1e-6)
