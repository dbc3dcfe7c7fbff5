"""A back-off n-gram model over tokens: a few sorted arrays, and the file that holds them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_las.errors import ConfigError, one_line, system_reason
from edge_las.staging import whole_file

# An artifact may hold one by this name.
NGRAM_NAME = "lm.npz"
_FORMAT_VERSION = 1


class Table(Protocol):
    """Tokens or words by number."""

    @property
    def pieces(self) -> Iterable[str]:
        """All of them, specials included."""


@dataclass(frozen=True)
class NgramLevel:
    """All n-grams of one length, (N,) each, sorted by key.

    An n-gram's key is p * V + its last token, p being the place of its first n - 1 tokens in the level below
    (0 for single tokens). backoffs weigh what the level below says of tokens that follow no n-gram here.
    """

    keys: npt.NDArray[np.signedinteger[Any]]
    log_probs: npt.NDArray[np.floating[Any]]
    backoffs: npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class NgramModel:
    """Levels from single tokens up; level 0 holds every token, key = token."""

    levels: tuple[NgramLevel, ...]

    def __post_init__(self) -> None:
        if not self.levels:
            raise ConfigError("an n-gram model has no levels")
        if not np.array_equal(self.levels[0].keys, np.arange(len(self.levels[0].keys))):
            raise ConfigError("level 1 of an n-gram model does not hold every token")
        parents = 1
        for number, level in enumerate(self.levels, start=1):
            shapes = {level.keys.shape, level.log_probs.shape, level.backoffs.shape}
            most = parents * self.vocabulary
            if (
                len(shapes) > 1
                or not (np.isfinite(level.log_probs).all() and np.isfinite(level.backoffs).all())
                or np.any(np.diff(level.keys) <= 0)
                or np.any((level.keys < 0) | (level.keys >= most))
            ):
                raise ConfigError(f"level {number} of an n-gram model is damaged")
            parents = len(level.keys)

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return len(self.levels[0].keys)

    def context(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Find the n-grams that end a text: places in the levels from 1 up, as many as are known."""
        context: tuple[int, ...] = ()
        for token in tokens:
            context = self.extend(context, token)
        return context

    def extend(self, context: tuple[int, ...], token: int) -> tuple[int, ...]:
        """Return the context after one more token."""
        found = [token]
        for level, parent in zip(self.levels[1:-1], context, strict=False):
            key = parent * self.vocabulary + token
            place = int(level.keys.searchsorted(level.keys.dtype.type(key)))
            if place == len(level.keys) or level.keys[place] != key:
                break
            found.append(place)
        return tuple(found)

    def log_probs(self, context: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Return the log probs (V,) of every token after a context."""
        result = self.levels[0].log_probs.astype(np.float64)
        for length in range(1, len(context) + 1):
            result, _, _ = self.refine(result, context[:length])
        return result

    def refine(
        self, shorter: npt.NDArray[np.float64], context: tuple[int, ...]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], int]:
        """Return the log probs (V,) after a context, given those after it without its longest n-gram.

        And the tokens that follow that n-gram itself, and where in its level the first of these n-grams is.
        """
        parent, length = context[-1], len(context)
        result: npt.NDArray[np.float64] = shorter + self.levels[length - 1].backoffs[parent]
        if length == len(self.levels):
            return result, np.zeros(0, dtype=np.int64), 0
        level, start = self.levels[length], parent * self.vocabulary
        # Of the keys' own type, or all of them are converted first.
        edges = np.array((start, start + self.vocabulary), level.keys.dtype)
        first, last = level.keys.searchsorted(edges).tolist()
        tokens = level.keys[first:last] - start
        result[tokens] = level.log_probs[first:last]
        return result, tokens, first


def save_ngrams(path: str | Path, model: NgramModel, tokens: Table) -> None:
    """Write a model as a compressed .npz: keys as differences, log probs in half precision.

    Raises: ConfigError naming the file if it cannot be written.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "version": np.array([_FORMAT_VERSION, len(model.levels)]),
        "tokens": _fingerprint(tokens),
    }
    for number, level in enumerate(model.levels, start=1):
        arrays[f"keys_{number}"] = np.diff(level.keys, prepend=0)
        arrays[f"log_probs_{number}"] = level.log_probs.astype(np.float16)
        arrays[f"backoffs_{number}"] = level.backoffs.astype(np.float16)
    with whole_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_ngrams(path: str | Path, tokens: Table) -> NgramModel:
    """Read a model.

    Raises: ConfigError naming the file if it is none, is damaged, or is of other tokens.
    """
    import zipfile  # 10 ms that those without a language model need not wait

    try:
        # Opened by us: numpy would take any other file for a pickle, and refuse it in its own words.
        with zipfile.ZipFile(path) as held:
            names = {name.removesuffix(".npy") for name in held.namelist()}
        with np.load(path, allow_pickle=False) as arrays:
            return _read(arrays, names, tokens)
    except OSError as error:
        raise ConfigError(f"{path}: {system_reason(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (ValueError, TypeError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ConfigError(f"{path}: no n-gram model: {one_line(error)}") from None


def _read(arrays: Any, names: set[str], tokens: Table) -> NgramModel:
    if not {"version", "tokens"} <= names:
        raise ConfigError("no n-gram model")
    version, order = (int(number) for number in arrays["version"])
    if version != _FORMAT_VERSION:
        raise ConfigError(f"has format {version}, this edge-las reads {_FORMAT_VERSION}")
    if not np.array_equal(arrays["tokens"], _fingerprint(tokens)):
        raise ConfigError("was made for other tokens than the model's")
    levels: list[NgramLevel] = []
    for number in range(1, order + 1):
        keys = np.cumsum(arrays[f"keys_{number}"].astype(np.int64))
        # A key, and the one after the last, in half the memory where that is enough.
        most = (len(levels[-1].keys) + 1) * len(levels[0].keys) if levels else len(keys)
        kind = np.int32 if keys.min(initial=0) >= 0 and max(most, keys.max(initial=0)) < 2**31 else np.int64
        levels.append(
            NgramLevel(keys.astype(kind), arrays[f"log_probs_{number}"], arrays[f"backoffs_{number}"])
        )
    return NgramModel(tuple(levels))


def _fingerprint(tokens: Table) -> npt.NDArray[np.uint8]:
    """Hash the pieces: n-grams are of their numbers, which mean nothing with another table."""
    return np.frombuffer(hashlib.sha256("\n".join(tokens.pieces).encode()).digest(), dtype=np.uint8)
