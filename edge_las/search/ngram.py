"""Shallow fusion of an n-gram model."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.errors import ConfigError
from edge_las.ngram import NgramModel
from edge_las.search.speller import FloatArray, IntArray

# Of 0.5 kB each.
_MOST_CONTEXTS = 8192


@dataclass(frozen=True)
class FusionConfig:
    """How much a language model counts; an artifact that holds one sets it in `search`."""

    lm_weight: float = 0.3

    def __post_init__(self) -> None:
        if not 0.0 <= self.lm_weight <= 10.0:
            raise ConfigError(f"lm_weight is {self.lm_weight}, must be from 0 to 10")


class NgramScorer:
    """Shallow fusion: adds weight * the model's log prob of each token."""

    def __init__(self, model: NgramModel, weight: float, sos_id: int) -> None:
        self._model = model
        self._weight = weight
        self._start = model.context([sos_id])
        self._cache: dict[tuple[int, ...], npt.NDArray[np.float64]] = {}
        self._after: dict[tuple[tuple[int, ...], int], tuple[int, ...]] = {}

    def initial_state(self) -> tuple[int, ...]:
        """Return the context of the beginning."""
        return self._start

    def score(self, state: tuple[int, ...], tokens: IntArray) -> FloatArray:
        """Return the weighted log probs of tokens."""
        scores: FloatArray = self._weight * self._log_probs(state)[tokens]
        return scores

    def _log_probs(self, context: tuple[int, ...]) -> npt.NDArray[np.float64]:
        found = self._cache.get(context)
        if found is None:
            # Shorter contexts are shared by many: what is below them is looked up once.
            shorter = self._log_probs(context[:-1]) if context else None
            found = self._model.log_probs(()) if shorter is None else self._model.refine(shorter, context)
            # Threads share a model's scorer: what is used here must not hang on the cache.
            if len(self._cache) >= _MOST_CONTEXTS:
                self._cache.clear()
            self._cache[context] = found
        return found

    def advance(self, state: tuple[int, ...], token: int) -> tuple[int, ...]:
        """Return the context after token."""
        found = self._after.get((state, token))
        if found is None:
            found = self._model.extend(state, token)
            if len(self._after) >= _MOST_CONTEXTS:
                self._after.clear()
            self._after[state, token] = found
        return found
