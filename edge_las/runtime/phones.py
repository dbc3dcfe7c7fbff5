"""The head of phones: computed from what the Listener heard, where something asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge_las.arrays import read_arrays
from edge_las.artifact import Manifest, check_files
from edge_las.errors import ArtifactError, one_line
from edge_las.lexicon import LEXICON_NAME, PHONE_HEAD_NAME, PHONES, SILENCE, Lexicon, load_lexicon
from edge_las.runtime.gate import expected_ctc_tokens
from edge_las.search.phones import phone_scores
from edge_las.word_table import UNKNOWN

if TYPE_CHECKING:
    from edge_las.g2p import G2p

Array = npt.NDArray[np.float32]

# The head is 150 kB; anything near this is none.
_MOST_BYTES = 4 << 20
# Beyond these (nats) evidence says no more.
_LEAST_OVER_SILENCE, _MOST_OVER_SILENCE = -20.0, 60.0
_LAYERS = ("hidden", "context", "out")
_PARTS = {"weight": np.dtype(np.int8), "scale": np.dtype(np.float16), "bias": np.dtype(np.float16)}


@dataclass(frozen=True)
class Dense:
    """A layer: weights (in, out) and bias (out,)."""

    weights: Array
    bias: Array

    def __call__(self, rows: Array) -> Array:
        """(T, in) -> (T, out), the same bits for a row however many others come with it."""
        # One product for each row: a product of all rows is rounded by their number.
        result: Array = (rows[:, np.newaxis] @ self.weights)[:, 0] + self.bias
        return result


@dataclass(frozen=True)
class PhoneJudge:
    """Names the phone of each frame, and knows how words are said."""

    hidden: Dense  # of a frame's middle and encoded
    context: Dense  # of the hidden values of an odd number of frames around, one frame after the other
    out: Dense
    lexicon: Lexicon
    # Loads what says words that the lexicon lacks: few need it.
    g2p: Callable[[], G2p | None] = lambda: None

    def pronunciations(self, word: str) -> list[tuple[int, ...]]:
        """List the ways a word is said, or likely is, in PHONES' numbers; empty if nobody knows."""
        found = self.lexicon.pronunciations(word)
        if found or (g2p := self.g2p()) is None:
            return found
        return g2p.pronounce(word)

    @property
    def frames_around(self) -> int:
        """How many frames before, and after, a frame its phone is named by."""
        return self.context.weights.shape[0] // self.hidden.bias.size // 2

    def log_probs(self, encoded: Array, middle: Array | None) -> Array:
        """Give the log probs of the phones (T, P), were all phones equally common.

        Of encoded (1, T, E) and middle (1, T, M), None for a head that hears no middle.
        """
        stream = PhoneStream(self)
        return np.concatenate([stream.accept(encoded, middle), stream.finish()])


@dataclass(frozen=True)
class PhoneEvidence:
    """What the phones of an utterance say of a text, or of any speech at all.

    voiced: log(1 + frames in which a phone is heard, weighted by how surely); over_silence: by how many nats
    the text is likelier than nothing.
    """

    voiced: float = 0.0
    over_silence: float = 0.0


def phone_evidence(judge: PhoneJudge, log_probs: Array, text: str) -> PhoneEvidence:
    """Gather what log probs of phones (T, P) say of a text."""
    if not len(log_probs):
        return PhoneEvidence()
    frames = expected_ctc_tokens(log_probs, (SILENCE,))
    words = [word if judge.pronunciations(word) else UNKNOWN for word in text.split()]
    found = phone_scores(judge, log_probs, [" ".join(words)], unknown=UNKNOWN)
    assert found is not None
    gained = float(found[0]) - float(log_probs[:, SILENCE].sum())
    return PhoneEvidence(math.log1p(frames), min(_MOST_OVER_SILENCE, max(_LEAST_OVER_SILENCE, gained)))


