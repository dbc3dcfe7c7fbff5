"""Whole words as the tokens of a language model: those of a lexicon."""

import copy
import io
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np

# An artifact may hold a model of its lexicon's words by this name.
WORDS_NAME = "words.npz"
# A word of them is looked up in a microsecond, another in thirty.
_REMEMBERED = 1000
SPECIALS = UNKNOWN, _, _ = ("<unk>", "<sos>", "<eos>")


class WordTable:
    """Words by number, three specials first; kept as one string: many thousands take little memory."""

    unk_id, sos_id, eos_id = range(3)
    # Of the lexicon's first word.
    first_id = len(SPECIALS)

    def __init__(self, words: Iterable[str]) -> None:
        """Take words in the order of the alphabet."""
        text, starts = io.StringIO(), [0]
        for word in words:
            starts.append(starts[-1] + text.write(word))
        self._text, self._starts = text.getvalue(), np.array(starts, dtype=np.int32)
        # The likeliest sentences share most of their words.
        self._number = lru_cache(_REMEMBERED)(self._find)

        # By word, those that came later.
        self._added: dict[str, int] = {}

    def with_words(self, words: Iterable[str]) -> "WordTable":
        """Return a table that numbers some more words after its own, in their order."""
        twin = copy.copy(self)
        twin._added = dict(self._added)
        for word in words:
            if word not in twin:
                twin._added[word] = len(twin)
        return twin

    def __len__(self) -> int:
        return self._num_own + len(self._added)

    @property
    def _num_own(self) -> int:
        return self.first_id + len(self._starts) - 1

    @property
    def pieces(self) -> Iterator[str]:
        """Go through the specials and all words."""
        return map(self._piece, range(len(self)))

    def __contains__(self, word: str) -> bool:
        return self._numbered(word) != self.unk_id

    def encode(self, text: str) -> list[int]:
        """Number the words of a text, <unk> where one is not known."""
        return [self._numbered(word) for word in text.split()]

    def decode(self, numbers: Sequence[int]) -> str:
        """Spell numbered words."""
        return " ".join(map(self._piece, numbers))

    def _numbered(self, word: str) -> int:
        return self._added.get(word) or self._number(word)

    def _piece(self, number: int) -> str:
        if number < self.first_id:
            return SPECIALS[number]
        if number >= self._num_own:
            return list(self._added)[number - self._num_own]
        start, end = self._starts[number - self.first_id :][:2]
        return self._text[start:end]

    def _find(self, word: str) -> int:
        low, high = self.first_id, self._num_own
        while low < high:
            middle = (low + high) // 2
            if self._piece(middle) < word:
                low = middle + 1
            else:
                high = middle
        return low if low < self._num_own and self._piece(low) == word else self.unk_id
