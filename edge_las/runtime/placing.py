"""Where the tokens of a hypothesis lie in time, and what the CTC head thinks of them there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_las.runtime.engine import Array
from edge_las.search.ctc import ctc_align
from edge_las.search.hypothesis import Hypothesis


@dataclass(frozen=True)
class Placed:
    """A hypothesis laid along the encoded frames.

    spans: first and last frame of each token; heard: the CTC head's best log prob of it there, None
    for tokens that stand for no sound.
    """

    hypothesis: Hypothesis
    spans: tuple[tuple[int, int], ...]
    heard: tuple[float | None, ...]


def place(
    hypothesis: Hypothesis, ctc_log_probs: Array, blank_id: int, silent_ids: Sequence[int] = ()
) -> Placed:
    """Lay a hypothesis along ctc_log_probs (T, V); silent_ids are the tokens that stand for no sound."""
    spans = token_spans(hypothesis, ctc_log_probs, blank_id)
    heard = tuple(
        None if token in silent_ids else float(ctc_log_probs[first : last + 1, token].max())
        for token, (first, last) in zip(hypothesis.tokens, spans, strict=True)
    )
    return Placed(hypothesis, tuple(spans), heard)


def token_spans(hypothesis: Hypothesis, ctc_log_probs: Array, blank_id: int) -> list[tuple[int, int]]:
    """Find first and last frame of each token, never running backwards.

    By CTC alignment; by the attention's peaks where the frames are too few for it.
    """
    spans = ctc_align(ctc_log_probs, hypothesis.tokens, blank_id)
    if spans is None:
        peaks = np.maximum.accumulate(np.array(hypothesis.frames, dtype=np.int64)).tolist()
        spans = [(peak, peak) for peak in peaks]
    return spans
