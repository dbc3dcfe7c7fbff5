"""Grapheme-to-phoneme conversion (G2P): how a word is said that no lexicon holds, by n-grams of graphones.

Source: Bisani & Ney 2008, Joint-sequence models for grapheme-to-phoneme conversion.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_las.arrays import read_arrays
from edge_las.artifact import Manifest, check_files
from edge_las.errors import ArtifactError, ConfigError, one_line
from edge_las.lexicon import PHONES
from edge_las.ngram import NgramLevel, NgramModel
from edge_las.staging import whole_file

# An artifact may hold one by this name.
G2P_NAME = "g2p.npz"
LETTERS = "abcdefghijklmnopqrstuvwxyz'"
# Tokens of the n-grams; graphones follow.
SOS_ID, EOS_ID, FIRST_ID = range(3)
# No word of any lexicon is as long.
MOST_LETTERS = 40
# One or two letters, and none to two phones that they stand for.
Graphone = tuple[str, tuple[int, ...]]
_WIDTH = 2

# Hypotheses after each letter, and how far below the best they may be, in nats: twice as wide finds as much.
_BEAM, _MARGIN = 24, 8.0
_FORMAT_VERSION = 1
# 27,500 n-grams are 110 kB in memory; anything near these is no such model.
_MOST_BYTES, _MOST_GRAPHONES, _MOST_LEVELS = 1 << 20, 4096, 8
# Log probs are kept in steps of so many nats: finer ones say no word better.
_STEP = 0.5
# What a file holds: dimensions, and how many bytes a number has at most; signed only where it must be.
_ARRAYS = {
    "version": (0, "i", 8),
    "sizes": (1, "i", 8),
    "graphones": (2, "u", 1),
    "followers": (1, "u", 2),
    "tokens": (1, "u", 2),
    "log_probs": (1, "i", 1),
    "backoffs": (1, "i", 1),
}

# Tokens that the next one depends on, and all phones.
_Said = dict[tuple[tuple[int, ...], tuple[int, ...]], float]


class G2p:
    """Says words by their letters."""

    def __init__(self, graphones: Sequence[Graphone], ngrams: NgramModel) -> None:
        """Take graphones, numbered from FIRST_ID on, and n-grams of them.

        Raises: ConfigError if the n-grams are not of as many tokens.
        """
        if ngrams.vocabulary != FIRST_ID + len(graphones):
            raise ConfigError(f"{len(graphones)} graphones do not fit n-grams of {ngrams.vocabulary} tokens")
        self.graphones, self.ngrams = tuple(graphones), ngrams
        self._by_letters: dict[str, list[int]] = {}
        for token, (letters, _) in enumerate(graphones, start=FIRST_ID):
            self._by_letters.setdefault(letters, []).append(token)

    def pronounce(self, word: str, count: int = 3) -> list[tuple[int, ...]]:
        """List the `count` likeliest ways to say a word, best first, in numbers of PHONES.

        Fewer where there are no more; none for a word that has other characters than LETTERS or too many.
        Beam search over the letters; a way is as likely as all graphones together that make it.
        """
        if len(word) > MOST_LETTERS or not set(word) <= set(LETTERS):
            return []
        after = _Predictor(self.ngrams)
        said: list[_Said] = [{} for _ in range(len(word) + 1)]
        said[0][(SOS_ID,), ()] = 0.0
        for start in range(len(word)):
            for (context, phones), score in _likeliest(said[start]):
                log_probs = after(context)
                for end in range(start + 1, min(start + _WIDTH, len(word)) + 1):
                    tokens = self._by_letters.get(word[start:end], [])
                    for token, log_prob in zip(tokens, log_probs[tokens].tolist(), strict=True):
                        key = after.recent((*context, token)), phones + self.graphones[token - FIRST_ID][1]
                        said[end][key] = _log_add(said[end].get(key), score + log_prob)
            said[start].clear()
        ways: dict[tuple[int, ...], float] = {}
        for (context, phones), score in _likeliest(said[-1]):
            if phones:
                ways[phones] = _log_add(ways.get(phones), score + float(after(context)[EOS_ID]))
        return sorted(ways, key=lambda way: (-ways[way], way))[:count]


class _Predictor:
    """Log probs of all tokens after others, worked out once for each context of a word."""

    def __init__(self, ngrams: NgramModel) -> None:
        self._ngrams = ngrams
        self._reach = max(1, len(ngrams.levels) - 1)
        self._known: dict[tuple[int, ...], npt.NDArray[np.float64]] = {(): ngrams.log_probs(())}

    def recent(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """Return those of the tokens that the next one depends on."""
        return tokens[-self._reach :]

    def __call__(self, tokens: tuple[int, ...]) -> npt.NDArray[np.float64]:
        return self._after(self._ngrams.context(tokens))

    def _after(self, context: tuple[int, ...]) -> npt.NDArray[np.float64]:
        found = self._known.get(context)
        if found is None:
            found, _, _ = self._ngrams.refine(self._after(context[:-1]), context)
            self._known[context] = found
        return found


def _likeliest(said: _Said) -> list[tuple[tuple[tuple[int, ...], tuple[int, ...]], float]]:
    least = max(said.values(), default=0.0) - _MARGIN
    kept = [(key, score) for key, score in said.items() if score >= least]
    return heapq.nlargest(_BEAM, kept, key=lambda entry: entry[1])


def _log_add(known: float | None, more: float) -> float:
    if known is None:
        return more
    return max(known, more) + math.log1p(math.exp(-abs(known - more)))


def save_g2p(path: str | Path, g2p: G2p) -> None:
    """Write a model as a compressed .npz, its log probs in steps; the same bytes for the same model.

    Raises: ConfigError naming the file if it cannot be written.
    """
    levels, vocabulary = g2p.ngrams.levels, g2p.ngrams.vocabulary
    followers = [
        np.bincount(longer.keys // vocabulary, minlength=len(level.keys))
        for level, longer in zip(levels, levels[1:], strict=False)
    ]
    arrays: dict[str, npt.NDArray[Any]] = {
        "version": np.array(_FORMAT_VERSION),
        "sizes": np.array([len(level.keys) for level in levels]),
        "graphones": np.array([_codes(graphone) for graphone in g2p.graphones], dtype=np.uint8),
        "followers": _narrow(followers),
        "tokens": _narrow([level.keys % vocabulary for level in levels[1:]]),
        "log_probs": _steps([level.log_probs for level in levels]),
        "backoffs": _steps([level.backoffs for level in levels[:-1]]),
    }
    with whole_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _codes(graphone: Graphone) -> list[int]:
    """Two letters from 1 on and two phones, 0 where there is none."""
    letters, phones = graphone
    numbers = [LETTERS.index(letter) + 1 for letter in letters]
    return [*numbers, *[0] * (_WIDTH - len(letters)), *phones, *[0] * (_WIDTH - len(phones))]


def _narrow(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Join counts in as few bytes each as hold the highest."""
    whole = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
    return whole.astype(np.min_scalar_type(int(whole.max(initial=0))))


