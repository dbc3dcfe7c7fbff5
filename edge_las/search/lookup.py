"""What scorers over an automaton share: tokens by first character, and a table for each state visited."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_las.search.speller import FloatArray, IntArray

Table = tuple[npt.NDArray[np.float64], IntArray]  # score of every token (V,), state that it leads to (V,)


class TableScorer:
    """Scores every token of a state at once, at the first visit; `_make_table` says how."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = pieces
        self._by_first: dict[str, list[int]] = {}
        for token, piece in enumerate(pieces):
            if piece:
                self._by_first.setdefault(piece[0], []).append(token)
        self._tables: dict[int, Table] = {}

    def score(self, state: int, tokens: IntArray) -> FloatArray:
        """Return what each of tokens gains or loses."""
        scores: FloatArray = self._table(state)[0][tokens]
        return scores

    def advance(self, state: int, token: int) -> int:
        """Return the state after a token."""
        return int(self._table(state)[1][token])

    def _table(self, state: int) -> Table:
        if state not in self._tables:
            self._tables[state] = self._make_table(state)
        return self._tables[state]

    def _make_table(self, state: int) -> Table:
        raise NotImplementedError