class PhoneStream:
    """The phones of an utterance while it is heard; a `copy.copy` goes its own way."""

    def __init__(self, judge: PhoneJudge) -> None:
        self._judge = judge
        # Hidden values of the frames that those to come are named by; before the first there are none.
        self._held = np.zeros((judge.frames_around, judge.hidden.bias.size), dtype=np.float32)

    def accept(self, encoded: Array, middle: Array | None) -> Array:
        """Take the next frames, encoded (1, t, E) and middle (1, t, M).

        Returns the log probs (t', P) of those that are complete: as many frames late as a head hears ahead.
        """
        heard = encoded[0] if middle is None else np.concatenate([middle[0], encoded[0]], axis=1)
        hidden = np.maximum(self._judge.hidden(heard.astype(np.float32, copy=False)), 0.0)
        # Arrays are never written to once made, so that copies share them.
        frames = np.concatenate([self._held, hidden])
        self._held = frames[max(0, len(frames) - 2 * self._judge.frames_around) :]
        return self._named(frames)

    def finish(self) -> Array:
        """Return the log probs (t, P) of the last frames; the stream itself stays as it is."""
        silence = np.zeros((self._judge.frames_around, self._held.shape[1]), dtype=np.float32)
        return self._named(np.concatenate([self._held, silence]))

    def _named(self, frames: Array) -> Array:
        judge = self._judge
        size = 2 * judge.frames_around + 1
        count, width = max(0, len(frames) - size + 1), frames.shape[1]
        if not count:
            return np.zeros((0, judge.out.bias.size), dtype=np.float32)
        # Frames lie one after the other: so do those of a window.
        windows = np.lib.stride_tricks.sliding_window_view(frames.reshape(-1), size * width)[::width]
        logits = judge.out(np.maximum(judge.context(np.ascontiguousarray(windows)), 0.0))
        result: Array = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return result


def load_phone_judge(folder: Path, manifest: Manifest) -> PhoneJudge | None:
    """Load the head and the lexicon of an artifact; None if it lacks one.

    Raises: ArtifactError naming the file.
    """
    if not {PHONE_HEAD_NAME, LEXICON_NAME} <= manifest.files.keys():
        return None
    # Since the artifact was verified they may have been replaced.
    check_files(folder, manifest, (PHONE_HEAD_NAME, LEXICON_NAME))
    listener = manifest.listener
    path, heard = folder / PHONE_HEAD_NAME, listener.middle_dim + listener.encoded_dim
    try:
        hidden, context, out = _layers(_arrays(path), heard)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from None
    lexicon = load_lexicon(folder / LEXICON_NAME)
    return PhoneJudge(hidden, context, out, lexicon, cache(lambda: _load_g2p(folder, manifest)))


def _load_g2p(folder: Path, manifest: Manifest) -> G2p | None:
    from edge_las.g2p import load_g2p_of

    return load_g2p_of(folder, manifest)


def _arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Read the file's arrays, which may come from anywhere."""
    try:
        return read_arrays(path, _MOST_BYTES, "a head of phones")
    except ArtifactError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many kinds
        raise ArtifactError(f"not weights that can be read: {one_line(error)}") from None


def _layers(arrays: dict[str, npt.NDArray[np.generic]], heard: int) -> tuple[Dense, Dense, Dense]:
    """Check what the file holds and how its sizes go together; `heard` numbers of each frame."""
    for name in (f"{layer}_{part}" for layer in _LAYERS for part in _PARTS):
        if not isinstance(arrays.get(name), np.ndarray):
            raise ArtifactError(f"{name} is missing")
    units, channels = (arrays[f"{layer}_weight"].shape[:1] for layer in _LAYERS[:2])
    kernel = arrays["context_weight"].shape[2:]
    if len(kernel) != 1 or not kernel[0] % 2:
        raise ArtifactError(f"context_weight is {_sizes(arrays['context_weight'])}, its kernel must be odd")
    shapes = {"hidden": (*units, heard), "context": (*channels, *units, *kernel)}
    shapes["out"] = (len(PHONES), *channels)
    return (
        _dense(arrays, "hidden", shapes["hidden"]),
        _dense(arrays, "context", shapes["context"]),
        _dense(arrays, "out", shapes["out"]),
    )


def _dense(arrays: dict[str, npt.NDArray[np.generic]], layer: str, shape: tuple[int, ...]) -> Dense:
    """Multiply out a layer of int8 weights (out, in) or (out, in, kernel), a scale for each row."""
    for part, dtype in _PARTS.items():
        found, wanted = arrays[f"{layer}_{part}"], shape if part == "weight" else shape[:1]
        if found.shape != wanted or found.dtype != dtype or not found.size:
            sizes = "x".join(map(str, wanted))
            raise ArtifactError(f"{layer}_{part} is {_sizes(found)} {found.dtype}, must be {sizes} {dtype}")
        if not np.isfinite(found.astype(np.float32)).all():
            raise ArtifactError(f"{layer}_{part} holds what is no number")
    steps, scale, bias = (arrays[f"{layer}_{part}"].astype(np.float32) for part in _PARTS)
    weights = steps * scale.reshape(-1, *(1 for _ in shape[1:]))
    # One frame of the kernel after the other.
    rows = np.moveaxis(weights, 0, -1) if len(shape) == 2 else weights.transpose(2, 1, 0)
    return Dense(np.ascontiguousarray(rows.reshape(-1, shape[0])), bias)


def _sizes(array: npt.NDArray[np.generic]) -> str:
    return "x".join(map(str, array.shape)) or "a number"
