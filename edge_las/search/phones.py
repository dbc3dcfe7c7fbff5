"""How well sentences fit an utterance by their phones: token passing through their pronunciations.

A CTC head of phones hears what spelling hides: from a few hours of speech it learns all the sounds of a
language, but not how each word is written.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_las.lexicon import SILENCE, Lexicon
from edge_las.search.speller import FloatArray

DoubleArray = npt.NDArray[np.float64]
_FLOOR = -30.0
# Frames so sure to be silent are passed at once: half of the time goes into them otherwise.
_SILENT = np.log(0.98)


def phone_scores(lexicon: Lexicon, log_probs: FloatArray, sentences: Sequence[str]) -> DoubleArray | None:
    """Give the log prob of each sentence's best path through the phones' log probs (T, P), silence the blank.

    Of a word that can be said in several ways the best counts. None if the lexicon lacks a word.
    """
    graph = _Graph(lexicon)
    ends = [graph.add(sentence.split()) for sentence in sentences]
    if any(not end for end in ends):
        return None
    scores = graph.best(np.maximum(log_probs, _FLOOR).astype(np.float64))
    return np.array([scores[end].max() for end in ends])


class _Graph:
    """Phones in the orders in which sentences have them; what begins alike is there once."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        # Node 0 is the beginning, heard as silence. Each node's phone, and the nodes before it.
        self._phones: list[int] = [SILENCE]
        self._before: list[list[int]] = [[]]
        self._ends: dict[tuple[str, ...], list[int]] = {(): [0]}

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
        for phones in self._lexicon.pronunciations(word):
            # A phone that ends one word and begins the next may be said once.
            once = [node for end in before if self._phones[end] == phones[0] for node in self._before[end]]
            last = before + once
            for phone in phones:
                self._phones.append(phone)
                self._before.append(last)
                last = [len(self._phones) - 1]
            ends += last
        return ends

    def best(self, log_probs: DoubleArray) -> DoubleArray:
        """Give the log prob of the best path (N,) that ends in each node and after it, of frames (T, P)."""
        phones, size = np.array(self._phones), len(self._phones)
        # An entry of its own stands for no node.
        before = np.full((size, max(1, *map(len, self._before))), size)
        for node, nodes in enumerate(self._before):
            before[node, : len(nodes)] = nodes
        columns = before.T
        spoken = log_probs[:, phones]
        held = np.full(size + 1, -np.inf)  # in the phone
        either = held.copy()  # in the phone, or in the silence after it
        either[0] = 0.0
        for frame, silence in zip(spoken, log_probs[:, SILENCE], strict=True):
            if silence > _SILENT:
                either += silence
                held[:] = -np.inf
                continue
            entered = either[columns[0]]
            for column in columns[1:]:
                entered = np.maximum(entered, either[column])
            held[:size] = np.maximum(held[:size], entered) + frame
            either += silence
            np.maximum(either, held, out=either)
        return either[:size]
