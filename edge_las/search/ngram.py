"""Shallow fusion of an n-gram model."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.errors import ConfigError
from edge_las.ngram import NgramModel
from edge_las.search.speller import FloatArray, IntArray

# Of 1 kB each.
_MOST_CONTEXTS = 1024


@dataclass(frozen=True)
class FusionConfig:
    """How much a language model counts; an artifact that holds one sets it in `search`."""

    lm_weight: float = 0.3

    def __post_init__(self) -> None:
        if not 0.0 <= self.lm_weight <= 10.0:
            raise ConfigError(f"lm_weight is {self.lm_weight}, must be from 0 to 10")


@dataclass(frozen=True)
class _Known:
    """What a model says after a context: log probs (V,), and where its longest n-gram plus a token is."""

    log_probs: npt.NDArray[np.float64]
    places: dict[int, int]
    # After the context without its longest n-gram; None: there is none.
    shorter: "_Known | None"


class NgramScorer:
    """Shallow fusion: adds weight * the model's log prob of each token."""

    def __init__(self, model: NgramModel, weight: float, sos_id: int) -> None:
        self._model = model
        self._weight = weight
        self._start = model.context([sos_id])
        self._longest = max(1, len(model.levels) - 1)
        self._nothing = _Known(model.log_probs(()), {}, None)
        self._cache: dict[tuple[int, ...], _Known] = {}

    def initial_state(self) -> tuple[int, ...]:
        """Return the context of the beginning."""
        return self._start

    def score(self, state: tuple[int, ...], tokens: IntArray) -> FloatArray:
        """Return the weighted log probs of tokens."""
        scores: FloatArray = self._weight * self._after(state).log_probs[tokens]
        return scores

    def advance(self, state: tuple[int, ...], token: int) -> tuple[int, ...]:
        """Return the context after token."""
        known = self._after(state[: self._longest - 1])
        places: list[int] = []
        while known.shorter is not None:
            place = known.places.get(token)
            if place is None:
                places.clear()  # a longer one is of no use where a shorter is missing
            else:
                places.append(place)
            known = known.shorter
        return (token, *reversed(places))

    def _after(self, context: tuple[int, ...]) -> _Known:
        known = self._cache.get(context)
        if known is None:
            if not context:
                return self._nothing
            # Many share the shorter contexts: those are looked up once.
            shorter = self._after(context[:-1])
            log_probs, tokens, first = self._model.refine(shorter.log_probs, context)
            known = _Known(log_probs, dict(zip(tokens.tolist(), itertools.count(first))), shorter)
            # Threads share a model's scorer: what is used here must not hang on the cache.
            if len(self._cache) >= _MOST_CONTEXTS:
                self._cache.clear()
            self._cache[context] = known
        return known
