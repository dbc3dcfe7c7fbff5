"""Search along frames of phones for words that a lexicon holds, as a language model expects them.

What spelling hides, phones tell: a few hours of speech hold all sounds of a language, but not how each of its
words is written. Tokens are passed through the lexicon's tree, a whole frame's at once.
Source: Young, Russell & Thornton 1989, Token Passing; Ortmanns, Ney & Eiden 1996, Language-model look-ahead
for large vocabulary speech recognition.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from edge_las.search.ctc import DoubleArray
from edge_las.search.speller import FloatArray, IntArray
from edge_las.search.word_ngrams import WordNgrams
from edge_las.search.word_paths import NO_WORD, Paths, Steps
from edge_las.search.word_tree import WordTree
from edge_las.word_table import WordTable

# Tokens so far (nats) under the best do not come back.
_MARGIN = 14.0
# The likeliest sentences are sought among so many times as many ways to say them.
_WAYS = 8


@dataclass(frozen=True)
class Vocabulary:
    """Words, how they are said, and what follows what.

    favours: what the search adds to the log probs of some words, by number.
    """

    table: WordTable
    tree: WordTree
    ngrams: WordNgrams
    favours: Mapping[int, float] = field(default_factory=dict)

    @cached_property
    def expected(self) -> FloatArray:
        """What the likeliest word below each node of the tree adds, (N,); 0 for silence."""
        added = np.full(len(self.table) - self.ngrams.vocabulary, self.ngrams.rarest, dtype=np.float32)
        values = np.concatenate([self.ngrams.single, added]) + self._favours
        most = self.tree.most_below(values[WordTable.first_id :])
        most[self.tree.silence] = 0.0
        return most

    @cached_property
    def _favours(self) -> FloatArray:
        values = np.zeros(len(self.table), dtype=np.float32)
        values[list(self.favours)] = list(self.favours.values())
        return values

    def advance(self, contexts: IntArray, words: IntArray) -> tuple[FloatArray, IntArray]:
        """Advance as the n-grams do, with the favours for words."""
        log_probs, after = self.ngrams.advance(contexts, words)
        return (log_probs + self._favours[words] if self.favours else log_probs), after

    def favour(self, words: Sequence[int]) -> float:
        """Sum up the favours for some words."""
        return sum(self.favours.get(word, 0.0) for word in words) if self.favours else 0.0

    def log_probs(self, sentences: Sequence[Sequence[int]]) -> DoubleArray:
        """Give the log probs (N,) of sentences of numbered words."""
        ended = [[*sentence, WordTable.eos_id] for sentence in sentences]
        contexts = np.full(len(ended), WordTable.sos_id, dtype=np.int64)
        totals = np.zeros(len(ended))
        for step in range(max(map(len, ended), default=0)):
            going = np.array([row for row, sentence in enumerate(ended) if step < len(sentence)])
            words = np.array([ended[row][step] for row in going.tolist()])
            log_probs, contexts[going] = self.ngrams.advance(contexts[going], words)
            totals[going] += log_probs
        return totals


@dataclass(frozen=True)
class Said:
    """A sentence, and the log probs of its phones and of its words."""

    text: str
    phone_log_prob: float
    word_log_prob: float
    num_unknown: int = 0


@dataclass(frozen=True)
class _Tokens:
    """Where the search may be (N,): context, node of the tree, score, the last word's place in the trace."""

    contexts: IntArray
    nodes: IntArray
    scores: DoubleArray
    traces: IntArray

    def __getitem__(self, chosen: IntArray) -> _Tokens:
        return _Tokens(
            self.contexts[chosen], self.nodes[chosen], self.scores[chosen], self.traces[chosen]
        )  # fmt: skip

    @classmethod
    def join(cls, parts: list[_Tokens]) -> _Tokens:
        """Put some after each other."""
        return cls(
            np.concatenate([part.contexts for part in parts]),
            np.concatenate([part.nodes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.traces for part in parts]),
        )


