"""Learns how words are said by their letters: aligns a lexicon's letters and phones, counts the graphones.

Source: Bisani & Ney 2008, Joint-sequence models for grapheme-to-phoneme conversion, section 3.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from edge_las.errors import ConfigError
from edge_las.g2p import EOS_ID, FIRST_ID, LETTERS, MOST_LETTERS, SOS_ID, G2p, Graphone
from edge_las.lexicon import PHONES, Lexicon
from edge_las.ngram_estimate import estimate_ngrams
from edge_las.ngram_prune import PruneConfig

IntArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]
Pair = tuple[str, tuple[int, ...]]

# Fewer words than these teach too little to say others.
FEWEST_WORDS = 2000
# These take 45 kB. docs/notes.md has what other orders and sizes do.
ORDER, MOST_NGRAMS = 4, 27_500
# Letters and phones of a graphone. All of two and two can be had by these.
_SHAPES = ((1, 1), (1, 0), (2, 1), (1, 2))
# For each letter or phone more than one a graphone must be so much likelier: EM alone prefers the long ones.
_PENALTY = 0.3
# Graphones with a smaller share go, and with them one word in a hundred, mostly foreign names.
_RAREST = 1e-4
_ITERATIONS = 12
_LETTERS, _PHONES = len(LETTERS) + 1, len(PHONES)

_Place = tuple[int, slice, slice]
_Step = tuple[IntArray, int, _Place, _Place]


def train_g2p(lexicon: Lexicon, order: int = ORDER, most: int = MOST_NGRAMS) -> G2p:
    """Learn from a lexicon, each way to say a word counted once; `most` n-grams of all lengths (0: all).

    Raises: ConfigError if no word has phones that its letters can stand for; ValueError if words are not in
    order.
    """
    sequences = align(_pairs(lexicon))
    if not sequences:
        raise ConfigError("no word of the lexicon teaches how letters are said")
    counts = Counter(graphone for sequence in sequences for graphone in sequence)
    # The frequent ones first, those as frequent in the order of the alphabet.
    graphones = sorted(counts, key=lambda graphone: (-counts[graphone], graphone))
    numbers = {graphone: number for number, graphone in enumerate(graphones, start=FIRST_ID)}
    texts = [[numbers[graphone] for graphone in sequence] for sequence in sequences]
    pruning = PruneConfig(most=most, whole=1)
    return G2p(graphones, estimate_ngrams(texts, order, FIRST_ID + len(graphones), SOS_ID, EOS_ID, pruning))


def _pairs(lexicon: Lexicon) -> Iterator[Pair]:
    """List words with their phones, those of letters only and without silence."""
    words = list(lexicon.words())
    for word, row in zip(*lexicon.table(), strict=True):
        phones = tuple(np.trim_zeros(row, "b").tolist())
        if all(phones) and set(words[word]) <= set(LETTERS) and len(words[word]) <= MOST_LETTERS:
            yield words[word], phones


def align(pairs: Iterable[Pair]) -> list[list[Graphone]]:
    """Split words and phones into graphones, by EM; without those that frequent graphones cannot make."""
    groups: dict[tuple[int, int], list[Pair]] = {}
    for word, phones in pairs:
        groups.setdefault((len(word), len(phones)), []).append((word, phones))
    batches = [_Batch(groups[sizes]) for sizes in sorted(groups)]
    if not batches:
        return []
    codes = np.unique(np.concatenate([units.ravel() for batch in batches for units in batch.units]))
    for batch in batches:
        batch.units = [np.searchsorted(codes, units) for units in batch.units]
    graphones = [_graphone(code) for code in codes.tolist()]
    longer = [max(0, len(letters) - 1) + max(0, len(phones) - 1) for letters, phones in graphones]
    penalties = _PENALTY ** np.array(longer)
    probs = penalties / len(codes)
    for iteration in range(_ITERATIONS):
        counts = np.sum([batch.expected(probs) for batch in batches], axis=0)
        if 2 * iteration >= _ITERATIONS:
            counts[counts < _RAREST * counts.sum()] = 0.0
        if not counts.any():
            return []
        probs = penalties * counts / counts.sum()
    return [[graphones[unit] for unit in path] for batch in batches for path in batch.likeliest(probs)]


class _Batch:
    """Words (B, n) with their phones (B, m); units: of each shape (a, p) its graphones by number.

    units are (B, n - a + 1, m - p + 1), by the first letter and the first phone.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        letters = np.array([[LETTERS.index(letter) + 1 for letter in word] for word, _ in pairs])
        phones = np.array([phones for _, phones in pairs])
        self._letters, self._phones = letters.shape[1], phones.shape[1]
        self.units = [_codes(letters, phones, *shape) for shape in _SHAPES]

    def expected(self, probs: DoubleArray) -> DoubleArray:
        """Count the graphones (U,) that are expected by their probs (U,)."""
        before, after = self._table(0.0), self._table(0.0)
        before[0, :, 0] = after[-1, :, -1] = 1.0
        for units, _, here, there in self._steps():
            before[there] += before[here] * probs[units]
        for units, _, here, there in reversed(self._steps()):
            after[here] += after[there] * probs[units]
        whole = before[-1, :, -1:]
        share = np.divide(1.0, whole, out=np.zeros_like(whole), where=whole > 0.0)
        counts = np.zeros(len(probs))
        for units, _, here, there in self._steps():
            found = before[here] * probs[units] * after[there] * share
            counts += np.bincount(units.ravel(), found.ravel(), len(probs))
        return counts

    def likeliest(self, probs: DoubleArray) -> Iterator[list[int]]:
        """List the graphones of each word, but of those that have none. Viterbi."""
        with np.errstate(divide="ignore"):
            log_probs = np.log(probs)
        best = self._table(-np.inf)
        last = np.zeros(best.shape, dtype=np.int8)
        best[0, :, 0] = 0.0
        for units, shape, here, there in self._steps():
            found = best[here] + log_probs[units]
            last[there] = np.where(found > best[there], shape, last[there])
            best[there] = np.maximum(found, best[there])
        for word in np.flatnonzero(np.isfinite(best[-1, :, -1])):
            letter, phone, path = self._letters, self._phones, []
            while letter:
                shape = last[letter, word, phone]
                letter, phone = letter - _SHAPES[shape][0], phone - _SHAPES[shape][1]
                path.append(int(self.units[shape][word, letter, phone]))
            yield path[::-1]

    def _table(self, value: float) -> DoubleArray:
        return np.full((self._letters + 1, len(self.units[0]), self._phones + 1), value)

    def _steps(self) -> list[_Step]:
        """List what can come next, from the first letter on: graphones, their shape, from where to where."""
        return [
            (
                self.units[number][:, letter],
                number,
                (letter, slice(None), slice(0, self._phones + 1 - phones)),
                (letter + letters, slice(None), slice(phones, None)),
            )
            for letter in range(self._letters)
            for number, (letters, phones) in enumerate(_SHAPES)
            if letter + letters <= self._letters
        ]


def _codes(letters: IntArray, phones: IntArray, width: int, length: int) -> IntArray:
    """Encode all graphones of some letters and phones: words (B, n) and (B, m) -> (B, n', m')."""
    spelled = letters[:, : letters.shape[1] + 1 - width] * _LETTERS
    if width > 1:
        spelled = spelled + letters[:, 1:]
    said = np.zeros((len(phones), phones.shape[1] + 1 - length), dtype=np.int64)
    for place in range(length):
        said = said + phones[:, place : place + said.shape[1]] * _PHONES ** (1 - place)
    result: IntArray = spelled[:, :, np.newaxis] * _PHONES**2 + said[:, np.newaxis]
    return result


def _graphone(code: int) -> Graphone:
    spelled, said = divmod(code, _PHONES**2)
    letters = "".join(LETTERS[letter - 1] for letter in divmod(spelled, _LETTERS) if letter)
    return letters, tuple(filter(None, divmod(said, _PHONES)))
