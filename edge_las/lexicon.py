"""How words are said: a lexicon of pronunciations, and its file: gzipped text, a line as CMUdict has it."""

import gzip
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edge_las.errors import ArtifactError
from edge_las.staging import whole_file
from edge_las.textfiles import read_gzipped

# An artifact may hold one by this name; it counts where there is a head of phones,
# (E + 1, P) in half precision: a row for each dimension of what is encoded, and the bias.
LEXICON_NAME, PHONE_HEAD_NAME = "lexicon.txt.gz", "phone_head.npy"
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
