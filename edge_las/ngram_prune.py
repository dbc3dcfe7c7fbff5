"""Leaves out of an n-gram model what tells least, and makes up for it in the back-off weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.config import check_at_least
from edge_las.ngram import NgramLevel, NgramModel

IntArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Fine enough to come within a thousandth of the number asked for.
_BISECTIONS = 40


@dataclass(frozen=True)
class PruneConfig:
    """Which n-grams stay: none rarer than min_count, at most `most` of all lengths; 0: any number.

    Those of at most `whole` tokens stay, be they more than that: all else falls back on them.
    """

    min_count: int = 1
    most: int = 0
    whole: int = 2

    def __post_init__(self) -> None:
        check_at_least(self, 1, "min_count", "whole")
        check_at_least(self, 0, "most")


@dataclass(frozen=True)
class SmoothedLevel:
    """All n-grams of one length, (N,) each, sorted by parent and token.

    parents and suffixes: where their first and their last n - 1 tokens are in the level below, of M n-grams;
    left_over (M,): what the followers of each of those leave to shorter contexts.
    """

    parents: IntArray
    tokens: IntArray
    suffixes: IntArray
    counts: IntArray
    probs: DoubleArray
    left_over: DoubleArray


def prune(levels: Sequence[SmoothedLevel], config: PruneConfig) -> NgramModel:
    """Make a model of the n-grams worth keeping.

    Source: Seymore & Rosenfeld 1996, weighted difference.
    """
    worths = [_worths(below, level, config) for below, level in zip(levels, levels[1:], strict=False)]
    worths.insert(0, np.full(len(levels[0].probs), np.inf))
    for worth in worths[: config.whole]:
        worth[:] = np.inf
    kept = _worth_keeping(levels, worths, _threshold(levels, worths, config.most))
    return _model(levels, kept)


def _worths(below: SmoothedLevel, level: SmoothedLevel, config: PruneConfig) -> DoubleArray:
    """Tell how many nats the texts would lose without each n-gram; -inf: not wanted at all."""
    shorter = np.log(below.probs[level.suffixes])
    lost = level.counts * (np.log(level.probs) - np.log(level.left_over[level.parents]) - shorter)
    return np.where(level.counts < config.min_count, -np.inf, lost)


def _threshold(levels: Sequence[SmoothedLevel], worths: Sequence[DoubleArray], most: int) -> float:
    """Find what n-grams must be worth for at most so many to stay."""
    low, high = -1e300, max(float(worth.max(initial=1.0, where=np.isfinite(worth))) for worth in worths)
    if not most or _number(_worth_keeping(levels, worths, low)) <= most:
        return low
    low = 0.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if _number(_worth_keeping(levels, worths, middle)) > most:
            low = middle
        else:
            high = middle
    return high


def _number(kept: Sequence[BoolArray]) -> int:
    return sum(int(np.count_nonzero(chosen)) for chosen in kept)


def _worth_keeping(
    levels: Sequence[SmoothedLevel], worths: Sequence[DoubleArray], threshold: float
) -> list[BoolArray]:
    """Choose n-grams, and with each those that it begins and ends with: without them it cannot be found."""
    kept = [worth >= threshold for worth in worths]
    for number in range(len(levels) - 1, 0, -1):
        chosen = kept[number]
        kept[number - 1][levels[number].parents[chosen]] = True
        kept[number - 1][levels[number].suffixes[chosen]] = True
    return kept


def _model(levels: Sequence[SmoothedLevel], kept: Sequence[BoolArray]) -> NgramModel:
    vocabulary = len(levels[0].probs)
    made = []
    for number, (level, chosen) in enumerate(zip(levels, kept, strict=True)):
        keys = level.tokens[chosen]
        if number:
            places = np.cumsum(kept[number - 1]) - 1
            keys = keys + places[level.parents[chosen]] * vocabulary
        backoffs = np.ones(len(keys))
        if number + 1 < len(levels):
            backoffs = _backoffs(level, levels[number + 1], kept[number + 1])[chosen]
        made.append(NgramLevel(keys, _log(level.probs[chosen]), _log(backoffs)))
    while len(made) > 1 and not len(made[-1].keys):
        made.pop()
    return NgramModel(tuple(made))


def _backoffs(level: SmoothedLevel, longer: SmoothedLevel, chosen: BoolArray) -> DoubleArray:
    """Weigh the level's own probs for tokens that are not among the chosen followers of each n-gram: (N,)."""
    count = len(level.probs)
    parents = longer.parents[chosen]
    left = 1.0 - np.bincount(parents, longer.probs[chosen], count)
    elsewhere = 1.0 - np.bincount(parents, level.probs[longer.suffixes[chosen]], count)
    whole = np.bincount(parents, minlength=count) == np.bincount(longer.parents, minlength=count)
    # Where nothing was left out, smoothing knows better than a difference of sums that are nearly one.
    return np.where(whole, longer.left_over, np.maximum(left, 1e-9) / np.maximum(elsewhere, 1e-9))


def _log(probs: DoubleArray) -> npt.NDArray[np.float32]:
    return np.log(probs).astype(np.float32)
