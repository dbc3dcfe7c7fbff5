"""The ways that a search for words went, and the likeliest of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edge_las.search.ctc import DoubleArray
from edge_las.search.speller import FloatArray, IntArray

# Of ways so many times as many are held as there are turns left.
_HELD = 2
# In place of a word: silence; in place of a step.
NO_WORD = _NONE = -1


@dataclass(frozen=True)
class Steps:
    """Steps through the trace (N,): the place before, the word said since or none, and its log prob."""

    before: IntArray
    words: IntArray
    log_probs: FloatArray

    def __getitem__(self, chosen: IntArray) -> Steps:
        return Steps(self.before[chosen], self.words[chosen], self.log_probs[chosen])

    @classmethod
    def join(cls, parts: Sequence[Steps]) -> Steps:
        """Put some after each other."""
        return cls(
            np.concatenate([part.before for part in parts]),
            np.concatenate([part.words for part in parts]),
            np.concatenate([part.log_probs for part in parts]),
        )

    def at(self, number: int) -> Step:
        """Give one of them."""
        return Step(int(self.before[number]), int(self.words[number]), float(self.log_probs[number]))


class Step(NamedTuple):
    """One of these steps."""

    before: int
    word: int
    log_prob: float


class Way(NamedTuple):
    """What a sentence's score lacks, a place in the trace, the words after it, and their log prob."""

    less: float
    place: int
    words: tuple[int, ...]
    word_log_prob: float

    def back(self, step: Step) -> Way:
        """Go a step back."""
        words = self.words if step.word == NO_WORD else (step.word, *self.words)
        return Way(self.less, step.before, words, self.word_log_prob + step.log_prob)


class Paths:
    """The ways through a search's trace, likeliest first."""

    def __init__(self, trace: Sequence[Steps], beaten: Sequence[tuple[Steps, IntArray, DoubleArray]]) -> None:
        self._trace = Steps.join(trace)
        # Places rise from frame to frame and within each, and what was lost to one place.
        steps, places, lost = zip(*beaten, strict=True)
        self._beaten = Steps.join(steps)
        self._places, self._lost = np.concatenate(places), np.concatenate(lost)
        self._known: dict[int, tuple[Step, int, list[float]]] = {}

    def best(self, finals: Sequence[tuple[float, int, float]], most: int, margin: float) -> Iterator[Way]:
        """Yield at most so many ways, none so much (nats) below the best one.

        From scores, last places and the log probs of the end.
        """
        # What a way lacks, a number (the first of two comes first), the way, a beaten step to go or none.
        heap = [
            (-score, number, Way(-score, place, (), end), _NONE)
            for number, (score, place, end) in enumerate(finals)
        ]
        heapq.heapify(heap)
        count, bar = len(heap), heap[0][0] + margin if heap else 0.0
        for left in range(most, 0, -1):
            if not heap:
                return
            if len(heap) > _HELD * left:
                # The turn of others will not come.
                heap = heapq.nsmallest(left, heap)
            less, _, way, beaten = heapq.heappop(heap)
            way = way._replace(less=less)
            if beaten != _NONE:
                way = way.back(self._beaten.at(beaten))
            while way.place:
                step, first, losses = self._steps_to(way.place)
                for other, lost in enumerate(losses, start=first):
                    if less + lost > bar:
                        break
                    heapq.heappush(heap, (less + lost, count, way, other))
                    count += 1
                way = way.back(step)
            yield way

    def _steps_to(self, place: int) -> tuple[Step, int, list[float]]:
        """Look up the best step to a place, the first of those that it beat, and by how much, rising."""
        if place not in self._known:
            first, last = np.searchsorted(self._places, (place, place + 1)).tolist()
            # Place 0 has no step to it.
            self._known[place] = (self._trace.at(place - 1), first, self._lost[first:last].tolist())
        return self._known[place]
