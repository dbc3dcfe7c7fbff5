"""How words are said: a lexicon of pronunciations, and its file: gzipped text, a line as CMUdict has it."""

import gzip
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_las.errors import ArtifactError
from edge_las.staging import whole_file
from edge_las.textfiles import read_gzipped

# An artifact may hold one by this name; it counts where there is a head of phones,
# (E + 1, P) in half precision: a row for each dimension of what is encoded, and the bias.
LEXICON_NAME, PHONE_HEAD_NAME = "lexicon.txt.gz", "phone_head.npz"
# ARPAbet as CMUdict writes it, silence first.
PHONES = (
    "SIL", "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH",
    "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W",
    "Y", "Z", "ZH",
)  # fmt: skip
SILENCE = PHONES.index("SIL")
_NUMBERS = {phone: number for number, phone in enumerate(PHONES)}
_LINE = re.compile(rf"[^ \n]+(?: (?:{'|'.join(PHONES)}))+\n")
_MAX_BYTES = 16 << 20
# Of a lexicon read at once: all would take ten times its size.
_LINES = 2000
_SPACE, _LINE_END = ord(" "), ord("\n")
# Phones by their first two letters, which tell them apart; of one letter, the second is 0.
_BY_LETTERS = np.zeros(1 << 16, dtype=np.uint8)
for _number, _name in enumerate(PHONES):
    _BY_LETTERS[ord(_name[0]) * 256 + (ord(_name[1]) if len(_name) > 1 else 0)] = _number


class Lexicon:
    """Words and their pronunciations, kept as one string: many thousands take little memory."""

    def __init__(self, text: str) -> None:
        """Take lines of a word and its phones, apart by spaces; a word said in several ways has several.

        Raises: ValueError naming a line that is none.
        """
        self._text = f"\n{text.strip()}\n"
        self._found: dict[str, list[tuple[int, ...]]] = {}
        # Line by line, but without a string for each of so many.
        at = 1
        while at < len(self._text) and (line := _LINE.match(self._text, at)):
            at = line.end()
        if at < len(self._text) and self._text.strip():
            line_end = self._text.index("\n", at)
            raise ValueError(f"no word with its phones: {self._text[at : min(line_end, at + 60)]!r}")

    def __str__(self) -> str:
        return self._text[1:]

    def words(self) -> Iterator[str]:
        """Go through the words, each once, in the order of the alphabet.

        Raises: ValueError naming a word that is not in order.
        """
        last = ""
        for start, end in zip(self._line_ends[:-1] + 1, self._line_ends[1:], strict=True):
            line = self._text[start:end]
            word = line[: line.index(" ")]
            if word < last:
                raise ValueError(f"{word!r} comes after {last!r}: its words are not in order")
            if word != last:
                yield word
            last = word

    def table(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
        """Give each pronunciation's word by its place in `words` (P,), and its phones, then 0 (P, L)."""
        ends = self._line_ends
        blocks = [
            _phones(self._text[ends[n] + 1 : ends[min(n + _LINES, len(ends) - 1)] + 1])
            for n in range(0, len(ends) - 1, _LINES)
        ]
        width = max(block.shape[1] for block in blocks)
        phones = np.concatenate([np.pad(block, ((0, 0), (0, width - block.shape[1]))) for block in blocks])
        starts = (ends[:-1] + 1).tolist()
        sizes = np.array([self._text.index(" ", start) - start for start in starts])
        is_new = np.ones(len(starts), dtype=np.bool_)
        # Only words as long as the one before can be the same.
        for row in (1 + np.flatnonzero(np.diff(sizes) == 0)).tolist():
            before, start, size = starts[row - 1], starts[row], int(sizes[row])
            is_new[row] = self._text[start : start + size] != self._text[before : before + size]
        return (np.cumsum(is_new) - 1).astype(np.int32), phones

    @cached_property
    def _line_ends(self) -> npt.NDArray[np.int32]:
        """Where lines end in the text, which begins with an end."""
        codes = np.frombuffer(self._text.encode("utf-32-le"), dtype=np.uint32)
        return np.flatnonzero(codes == _LINE_END).astype(np.int32)

    def pronunciations(self, word: str) -> list[tuple[int, ...]]:
        """List the ways a word is said, in PHONES' numbers; empty for one that is not in the lexicon."""
        if word in self._found:
            return self._found[word]
        found, at = [], 0
        while (at := self._text.find(f"\n{word} ", at)) >= 0:
            end = self._text.index("\n", at + 1)
            phones = self._text[at + len(word) + 2 : end].split(" ")
            found.append(tuple(_NUMBERS[phone] for phone in phones))
            at = end
        # To look through all takes long; a word that is not there may be any.
        if found:
            self._found[word] = found
        return found


def _phones(lines: str) -> npt.NDArray[np.uint8]:
    """Read the phones of lines, each ended: (P, L), shorter ones with 0 at their ends."""
    data = np.frombuffer(lines.encode("utf-8"), dtype=np.uint8)
    starts = np.flatnonzero(data == _SPACE) + 1
    line_ends = np.flatnonzero(data == _LINE_END)
    rows = np.searchsorted(line_ends, starts)
    columns = np.arange(len(starts)) - np.searchsorted(rows, np.arange(len(line_ends)))[rows]
    second = np.where(data[starts + 1] > _SPACE, data[starts + 1], 0).astype(np.int64)
    phones = np.zeros((len(line_ends), int(columns.max()) + 1), dtype=np.uint8)
    phones[rows, columns] = _BY_LETTERS[data[starts] * np.int64(256) + second]
    return phones


def make_lexicon(said: Mapping[str, Iterable[Sequence[str]]]) -> Lexicon:
    """Make a lexicon of words and the ways each is said, in names of PHONES."""
    lines = [f"{word} {' '.join(phones)}" for word in sorted(said) for phones in said[word]]
    return Lexicon("\n".join(lines))


def save_lexicon(path: str | Path, lexicon: Lexicon) -> None:
    """Write a lexicon, the same bytes for the same lexicon."""
    with whole_file(Path(path)) as file:
        file.write(gzip.compress(str(lexicon).encode("utf-8"), mtime=0))


def load_lexicon(path: str | Path) -> Lexicon:
    """Read a lexicon.

    Raises: ArtifactError naming the file.
    """
    try:
        return Lexicon(read_gzipped(path, _MAX_BYTES).decode("utf-8"))
    except (OSError, EOFError, ValueError) as error:
        raise ArtifactError(f"{path}: not a lexicon that can be read: {error}") from None
