"""A back-off n-gram model over tokens: a few sorted arrays, and the scorer that reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_las.errors import ConfigError
from edge_las.search.speller import FloatArray, IntArray


@dataclass(frozen=True)
class NgramLevel:
    """All n-grams of one length, (N,) each, sorted by key.

    An n-gram's key is p * V + its last token, p being the place of its first n - 1 tokens in the level below
    (0 for single tokens). backoffs weigh what the level below says of tokens that follow no n-gram here.
    """

    keys: npt.NDArray[np.int64]
    log_probs: npt.NDArray[np.floating[Any]]
    backoffs: npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class NgramModel:
    """Levels from single tokens up; level 0 holds every token, key = token."""

    levels: tuple[NgramLevel, ...]

    def __post_init__(self) -> None:
        if not self.levels:
            raise ConfigError("an n-gram model has no levels")
        if not np.array_equal(self.levels[0].keys, np.arange(len(self.levels[0].keys))):
            raise ConfigError("level 1 of an n-gram model does not hold every token")
        parents = 1
        for number, level in enumerate(self.levels, start=1):
            sizes = {len(level.keys), len(level.log_probs), len(level.backoffs)}
            most = parents * self.vocabulary
            if (
                len(sizes) > 1
                or np.any(np.diff(level.keys) <= 0)
                or np.any((level.keys < 0) | (level.keys >= most))
            ):
                raise ConfigError(f"level {number} of an n-gram model is damaged")
            parents = len(level.keys)

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return len(self.levels[0].keys)

    def context(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Find the n-grams that end a text: places in the levels from 1 up, as many as are known."""
        context: tuple[int, ...] = ()
        for token in tokens:
            context = self.extend(context, token)
        return context

    def extend(self, context: tuple[int, ...], token: int) -> tuple[int, ...]:
        """Return the context after one more token."""
        found = [token]
        for level, parent in zip(self.levels[1:-1], context, strict=False):
            key = parent * self.vocabulary + token
            place = int(np.searchsorted(level.keys, key))
            if place == len(level.keys) or level.keys[place] != key:
                break
            found.append(place)
        return tuple(found)

    def log_probs(self, context: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Return the log probs (V,) of every token after a context."""
        result = self.levels[0].log_probs.astype(np.float64)
        for below, level, parent in zip(self.levels, self.levels[1:], context, strict=False):
            result += below.backoffs[parent]
            first, last = np.searchsorted(
                level.keys, [parent * self.vocabulary, (parent + 1) * self.vocabulary]
            )
            result[level.keys[first:last] % self.vocabulary] = level.log_probs[first:last]
        return result


class NgramScorer:
    """Shallow fusion: adds weight * the model's log prob of each token."""

    def __init__(self, model: NgramModel, weight: float, sos_id: int) -> None:
        self._model = model
        self._weight = weight
        self._start = model.context([sos_id])
        self._cache: dict[tuple[int, ...], FloatArray] = {}

    def initial_state(self) -> tuple[int, ...]:
        """Return the context of the beginning."""
        return self._start

    def score(self, state: tuple[int, ...], tokens: IntArray) -> FloatArray:
        """Return the weighted log probs of tokens."""
        if state not in self._cache:
            if len(self._cache) >= 4096:
                self._cache.clear()
            self._cache[state] = self._weight * self._model.log_probs(state)
        scores: FloatArray = self._cache[state][tokens]
        return scores

    def advance(self, state: tuple[int, ...], token: int) -> tuple[int, ...]:
        """Return the context after token."""
        return self._model.extend(state, token)
