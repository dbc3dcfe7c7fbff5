"""An n-gram model of words, asked for many contexts at once."""

import numpy as np
import numpy.typing as npt

from edge_las.ngram import NgramLevel, NgramModel
from edge_las.search.speller import FloatArray, IntArray
from edge_las.word_table import WordTable


class WordNgrams:
    """Log probs of words after contexts, each of which is a number.

    Below V it is a word, else V plus the place of a pair of words: at most two words are remembered. A word
    from V on is none that the model knows: as rare as its rarest, and remembered as <unk>.
    """

    def __init__(self, model: NgramModel) -> None:
        self.vocabulary = model.vocabulary
        self._levels = model.levels[:3]
        self.rarest = float(self.single[WordTable.first_id :].min(initial=0.0))

    @property
    def single(self) -> FloatArray:
        """Log probs (V,) of words after nothing that is known."""
        return self._levels[0].log_probs.astype(np.float32)

    def advance(self, contexts: IntArray, words: IntArray) -> tuple[FloatArray, IntArray]:
        """Give each word's log prob after its context (N,), and the context after it (N,)."""
        log_probs, after = self._advance(contexts, np.where(words < self.vocabulary, words, WordTable.unk_id))
        return np.where(words < self.vocabulary, log_probs, np.float32(self.rarest)), after

    def _advance(self, contexts: IntArray, words: IntArray) -> tuple[FloatArray, IntArray]:
        size = self.vocabulary
        is_pair = contexts >= size
        pairs = np.where(is_pair, contexts - size, 0)
        last = contexts
        if len(self._levels) > 1:
            last = np.where(is_pair, self._levels[1].keys[pairs] % size, contexts)
        log_probs = self._levels[0].backoffs[last].astype(np.float32) + self._levels[0].log_probs[words]
        after = words
        if len(self._levels) > 1:
            level = self._levels[1]
            places, found = _find(level, last * size + words)
            log_probs = np.where(found, level.log_probs[places], log_probs)
            log_probs += np.where(is_pair, level.backoffs[pairs], 0)
            after = np.where(found, size + places, words)
        if len(self._levels) > 2:
            places, found = _find(self._levels[2], pairs * size + words)
            log_probs = np.where(found & is_pair, self._levels[2].log_probs[places], log_probs)
        return log_probs, after


def _find(level: NgramLevel, keys: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    if not len(level.keys):
        return np.zeros_like(keys), np.zeros(len(keys), dtype=bool)
    places = np.minimum(np.searchsorted(level.keys, keys.astype(level.keys.dtype)), len(level.keys) - 1)
    return places, level.keys[places] == keys
