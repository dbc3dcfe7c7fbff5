"""A lexicon as a tree of phones: words that begin alike are sought as one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.lexicon import SILENCE

IntArray = npt.NDArray[np.int32]

# No pronunciation holds it: it pads the shorter ones.
_NO_PHONE = 0


@dataclass(frozen=True)
class WordTree:
    """Nodes 0 to N - 1, level by level; node 0 is the root, which stands for no phone, the last is silence.

    phones (N,); node n's children are first_children[n] to first_children[n + 1] - 1 (N + 1,); the words that
    end there are words[first_words[n] : first_words[n + 1]], their places in the lexicon.
    """

    phones: npt.NDArray[np.uint8]
    first_children: IntArray
    first_words: IntArray
    words: IntArray

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.phones)

    @property
    def silence(self) -> int:
        """The node that no word passes through."""
        return self.size - 1

    def most_below(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Give for each node (N,) the greatest of the values (W,) of the words that may still be meant."""
        most = np.full(self.size, -np.inf, dtype=np.float32)
        ending = np.flatnonzero(np.diff(self.first_words))
        most[ending] = np.maximum.reduceat(values[self.words], self.first_words[ending])
        inner = np.flatnonzero(np.diff(self.first_children))
        # Children come after their parents: the deepest are settled first.
        for level in reversed(np.split(inner, np.searchsorted(inner, self._level_starts()))):
            if level.size:
                first, last = self.first_children[level[0]], self.first_children[level[-1] + 1]
                below = np.maximum.reduceat(most[first:last], self.first_children[level] - first)
                most[level] = np.maximum(most[level], below)
        return most

    def _level_starts(self) -> list[int]:
        starts = [1]
        while starts[-1] < self.silence:
            starts.append(int(self.first_children[starts[-1]]))
        return starts


def make_word_tree(numbers: IntArray, said: npt.NDArray[np.uint8]) -> WordTree:
    """Make a tree of one pronunciation at least: its word (P,) and its phones, then 0 (P, L)."""
    order = np.lexsort(said.T[::-1])
    numbers, said = numbers[order], said[order]
    begins = np.zeros(len(said), dtype=bool)
    begins[0] = True
    # As wide as what numpy counts with, which on a 32-bit board is 32 bits.
    parent_of_row = np.zeros(len(said), dtype=np.intp)
    phones, parents, size = [np.zeros(1, dtype=np.uint8)], [np.zeros(1, dtype=np.intp)], 1
    for depth in range(said.shape[1]):
        # A new node where the phones so far are not those of the row before.
        begins[1:] |= said[1:, depth] != said[:-1, depth]
        new = begins & (said[:, depth] != _NO_PHONE)
        phones.append(said[new, depth])
        parents.append(parent_of_row[new])
        going = said[:, depth] != _NO_PHONE
        parent_of_row[going] = (size - 1 + np.cumsum(new))[going]
        size += int(np.count_nonzero(new))
    phones.append(np.array([SILENCE], dtype=np.uint8))
    counts = np.bincount(np.concatenate(parents)[1:], minlength=size + 1)
    by_node = np.argsort(parent_of_row, kind="stable")
    return WordTree(
        np.concatenate(phones),
        (1 + _starts(counts)).astype(np.int32),
        _starts(np.bincount(parent_of_row, minlength=size + 1)).astype(np.int32),
        numbers[by_node].astype(np.int32),
    )


def _starts(counts: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    return np.concatenate([[0], np.cumsum(counts)])
