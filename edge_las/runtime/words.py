"""When each word was spoken, and how sure to be of it."""

import math

from edge_las.runtime.confidence import ConfidenceConfig, word_evidence
from edge_las.runtime.placing import Placed
from edge_las.runtime.result import Word
from edge_las.tokens import TokenTable

# A CTC head spikes inside a token, not at its edges: words are taken to reach this much further, if free.
_REACH_FRAMES = 2


def words_of(
    placed: Placed, tokens: TokenTable, config: ConfidenceConfig, frame_s: float, duration_s: float
) -> tuple[Word, ...]:
    """List the words of a hypothesis; an encoded frame lasts frame_s."""
    grouped = tokens.words(placed.hypothesis.tokens)
    firsts = [placed.spans[first][0] for _, first, _ in grouped]
    lasts = [placed.spans[end - 1][1] for _, _, end in grouped]
    words = []
    for index, (word, first, end) in enumerate(grouped):
        # Neighbours share the gap between them evenly where it is short.
        before = lasts[index - 1] + 1 if index else 0
        after = firsts[index + 1] if index + 1 < len(grouped) else math.inf
        start = max(firsts[index] - _REACH_FRAMES, (before + firsts[index]) / 2)
        stop = min(lasts[index] + 1 + _REACH_FRAMES, (lasts[index] + 1 + after) / 2)
        start_s, end_s = min(start * frame_s, duration_s), min(stop * frame_s, duration_s)
        words.append(Word(word, start_s, end_s, config.word(word_evidence(placed, first, end))))
    return tuple(words)
