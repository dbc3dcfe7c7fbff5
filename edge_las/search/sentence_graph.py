"""The sentences of a grammar as a graph of tokens, grown as far as speech leads into it."""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_las.search.automaton import Automaton
from edge_las.search.grammar import GrammarScorer
from edge_las.search.speller import IntArray

ROOT = 0


class SentenceGraph:
    """Nodes are a grammar's states together with the token that led there, ROOT before the first.

    Threads may share it: nodes are only ever added.
    """

    def __init__(self, automaton: Automaton, scorer: GrammarScorer) -> None:
        """Take a grammar at work, and the scorer that keeps tokens in it."""
        self._automaton, self.scorer = automaton, scorer
        self._states = [scorer.initial_state()]
        self._ids: dict[tuple[int, int], int] = {}
        self._sources: list[list[int]] = [[]]
        # -1: not looked at yet.
        self._first, self._count = np.full((2, 64), -1)
        self._targets = np.zeros(64, dtype=np.int64)
        self._num_targets = 0
        self._tokens = np.full(64, -1)
        self._may_end = np.zeros(64, dtype=bool)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Count the nodes known so far."""
        return len(self._states)

    @property
    def tokens(self) -> IntArray:
        """The token of each node; ROOT has -1."""
        return self._tokens

    @property
    def may_end(self) -> npt.NDArray[np.bool_]:
        """Whether a sentence may end at each node."""
        return self._may_end

    @property
    def has_wildcards(self) -> bool:
        """Whether any words may stand somewhere."""
        return self._automaton.has_wildcards

    def sources(self, node: int) -> list[int]:
        """List the nodes that are known to lead to a node."""
        return self._sources[node]

    def followers(self, nodes: IntArray) -> tuple[IntArray, IntArray]:
        """List all steps from nodes (N,): the place in `nodes` that each starts from, and where it leads."""
        with self._lock:
            for node in nodes[self._first[nodes] < 0].tolist():
                self._grow(node)
            first, count, targets = self._first[nodes], self._count[nodes], self._targets
        places = np.repeat(np.arange(len(nodes)), count)
        within = np.arange(len(places)) - np.repeat(np.cumsum(count) - count, count)
        return places, targets[first[places] + within]

    def _grow(self, node: int) -> None:
        tokens, states = self.scorer.followers(self._states[node])
        found = [self._node(*pair) for pair in zip(tokens.tolist(), states.tolist(), strict=True)]
        end = self._num_targets + len(found)
        self._targets = _roomy(self._targets, end, 0)
        self._targets[self._num_targets : end] = found
        self._first[node], self._count[node], self._num_targets = self._num_targets, len(found), end
        for target in found:
            self._sources[target].append(node)

    def _node(self, token: int, state: int) -> int:
        found = self._ids.get((token, state))
        if found is not None:
            return found
        node = self._ids[token, state] = len(self._states)
        self._states.append(state)
        self._sources.append([])
        self._first, self._count = (_roomy(array, node + 1, -1) for array in (self._first, self._count))
        self._tokens = _roomy(self._tokens, node + 1, -1)
        self._may_end = _roomy(self._may_end, node + 1, False)
        self._tokens[node], self._may_end[node] = token, self._automaton.may_end(state)
        return node


def _roomy(array: npt.NDArray[Any], size: int, fill: int) -> npt.NDArray[Any]:
    """Give an array of at least a size, and twice as large if it must grow."""
    if size <= len(array):
        return array
    return np.concatenate([array, np.full(max(size, len(array)), fill, dtype=array.dtype)])