def _steps(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.int8]:
    """Join log probs, rounded."""
    whole = np.concatenate([np.zeros(0), *parts])
    return np.clip(np.round(whole / _STEP), -128, 127).astype(np.int8)


def load_g2p(path: str | Path) -> G2p:
    """Read a model, which may come from anywhere.

    Raises: ArtifactError naming the file.
    """
    try:
        return _read(read_arrays(path, _MOST_BYTES, "a model of graphones"))
    except (ArtifactError, ConfigError) as error:
        raise ArtifactError(f"{path}: {error}") from None
    except Exception as error:  # zipfile, zlib and numpy raise many kinds
        raise ArtifactError(f"{path}: no model of graphones: {one_line(error)}") from None


def load_g2p_of(folder: Path, manifest: Manifest) -> G2p | None:
    """Load the model of an artifact; None if it has none.

    Raises: ArtifactError naming the file.
    """
    if G2P_NAME not in manifest.files:
        return None
    # Since the artifact was verified it may have been replaced.
    check_files(folder, manifest, (G2P_NAME,))
    return load_g2p(folder / G2P_NAME)


def _read(arrays: Mapping[str, npt.NDArray[Any]]) -> G2p:
    for name, (dims, kind, most) in _ARRAYS.items():
        array = arrays.get(name)
        if not isinstance(array, np.ndarray):
            raise ArtifactError(f"{name} is missing")
        if array.ndim != dims or array.dtype.kind != kind or array.dtype.itemsize > most:
            raise ArtifactError(f"{name} is {array.ndim}-dimensional {array.dtype}")
    if arrays["version"] != _FORMAT_VERSION:
        raise ArtifactError(f"has format {arrays['version']}, this edge-las reads {_FORMAT_VERSION}")
    graphones = _graphones(arrays["graphones"])
    sizes = arrays["sizes"].tolist()
    vocabulary = FIRST_ID + len(graphones)
    if not 1 <= len(sizes) <= _MOST_LEVELS or min(sizes) < 1 or sizes[0] != vocabulary:
        raise ArtifactError(f"sizes are {sizes[:_MOST_LEVELS]}, the first must be {vocabulary}")
    lengths = {
        "followers": sum(sizes[:-1]), "tokens": sum(sizes[1:]),
        "log_probs": sum(sizes), "backoffs": sum(sizes[:-1]),
    }  # fmt: skip
    for name, length in lengths.items():
        if len(arrays[name]) != length:
            raise ArtifactError(f"{name} are {len(arrays[name])}, must be {length}")
    return G2p(graphones, _ngrams(arrays, sizes))


