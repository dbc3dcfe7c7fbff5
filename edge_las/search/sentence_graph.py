"""The sentences of a grammar as a graph of tokens, grown as far as speech leads into it."""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_las.search.automaton import Automaton
from edge_las.search.grammar import GrammarScorer
from edge_las.search.speller import IntArray

ROOT = 0


class Steps(Protocol):
    """Leads from state to state of a grammar."""

    def initial_state(self) -> int:
        """Return the state of the empty text."""

    def followers(self, state: int) -> tuple[IntArray, IntArray]:
        """List the tokens that may follow, and the states they lead to."""


# first, count: its steps, count being -1 before they are looked for; came: the last step that leads to it.
_NODE = np.dtype("i4, i4, i4, i4, i4, ?")
_NODE.names = ("state", "token", "first", "count", "came", "may_end")
# other: the step before that leads to the same target; -1: none.
_STEP = np.dtype("i4, i4, i4")
_STEP.names = ("source", "target", "other")


class Graph:
    """Nodes are a grammar's states together with the token that led there, ROOT before the first.

    Threads may share it: nodes are only ever added.
    """

    # Whether a blank must lie between two tokens that are the same.
    parts_doubles = True

    def __init__(self, steps: Steps, may_end: Callable[[int], bool]) -> None:
        """Take what leads through a grammar, and whether a sentence may end at a state."""
        self._grammar_steps, self._may_end = steps, may_end
        self._nodes, self._steps = np.zeros(64, _NODE), np.zeros(64, _STEP)
        self._num_nodes = self._num_steps = 0
        self._ids: dict[int, int] = {}
        self._lock = threading.Lock()
        self._add(-1, steps.initial_state())

    def __len__(self) -> int:
        """Count the nodes known so far."""
        return self._num_nodes

    @property
    def tokens(self) -> npt.NDArray[np.int32]:
        """The token of each node; ROOT has -1."""
        return self._nodes["token"]

    @property
    def may_end(self) -> npt.NDArray[np.bool_]:
        """Whether a sentence may end at each node."""
        return self._nodes["may_end"]

    def read(self, nodes: Sequence[int]) -> tuple[int, ...]:
        """Give the tokens of a path's sentence."""
        return tuple(self.tokens[list(nodes)].tolist())

    def sources(self, node: int) -> list[int]:
        """List the nodes that are known to lead to a node, the latest first."""
        found, step = [], int(self._nodes["came"][node])
        while step >= 0:
            source, _, step = self._steps[step].item()
            found.append(source)
        return found

    def leading_to(self, nodes: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Tell which nodes (N,) are known to lead to any of some nodes, these included."""
        with self._lock:
            came, steps = self._nodes["came"], self._steps
            found = np.zeros(len(came), dtype=np.bool_)
            while nodes.size:
                found[nodes] = True
                step, before = came[nodes], [nodes[:0]]
                while (step := step[step >= 0]).size:
                    before.append(steps["source"][step])
                    step = steps["other"][step]
                nodes = np.unique(np.concatenate(before))
                nodes = nodes[~found[nodes]]
        return found

    def followers(self, nodes: npt.NDArray[np.int32]) -> tuple[IntArray, npt.NDArray[np.int32]]:
        """List all steps from nodes (N,): the place in `nodes` that each starts from, and where it leads."""
        with self._lock:
            for node in nodes[self._nodes["count"][nodes] < 0].tolist():
                self._grow(node)
            first, count = self._nodes["first"][nodes], self._nodes["count"][nodes]
            targets = self._steps["target"]
        places = np.repeat(np.arange(len(nodes)), count)
        within = np.arange(len(places)) - np.repeat(np.cumsum(count) - count, count)
        return places, targets[first[places] + within]

    def _grow(self, node: int) -> None:
        tokens, states = self._grammar_steps.followers(int(self._nodes["state"][node]))
        found = [self._node(*pair) for pair in zip(tokens.tolist(), states.tolist(), strict=True)]
        start, end = self._num_steps, self._num_steps + len(found)
        self._steps = _roomy(self._steps, end)
        steps = self._steps[start:end]
        steps["source"], steps["target"], steps["other"] = node, found, self._nodes["came"][found]
        # Whoever looks for sources meanwhile finds steps that are whole.
        self._nodes["came"][found] = np.arange(start, end)
        self._nodes["first"][node], self._nodes["count"][node], self._num_steps = start, len(found), end

    def _node(self, token: int, state: int) -> int:
        key = token << 32 | state
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = self._add(token, state)
        return found

    def _add(self, token: int, state: int) -> int:
        node = self._num_nodes
        self._nodes = _roomy(self._nodes, node + 1)
        self._nodes[node] = state, token, -1, -1, -1, self._may_end(state)
        self._num_nodes = node + 1
        return node


class SentenceGraph(Graph):
    """A grammar's sentences in tokens of letters."""

    def __init__(self, automaton: Automaton, scorer: GrammarScorer) -> None:
        """Take a grammar at work, and the scorer that keeps tokens in it."""
        super().__init__(scorer, automaton.may_end)
        self.scorer, self._automaton = scorer, automaton

    @property
    def has_wildcards(self) -> bool:
        """Whether any words may stand somewhere."""
        return self._automaton.has_wildcards


def _roomy(array: npt.NDArray[np.void], size: int) -> npt.NDArray[np.void]:
    """Give an array of at least a size, and half as large again if it must grow."""
    if size <= len(array):
        return array
    grown = np.zeros(max(size, len(array) * 3 // 2), array.dtype)
    grown[: len(array)] = array
    return grown