class WordSearch:
    """Token passing through a vocabulary; may be fed while the utterance goes on."""

    def __init__(self, vocabulary: Vocabulary, beam: int, weight: float) -> None:
        """Keep at most `beam` tokens a frame; weight: what words count beside phones."""
        self._vocabulary, self._beam, self._weight, self._tree = vocabulary, beam, weight, vocabulary.tree
        self._silent = self._tree.silence
        nothing = np.zeros(0, dtype=np.int64)
        self._tokens = _Tokens(nothing, nothing, np.zeros(0), nothing)
        start = np.array([WordTable.sos_id], dtype=np.int64)
        # Tokens that may begin a word next; their nodes mean nothing.
        self._ready = _Tokens(start, start, np.zeros(1), np.zeros(1, dtype=np.int64))
        # The steps to each place where a word may begin, a frame and a context; place 0 is the beginning.
        self._trace = [Steps(nothing, nothing, np.zeros(0, dtype=np.float32))]
        self._trace_size = 1
        # Steps that a likelier one to the same place beat, that place, and by how much.
        self._beaten: list[tuple[Steps, IntArray, DoubleArray]] = []

    def fork(self) -> WordSearch:
        """Return a search that has read the same and goes its own way."""
        twin = copy.copy(self)
        twin._trace, twin._beaten = list(self._trace), list(self._beaten)
        return twin

    def accept(self, log_probs: FloatArray) -> None:
        """Read the next frames: log probs of phones (t, P)."""
        for frame in log_probs:
            self._pass(frame)
            self._end_words()

    def _pass(self, frame: FloatArray) -> None:
        tokens = _Tokens.join([self._tokens, self._within_words(), self._into_words()])
        scores = tokens.scores + frame[self._tree.phones[tokens.nodes]]
        if not scores.size:
            return
        bar = scores.max() - _MARGIN
        if scores.size > 2 * self._beam:
            # Of two tokens in one place one goes: twice as many are enough.
            bar = max(bar, float(np.partition(scores, -2 * self._beam)[-2 * self._beam]))
        kept = np.flatnonzero(scores >= bar)
        tokens = tokens[kept]
        self._tokens = self._best_of_each_place(
            _Tokens(tokens.contexts, tokens.nodes, scores[kept], tokens.traces)
        )

    def _within_words(self) -> _Tokens:
        """Pass tokens on to their nodes' children."""
        tokens, expected = self._tokens, self._vocabulary.expected
        rows, children = _spread(self._tree.first_children, tokens.nodes)
        gained = self._weight * (expected[children] - expected[tokens.nodes[rows]])
        return _Tokens(
            tokens.contexts[rows], children, tokens.scores[rows] + gained, tokens.traces[rows]
        )  # fmt: skip

    def _into_words(self) -> _Tokens:
        """Pass tokens that may begin a word on to all first phones, and to silence."""
        ready, expected = self._ready, self._vocabulary.expected
        firsts = np.append(np.arange(1, self._tree.first_children[1]), self._silent).astype(np.int64)
        count = len(firsts)
        return _Tokens(
            np.repeat(ready.contexts, count), np.tile(firsts, len(ready.nodes)),
            (ready.scores[:, None] + self._weight * expected[firsts]).ravel(), np.repeat(ready.traces, count),
        )  # fmt: skip

    def _best_of_each_place(self, tokens: _Tokens) -> _Tokens:
        places = tokens.contexts * (self._silent + 1) + tokens.nodes
        order = np.argsort(places, kind="stable")
        same = np.flatnonzero(np.diff(places[order]) == 0)
        first, second = order[same], order[same + 1]
        # At most two meet: one that stays and one that enters.
        beaten = np.where(tokens.scores[first] >= tokens.scores[second], second, first)
        stays = np.ones(len(order), dtype=bool)
        stays[beaten] = False
        left = np.flatnonzero(stays)
        if left.size > self._beam:
            left = left[np.argpartition(-tokens.scores[left], self._beam)[: self._beam]]
        return tokens[left]

    def _end_words(self) -> None:
        """End words where they may end, and silence, and find the tokens that may begin another word."""
        tokens = self._tokens
        rows, ends = _spread(self._tree.first_words, tokens.nodes)
        words = self._tree.words[ends].astype(np.int64) + WordTable.first_id
        log_probs, contexts = self._vocabulary.advance(tokens.contexts[rows], words)
        # What was expected of the word's place gives way to what the word is worth.
        gained = self._weight * (log_probs - self._vocabulary.expected[tokens.nodes[rows]])
        scores = tokens.scores[rows] + gained
        kept = np.flatnonzero(scores >= tokens.scores.max(initial=-np.inf) - _MARGIN)
        rows = np.concatenate([rows[kept], np.flatnonzero(tokens.nodes == self._silent)])
        silent = len(rows) - len(kept)
        self._meet(
            np.concatenate([contexts[kept], tokens.contexts[rows[len(kept) :]]]),
            np.concatenate([scores[kept], tokens.scores[rows[len(kept) :]]]),
            Steps(
                tokens.traces[rows].astype(np.int32),
                np.concatenate([words[kept], np.full(silent, NO_WORD)]).astype(np.int32),
                np.concatenate([log_probs[kept], np.zeros(silent)]).astype(np.float32),
            ),
        )

    def _meet(self, contexts: IntArray, scores: DoubleArray, steps: Steps) -> None:
        """Let the likeliest step to each context go on, and remember the others."""
        order = np.lexsort((-scores, contexts))
        begins = np.ones(len(order), dtype=bool)
        begins[1:] = np.diff(contexts[order]) != 0
        best, beaten = order[begins], order[~begins]
        groups = np.cumsum(begins)[~begins] - 1
        places = self._trace_size + np.arange(len(best))
        self._trace.append(steps[best])
        self._trace_size += len(best)
        lost = scores[best[groups]] - scores[beaten]
        self._beaten.append((steps[beaten], places[groups].astype(np.int32), lost.astype(np.float32)))
        self._ready = _Tokens(contexts[best], contexts[best], scores[best], places)

    def proposals(self, count: int) -> list[Said]:
        """List the likeliest sentences, should nothing follow, best first; none if no word can have ended."""
        vocabulary, ready = self._vocabulary, self._ready
        ends, _ = vocabulary.ngrams.advance(ready.contexts, np.full(len(ready.nodes), WordTable.eos_id))
        if not len(ready.nodes) or not self._beaten:
            return []
        paths = Paths(self._trace, self._beaten)
        found: dict[tuple[int, ...], Said] = {}
        finals = zip(
            (ready.scores + self._weight * ends).tolist(), ready.traces.tolist(), ends.tolist(), strict=True
        )
        for less, _, words, favoured in paths.best(list(finals), count * _WAYS, _MARGIN):
            if words not in found:
                phones = -less - self._weight * favoured
                word_log_prob = favoured - vocabulary.favour(words)
                found[words] = Said(vocabulary.table.decode(words), phones, word_log_prob)
                if len(found) == count:
                    break
        return list(found.values())


def _spread(starts: npt.NDArray[np.int32], nodes: IntArray) -> tuple[IntArray, IntArray]:
    """List, for rows of nodes (N,), the things that each has: rows (M,), things (M,)."""
    # Of 32 bits, as a 32-bit board repeats by no others.
    firsts = starts[nodes]
    counts = starts[nodes + 1] - firsts
    rows = np.repeat(np.arange(len(nodes)), counts)
    things = np.arange(len(rows)) + np.repeat(firsts - np.cumsum(counts) + counts, counts)
    return rows, things
