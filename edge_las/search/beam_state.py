"""What a beam holds between and within its steps."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_las.search.ctc import DoubleArray, PrefixState
from edge_las.search.speller import FloatArray, IntArray, State

# Stands in where there is no CTC.
NO_PREFIXES = PrefixState(np.zeros((1, 0)), np.zeros((1, 0)), np.zeros(1, dtype=np.int64))


@dataclass(frozen=True)
class Live:
    """The unfinished hypotheses, B rows in every field, best first."""

    tokens: list[tuple[int, ...]]
    token_log_probs: list[tuple[float, ...]]
    frames: list[tuple[int, ...]]
    log_prob: DoubleArray
    added: DoubleArray
    totals: DoubleArray
    prefixes: PrefixState
    state: State
    coverage: FloatArray
    scorer_states: list[list[Any]]


@dataclass(frozen=True)
class Step:
    """What one Speller call and the scorers told of B hypotheses; -inf where a token may not follow.

    log_probs (B, V) are the Speller's, fusion (B, V) the scorers'; ends and end_fusion (B,) those of <eos>.
    coverage (B, T) is all attention so far, peaks (B,) the frame looked at most now.
    """

    log_probs: DoubleArray
    fusion: DoubleArray
    ends: DoubleArray
    end_fusion: DoubleArray
    state: State
    coverage: FloatArray
    peaks: list[int]
    coverage_bonus: DoubleArray


@dataclass(frozen=True)
class Candidates:
    """N possible next tokens: whose (row), which, and what they would make of the scores; (N,) all.

    added: what scorers and bonuses gave so far; totals: all together, which the beam ranks.
    """

    rows: IntArray
    tokens: IntArray
    log_probs: DoubleArray
    added: DoubleArray
    totals: DoubleArray

    def select(self, kept: list[int]) -> "Candidates":
        """Keep the given candidates, in the given order."""
        return Candidates(
            self.rows[kept], self.tokens[kept], self.log_probs[kept], self.added[kept], self.totals[kept]
        )


def top_tokens(scores: DoubleArray, width: int) -> tuple[IntArray, IntArray]:
    """Find each row's best `width` tokens of scores (B, V), none impossible: rows and tokens, (N,)."""
    width = min(width, scores.shape[1])
    tokens = np.argpartition(scores, -width, axis=1)[:, -width:]
    rows, columns = np.nonzero(np.take_along_axis(scores, tokens, axis=1) > -np.inf)
    return rows, tokens[rows, columns]