def _graphones(codes: npt.NDArray[np.uint8]) -> list[Graphone]:
    if codes.shape[1] != 2 * _WIDTH or not 1 <= len(codes) <= _MOST_GRAPHONES:
        raise ArtifactError(f"graphones are {codes.shape[0]}x{codes.shape[1]}")
    letters, phones = codes[:, :_WIDTH], codes[:, _WIDTH:]
    no_letters = (letters[:, 0] == 0) | (letters > len(LETTERS)).any(axis=1)
    no_phones = ((phones[:, 0] == 0) & (phones[:, 1] > 0)) | (phones >= len(PHONES)).any(axis=1)
    if no_letters.any() or no_phones.any():
        raise ArtifactError(f"graphone {int((no_letters | no_phones).argmax())} is none")
    return [
        ("".join(LETTERS[code - 1] for code in row[:_WIDTH] if code), tuple(filter(None, row[_WIDTH:])))
        for row in codes.tolist()
    ]


def _ngrams(arrays: Mapping[str, npt.NDArray[Any]], sizes: Sequence[int]) -> NgramModel:
    vocabulary, ends = sizes[0], np.cumsum(sizes)
    if np.any(arrays["tokens"] >= vocabulary):
        raise ArtifactError(f"tokens go beyond {vocabulary - 1}")
    log_probs = np.split(arrays["log_probs"] * np.float16(_STEP), ends[:-1])
    backoffs = np.split(arrays["backoffs"] * np.float16(_STEP), ends[:-2])
    followers = np.split(arrays["followers"].astype(np.int64), ends[:-2])
    tokens = np.split(arrays["tokens"].astype(np.int64), ends[1:-1] - vocabulary)
    keys = [np.arange(vocabulary)]
    for size, counts, lasts in zip(sizes[1:], followers, tokens, strict=False):
        if counts.sum() != size:
            raise ArtifactError(f"followers are {counts.sum()} of one length, must be {size}")
        keys.append(np.repeat(np.arange(len(counts)), counts) * vocabulary + lasts)
    # After the longest n-grams nothing falls back.
    backoffs = [*backoffs[: len(sizes) - 1], np.zeros_like(log_probs[-1])]
    return NgramModel(tuple(map(NgramLevel, keys, log_probs, backoffs)))
