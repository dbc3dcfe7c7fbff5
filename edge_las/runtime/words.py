"""When each word was spoken, and how sure the Speller was of it."""

import math
from collections.abc import Sequence

import numpy as np

from edge_las.runtime.engine import Array
from edge_las.runtime.result import Word
from edge_las.search.ctc import ctc_align
from edge_las.search.hypothesis import Hypothesis
from edge_las.tokens import TokenTable

# A CTC head spikes inside a token, not at its edges: words are taken to reach this much further, if free.
_REACH_FRAMES = 2


def words_of(
    hypothesis: Hypothesis, tokens: TokenTable, ctc_log_probs: Array, frame_s: float, duration_s: float
) -> tuple[Word, ...]:
    """Place the words of a hypothesis in time; ctc_log_probs is (T, V), a frame lasts frame_s."""
    spans = token_spans(hypothesis, ctc_log_probs, tokens.blank_id)
    grouped = tokens.words(hypothesis.tokens)
    firsts = [spans[first][0] for _, first, _ in grouped]
    lasts = [spans[end - 1][1] for _, _, end in grouped]
    words = []
    for index, (word, first, end) in enumerate(grouped):
        # Neighbours share the gap between them evenly where it is short.
        before = lasts[index - 1] + 1 if index else 0
        after = firsts[index + 1] if index + 1 < len(grouped) else math.inf
        start = max(firsts[index] - _REACH_FRAMES, (before + firsts[index]) / 2)
        stop = min(lasts[index] + 1 + _REACH_FRAMES, (lasts[index] + 1 + after) / 2)
        start_s, end_s = min(start * frame_s, duration_s), min(stop * frame_s, duration_s)
        words.append(Word(word, start_s, end_s, mean_prob(hypothesis.token_log_probs[first:end])))
    return tuple(words)


def token_spans(hypothesis: Hypothesis, ctc_log_probs: Array, blank_id: int) -> list[tuple[int, int]]:
    """Find first and last frame of each token, never running backwards.

    By CTC alignment; by the attention's peaks where the frames are too few for it.
    """
    spans = ctc_align(ctc_log_probs, hypothesis.tokens, blank_id)
    if spans is None:
        peaks = np.maximum.accumulate(np.array(hypothesis.frames, dtype=np.int64)).tolist()
        spans = [(peak, peak) for peak in peaks]
    return spans


def mean_prob(log_probs: Sequence[float]) -> float:
    """Return the geometric mean of probabilities given as logs; 0 for none."""
    return math.exp(sum(log_probs) / len(log_probs)) if log_probs else 0.0
