"""The ordered token table: unigram-LM subwords or plain characters, text to token ids and back."""

# Else an annotation would load numpy.random, a tenth of the start of the runtime: only training needs it.
from __future__ import annotations

import math
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from edge_las.errors import ArtifactError, ConfigError, system_reason

WORD_MARK = "\u2581"
SPECIALS = ("<blank>", "<unk>", "<sos>", "<eos>")
# An unknown character costs this much more than the rarest piece, so it never beats a real segmentation.
_UNKNOWN_PENALTY = 10.0
_SAMPLED_VARIANTS = 16
# Bounds the memory of the caches on unbounded text.
_CACHED_WORDS = 50_000

_Arc = tuple[int, int, float]  # start of the piece in the word, token id, score


class TokenTable:
    """Pieces by token id; the four specials come first."""

    blank_id, unk_id, sos_id, eos_id = range(4)

    def __init__(self, pieces: Sequence[str], scores: Sequence[float]) -> None:
        """Take every piece, specials included, and its unigram log probability.

        Raises: ConfigError naming the line of tokens.txt (counted from 1) that is wrong.
        """
        self.pieces = tuple(pieces)
        self.scores = tuple(float(score) for score in scores)
        _check(self.pieces, self.scores)
        self._ids = {piece: i for i, piece in enumerate(self.pieces) if i >= len(SPECIALS)}
        self._longest = max(map(len, self._ids))
        self._unk_score = min(self.scores) - _UNKNOWN_PENALTY
        self._encoded: dict[str, tuple[int, ...]] = {}
        self._variants: dict[tuple[str, float], list[tuple[int, ...]]] = {}

    @classmethod
    def from_subwords(cls, pieces: Sequence[str], scores: Sequence[float]) -> TokenTable:
        """Put the specials before `pieces`, which hold none."""
        return cls((*SPECIALS, *pieces), (*(0.0 for _ in SPECIALS), *scores))

    @classmethod
    def characters(cls, alphabet: Iterable[str] = "abcdefghijklmnopqrstuvwxyz'") -> TokenTable:
        """Make the table of the word mark and single characters."""
        pieces = (WORD_MARK, *alphabet)
        return cls.from_subwords(pieces, [0.0] * len(pieces))

    @classmethod
    def load(cls, path: str | Path) -> TokenTable:
        """Read tokens.txt: a `<piece>\\t<score>` line for each id.

        Raises: ArtifactError naming the file and line.
        """
        path = Path(path)
        try:
            lines = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
        except OSError as error:
            raise ArtifactError(f"{path}: {system_reason(error)}") from None
        except UnicodeDecodeError:
            raise ArtifactError(f"{path}: not UTF-8") from None
        rows = [_parse(line, f"{path}: line {number}") for number, line in enumerate(lines, start=1)]
        try:
            return cls([piece for piece, _ in rows], [score for _, score in rows])
        except ConfigError as error:
            raise ArtifactError(f"{path}: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write tokens.txt."""
        rows = zip(self.pieces, self.scores, strict=True)
        text = "".join(f"{piece}\t{score!r}\n" for piece, score in rows)
        Path(path).write_bytes(text.encode("utf-8"))

    def __len__(self) -> int:
        return len(self.pieces)

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenTable, (self.pieces, self.scores)  # caches stay behind: worker processes build their own

    def encode(self, text: str) -> list[int]:
        """Split each word into its most probable pieces; unknown characters become <unk>."""
        return [token for word in text.split() for token in self._encode_word(word)]

    def sample(self, text: str, rng: np.random.Generator, temperature: float) -> list[int]:
        """Split each word in one of its likelier ways: subword regularisation.

        The choice is among fixed variants of each word (Viterbi with Gumbel noise on each arc), so the
        result depends on the state of `rng` alone and not on what was sampled before.
        Source: the idea of Kudo 2018 (arXiv:1804.10959).
        """
        if temperature <= 0.0:
            return self.encode(text)
        words = text.split()
        picks = rng.integers(_SAMPLED_VARIANTS, size=len(words)).tolist()
        chosen = [self._variants_of(word, temperature)[pick] for word, pick in zip(words, picks, strict=True)]
        return [token for ids in chosen for token in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """Write token ids as text; blanks, <sos> and <eos> are dropped."""
        return " ".join(word for word, _, _ in self.words(ids))

    def words(self, ids: Iterable[int]) -> list[tuple[str, int, int]]:
        """Group token ids into (word, first token, one past its last token)."""
        words: list[tuple[str, int, int]] = []
        text, first, last = "", 0, 0
        for position, token in enumerate(ids):
            if token in (self.blank_id, self.sos_id, self.eos_id):
                continue
            piece = self.pieces[token]
            if piece.startswith(WORD_MARK):
                if text:
                    words.append((text, first, last))
                text, first = "", position
            elif not text and last == 0:
                first = position
            text += piece.removeprefix(WORD_MARK)
            last = position + 1
        if text:
            words.append((text, first, last))
        return words

    def _encode_word(self, word: str) -> tuple[int, ...]:
        ids = self._encoded.get(word)
        if ids is None:
            _make_room(self._encoded)
            ids = self._encoded[word] = self._best_path(self._lattice(WORD_MARK + word))
        return ids

    def _variants_of(self, word: str, temperature: float) -> list[tuple[int, ...]]:
        variants = self._variants.get((word, temperature))
        if variants is None:
            _make_room(self._variants)
            rng = np.random.default_rng(zlib.crc32(word.encode("utf-8", "surrogatepass")))
            lattice = self._lattice(WORD_MARK + word)
            paths = [self._noisy_path(lattice, rng, temperature) for _ in range(_SAMPLED_VARIANTS)]
            shared = {path: path for path in paths}  # most are equal: keep one of each
            variants = self._variants[word, temperature] = [shared[path] for path in paths]
        return variants

    def _lattice(self, marked: str) -> list[list[_Arc]]:
        """List, for each end position 1..n, the pieces that end there."""
        lattice: list[list[_Arc]] = []
        for end in range(1, len(marked) + 1):
            arcs = []
            for start in range(max(0, end - self._longest), end):
                token = self._ids.get(marked[start:end])
                if token is not None:
                    arcs.append((start, token, self.scores[token]))
            if marked[end - 1] not in self._ids:
                arcs.append((end - 1, self.unk_id, self._unk_score))
            lattice.append(arcs)
        return lattice

    def _noisy_path(
        self, lattice: list[list[_Arc]], rng: np.random.Generator, temperature: float
    ) -> tuple[int, ...]:
        noisy = []
        for arcs in lattice:
            noise = (temperature * rng.gumbel(size=len(arcs))).tolist()
            pairs = zip(arcs, noise, strict=True)
            noisy.append([(start, token, score + extra) for (start, token, score), extra in pairs])
        return self._best_path(noisy)

    def _best_path(self, lattice: list[list[_Arc]]) -> tuple[int, ...]:
        best = [0.0]
        back: list[tuple[int, int]] = []
        for arcs in lattice:
            score, start, token = max((best[start] + score, start, token) for start, token, score in arcs)
            best.append(score)
            back.append((start, token))
        ids: list[int] = []
        end = len(lattice)
        while end > 0:
            end, token = back[end - 1]
            if not (ids and token == ids[-1] == self.unk_id):  # a run of unknown characters is one <unk>
                ids.append(token)
        return tuple(reversed(ids))


def normalize_text(text: str) -> str:
    """Lower the case, keep letters and apostrophes, turn punctuation into single spaces.

    Raises: ConfigError naming a character to be spelled out first: a digit, or a sign that is read aloud.
    """
    lowered = unicodedata.normalize("NFC", text.lower())
    spaced = "".join(_normalize_character(character) for character in lowered)
    return " ".join(word for word in spaced.split() if word.strip("'"))


_APOSTROPHES = "'\u2019\u02bc"
_READ_ALOUD = "%&@#\u2030"


@lru_cache(maxsize=4096)
def _normalize_character(character: str) -> str:
    if character in _APOSTROPHES:
        return "'"
    if character.isalpha():
        return character
    if character.isspace() or (
        character not in _READ_ALOUD and unicodedata.category(character).startswith("P")
    ):
        return " "
    raise ConfigError(f"{character!r} (U+{ord(character):04X}) in a text must be spelled out in words")


def _parse(line: str, where: str) -> tuple[str, float]:
    piece, tab, score = line.partition("\t")
    if not tab:
        raise ArtifactError(f"{where} is not a piece, a tab and a score")
    try:
        return piece, float(score)
    except ValueError:
        raise ArtifactError(f"{where}: {score[:40]!r} is not a score") from None


def _check(pieces: tuple[str, ...], scores: tuple[float, ...]) -> None:
    if len(pieces) != len(scores):
        raise ConfigError(f"{len(pieces)} pieces, but {len(scores)} scores")
    if len(pieces) <= len(SPECIALS):
        raise ConfigError(f"only {len(pieces)} lines, must be more than the {len(SPECIALS)} specials")
    seen: set[str] = set()
    for number, (piece, score) in enumerate(zip(pieces, scores, strict=True), start=1):
        if number <= len(SPECIALS) and piece != SPECIALS[number - 1]:
            raise ConfigError(f"line {number} is {piece[:40]!r}, must be {SPECIALS[number - 1]}")
        if not piece or any(character.isspace() for character in piece):
            raise ConfigError(f"line {number} has an empty piece or one with a space")
        if WORD_MARK in piece[1:]:
            raise ConfigError(f"line {number} has a word mark inside the piece")
        if piece in seen:
            raise ConfigError(f"line {number} repeats the piece {piece[:40]!r}")
        if not math.isfinite(score):
            raise ConfigError(f"line {number} has the score {score}, must be finite")
        seen.add(piece)


def _make_room(cache: dict[Any, Any]) -> None:
    if len(cache) >= _CACHED_WORDS:
        cache.clear()
