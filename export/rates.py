"""How fast people speak, in tokens: what bounds the Speller, and what work is counted for."""

import math
from collections.abc import Iterable

import numpy as np

from edge_las.tokens import TokenTable

# The fastest of 12,311 recordings longer than a second has 23.1 characters a second, the space before each
# word included.
FASTEST_CHARACTERS_PER_S = 25.0
# LibriSpeech's mean is 14.5.
USUAL_CHARACTERS_PER_S = 15.0
# Of texts by tokens for a character: rarer ones are short ones that no pieces fit.
_DENSEST_PERCENTILE = 99.0


def max_tokens_per_s(tokens: TokenTable, texts: Iterable[str]) -> float:
    """Bound the tokens in a second of speech: the fastest speech, of those of `texts` that take most tokens.

    A table of characters gives 25, whatever the texts; without texts, each character is taken for a token.
    """
    densities = [len(tokens.encode(text)) / _characters(text) for text in texts if text.strip()]
    densest = float(np.percentile(densities, _DENSEST_PERCENTILE)) if densities else 1.0
    return float(math.ceil(FASTEST_CHARACTERS_PER_S * densest))


def usual_tokens(max_tokens_per_s: float, seconds: float) -> int:
    """Count the tokens of so many seconds of ordinary speech, <eos> included."""
    rate = max_tokens_per_s * USUAL_CHARACTERS_PER_S / FASTEST_CHARACTERS_PER_S
    return round(rate * seconds) + 1


def _characters(text: str) -> int:
    return sum(len(word) + 1 for word in text.split())
