"""Estimates an n-gram model from texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.errors import ConfigError
from edge_las.ngram import NgramModel
from edge_las.ngram_prune import PruneConfig, SmoothedLevel, prune
from edge_las.tokens import TokenTable
from edge_las.word_table import WordTable

IntArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]

# Within a few percent of the best discount for any corpus of text.
_DISCOUNT = 0.75
_NOWHERE = -1


@dataclass(frozen=True)
class _Counted:
    """The n-grams of one length: keys, counts and first ends (N,); places (S,) tells which ends where."""

    keys: IntArray
    counts: IntArray
    firsts: IntArray
    places: IntArray


def estimate(
    sentences: Sequence[str], order: int, tokens: TokenTable | WordTable, pruning: PruneConfig | None = None
) -> NgramModel:
    """Estimate a model of the tokens, or the words, that spell sentences.

    Raises: ConfigError if there are none, or one cannot be spelled.
    """
    texts = [tokens.encode(sentence) for sentence in sentences if sentence.strip()]
    return estimate_ngrams(texts, order, len(tokens), tokens.sos_id, tokens.eos_id, pruning)


def estimate_ngrams(
    texts: Sequence[Sequence[int]],
    order: int,
    vocabulary: int,
    sos_id: int,
    eos_id: int,
    pruning: PruneConfig | None = None,
) -> NgramModel:
    """Count n-grams of token sequences, smooth them by interpolated Kneser-Ney, and leave some out.

    Source: Chen & Goodman 1998, section 2.7.
    Raises: ConfigError if there are no texts.
    """
    if not texts or order < 1:
        raise ConfigError(f"an n-gram model needs texts and an order from 1 on, not {len(texts)} and {order}")
    stream = np.concatenate([np.array([sos_id, *text, eos_id], dtype=np.int64) for text in texts])
    lengths = np.array([len(text) + 2 for text in texts])
    offsets = np.arange(len(stream)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    every_token = np.arange(vocabulary)
    tokens = _Counted(every_token, np.bincount(stream, minlength=vocabulary), every_token, stream)
    counted = [tokens]
    for length in range(2, order + 1):
        longer = _count_longer(counted[-1], stream, offsets >= length - 1, vocabulary)
        if not longer.keys.size:  # no text is so long
            break
        counted.append(longer)
    return prune(_smooth(counted, offsets, sos_id), pruning or PruneConfig())


def _count_longer(
    shorter: _Counted, stream: IntArray, fits: npt.NDArray[np.bool_], vocabulary: int
) -> _Counted:
    before = np.concatenate([[_NOWHERE], shorter.places[:-1]])
    ends = np.flatnonzero(fits & (before != _NOWHERE))
    keys, firsts, found, counts = np.unique(
        before[ends] * vocabulary + stream[ends], return_index=True, return_inverse=True, return_counts=True
    )
    places = np.full(len(stream), _NOWHERE)
    places[ends] = found
    return _Counted(keys, counts, ends[firsts], places)


def _smooth(counted: list[_Counted], offsets: IntArray, sos_id: int) -> list[SmoothedLevel]:
    vocabulary = len(counted[0].keys)
    levels: list[SmoothedLevel] = []
    for number, level in enumerate(counted):
        longer = counted[number + 1] if number + 1 < len(counted) else None
        counts = _kneser_ney_counts(level, longer, offsets, number)
        parents, tokens = np.divmod(level.keys, vocabulary)
        if number == 0:
            counts[sos_id] = 0  # never predicted, only a context
            suffixes, num_parents = np.zeros_like(parents), 1
            lower = np.full(vocabulary, 1.0 / vocabulary)
        else:
            suffixes, num_parents = counted[number - 1].places[level.firsts], len(levels[-1].probs)
            lower = levels[-1].probs[suffixes]
        own, left_over = _discount(counts, parents, num_parents)
        probs = own + left_over[parents] * lower
        levels.append(SmoothedLevel(parents, tokens, suffixes, level.counts, probs, left_over))
    return levels


def _discount(counts: DoubleArray, parents: IntArray, num_parents: int) -> tuple[DoubleArray, DoubleArray]:
    """Take the discount off each n-gram's share (N,) of its context; return what contexts have left over."""
    totals = np.bincount(parents, counts, num_parents)
    unseen = totals == 0
    totals[unseen] = 1.0
    left_over = _DISCOUNT * np.bincount(parents, counts > 0, num_parents) / totals
    left_over[unseen] = 1.0
    return np.maximum(counts - _DISCOUNT, 0.0) / totals[parents], left_over


def _kneser_ney_counts(
    level: _Counted, longer: _Counted | None, offsets: IntArray, number: int
) -> DoubleArray:
    """Count, below the highest order, how many different tokens come before, not how often."""
    if longer is None:
        return level.counts.astype(np.float64)
    preceded = np.bincount(level.places[longer.firsts], minlength=len(level.keys)).astype(np.float64)
    # Nothing comes before <sos>.
    begins = offsets[level.firsts] == number if number else np.zeros(len(level.keys), dtype=bool)
    as_counted = begins | (preceded == 0)
    preceded[as_counted] = level.counts[as_counted]
    return preceded
