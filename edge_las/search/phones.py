"""How well sentences fit an utterance by their phones: token passing through their pronunciations.

Phones hear what spelling hides: a few hours of speech hold all the sounds of a language, but not how each
word is written. Source: Young, Russell & Thornton 1989, Token Passing; Bourlard & Morgan 1994, Connectionist
Speech Recognition, for a network's posteriors over priors.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_las.lexicon import PHONES, SILENCE
from edge_las.search.speller import FloatArray

DoubleArray = npt.NDArray[np.float64]
# What comes before the first frame.
_BEGIN = -1
# After the phones themselves.
_ANY_PHONE = len(PHONES)


class Pronouncer(Protocol):
    """Knows how words are said."""

    def pronunciations(self, word: str) -> Sequence[tuple[int, ...]]:
        """List the ways a word is said, in PHONES' numbers; empty if it is not known."""


def phone_scores(
    lexicon: Pronouncer, log_probs: FloatArray, sentences: Sequence[str], unknown: str | None = None
) -> DoubleArray | None:
    """Give the log prob of each sentence's best path through frames of phones' log probs (T, P).

    Each phone lasts a frame at least, and silence may lie around words; of a word that can be said in several
    ways the best counts. -inf where frames are too few; None if the lexicon lacks a word. For one word, the
    `unknown`, any phones will do.
    """
    graph = _Graph(lexicon, unknown)
    ends = [graph.add(sentence.split()) for sentence in sentences]
    if not all(ends):
        return None
    # The likeliest phone of each frame stands for any.
    scores = graph.best(np.concatenate([log_probs, log_probs.max(axis=1, keepdims=True)], axis=1))
    return np.array([scores[end].max() for end in ends])


class _Graph:
    """Phones in the orders in which sentences have them; what begins alike is there once."""

    def __init__(self, lexicon: Pronouncer, unknown: str | None) -> None:
        self._lexicon = lexicon
        self._unknown = unknown
        # Each node's phone, and the nodes that may come before it.
        self._phones: list[int] = []
        self._before: list[list[int]] = []
        self._ends: dict[tuple[str, ...], list[int]] = {(): [_BEGIN, self._node(SILENCE, [_BEGIN])]}

    def add(self, words: Sequence[str]) -> list[int]:
        """Add a sentence and list the nodes that may end it; none if a word is unknown."""
        for count in range(len(words)):
            said = tuple(words[: count + 1])
            if said not in self._ends:
                self._ends[said] = self._add_word(words[count], self._ends[said[:-1]])
        return self._ends[tuple(words)]

    def _add_word(self, word: str, before: list[int]) -> list[int]:
        if not before:
            return []
        ends = []
        ways = [(_ANY_PHONE,)] if word == self._unknown else self._lexicon.pronunciations(word)
        for phones in ways:
            last = before
            for phone in phones:
                last = [self._node(phone, last)]
            ends += last
        return [*ends, self._node(SILENCE, ends)] if ends else []

    def _node(self, phone: int, before: list[int]) -> int:
        self._phones.append(phone)
        self._before.append(before)
        return len(self._phones) - 1

    def best(self, log_probs: FloatArray) -> DoubleArray:
        """Give the log prob of the best path through frames (T, P) that ends in each node, (N + 2,)."""
        size, widest = len(self._phones), max(map(len, self._before))
        # The last entry is the beginning's, the one before it stands for no node.
        before = np.full((widest, size), size)
        for node, nodes in enumerate(self._before):
            before[: len(nodes), node] = nodes
        before[before == _BEGIN] = size + 1
        scores = np.full(size + 2, -np.inf)
        scores[_BEGIN] = 0.0
        for frame in log_probs:
            entered = scores[before[0]]
            for nodes in before[1:]:
                entered = np.maximum(entered, scores[nodes])
            scores[:size] = np.maximum(scores[:size], entered) + frame[self._phones]
            scores[_BEGIN] = -np.inf
        return scores
