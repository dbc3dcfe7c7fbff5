"""What a search needs of a Speller: one step for all hypotheses, state in and state out."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]

# Every array has one row per hypothesis. The key "alignment" (B, T), where present, holds the attention
# weights over encoded frames of the step just made: they tell when a token was spoken and betray loops.
State = dict[str, FloatArray]


class SpellerStep(Protocol):
    """The Speller of one utterance, whose encoded frames it already holds."""

    def initial_state(self) -> State:
        """Return the state of a single hypothesis that has spelled nothing yet."""
        ...

    def step(self, tokens: IntArray, state: State) -> tuple[FloatArray, State]:
        """Read each hypothesis' last token, (B,): log probs of the next, (B, V), and the next state."""
        ...


def select_rows(state: State, rows: IntArray) -> State:
    """Keep the given hypotheses, in the given order; a row may be taken several times."""
    return {name: array[rows] for name, array in state.items()}
