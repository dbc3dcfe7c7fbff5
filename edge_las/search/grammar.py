"""Grammar constraint: the scorer that keeps a beam in a grammar."""

import math
from collections.abc import Sequence

import numpy as np

from edge_las.arcs import ANY
from edge_las.errors import ConfigError
from edge_las.search.automaton import OUTSIDE, Automaton
from edge_las.search.lookup import Table, TableScorer
from edge_las.search.speller import IntArray
from edge_las.tokens import WORD_MARK


class GrammarScorer(TableScorer):
    """Keeps hypotheses in a grammar: strictly, or each that leaves it pays `weight` nats once."""

    def __init__(
        self, automaton: Automaton, pieces: Sequence[str], eos_id: int, weight: float = math.inf
    ) -> None:
        """Take the token table's pieces, those up to eos_id being special.

        Raises: ConfigError if weight is negative.
        """
        if not weight >= 0.0:
            raise ConfigError(f"the weight of a grammar is {weight}, must not be negative")
        self._automaton, self._eos_id, self._cost = automaton, eos_id, -weight
        super().__init__([piece if index > eos_id else "" for index, piece in enumerate(pieces)])

    def initial_state(self) -> int:
        """Return the state of the empty text."""
        return self._automaton.start

    def followers(self, state: int) -> tuple[IntArray, IntArray]:
        """List the tokens that may follow in the grammar, and the states they lead to; <eos> is not told."""
        led = [(token, self._automaton.walk(state, self._pieces[token])) for token in self._candidates(state)]
        found = np.array([pair for pair in led if pair[1] != OUTSIDE], dtype=np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def _make_table(self, state: int) -> Table:
        left = 0.0 if state == OUTSIDE else self._cost
        scores = np.full(len(self._pieces), left)
        states = np.full(len(self._pieces), OUTSIDE, dtype=np.int64)
        for token in self._candidates(state):
            states[token] = self._automaton.walk(state, self._pieces[token])
            if states[token] != OUTSIDE:
                scores[token] = 0.0
        if self._automaton.may_end(state):
            scores[self._eos_id] = 0.0
        return scores, states

    def _candidates(self, state: int) -> list[int]:
        if state == OUTSIDE:
            return []
        firsts = self._automaton.continuations(state)
        if ANY in firsts:
            firsts = firsts | (self._by_first.keys() - {WORD_MARK})
        return [token for first in firsts for token in self._by_first.get(first, ())]
