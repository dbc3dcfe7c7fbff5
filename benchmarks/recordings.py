"""Transcribed recordings to measure on: of a folder with manifest.tsv, or of a flat corpus; no torch."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_las.audio import pcm_to_float, read_audio
from edge_las.errors import ConfigError

FloatArray = npt.NDArray[np.float32]

# A flat corpus is what training makes of a folder: 16 kHz PCM, clip after clip, and where each begins.
_FLAT_RATE_HZ = 16000
_COLUMNS = ("id", "dataset", "split", "text")


@dataclass(frozen=True)
class Recording:
    """A transcribed recording whose samples (S,) are read when asked for."""

    id: str
    dataset: str
    split: str
    seconds: float
    text: str
    samples: Callable[[], FloatArray]


def load_recordings(folder: Path, sample_rate: int = _FLAT_RATE_HZ) -> list[Recording]:
    """List the recordings of a folder, of all splits, in its order.

    Raises: ConfigError naming the file or the column that is missing.
    """
    if (folder / "index.tsv").is_file():
        return list(_of_flat_corpus(folder, sample_rate))
    if (folder / "manifest.tsv").is_file():
        return list(_of_manifest(folder, sample_rate))
    raise ConfigError(f"{folder}: neither manifest.tsv nor index.tsv is there")


def choose(
    recordings: Iterable[Recording], split: str, sets: Sequence[str] = (), limit: int | None = None
) -> dict[str, list[Recording]]:
    """Pick those of a split by data set, at most `limit` of each, spread evenly over it.

    Raises: ConfigError naming a set that has none.
    """
    chosen: dict[str, list[Recording]] = {}
    for recording in recordings:
        if recording.split == split and (not sets or recording.dataset in sets):
            chosen.setdefault(recording.dataset, []).append(recording)
    for name in sets:
        if name not in chosen:
            raise ConfigError(f"no recording of split {split} is of data set {name}")
    if not chosen:
        raise ConfigError(f"there are no recordings of split {split}")
    return {name: spread(chosen[name], limit) for name in sorted(chosen)}


def spread(items: Sequence[Any], limit: int | None) -> list[Any]:
    """Take at most `limit` items at even distances."""
    if limit is None or len(items) <= limit:
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


def hours(recordings: Iterable[Recording]) -> dict[str, dict[str, float]]:
    """Add up the hours of each data set by split."""
    total: dict[str, dict[str, float]] = {}
    for recording in recordings:
        splits = total.setdefault(recording.dataset, {})
        splits[recording.split] = splits.get(recording.split, 0.0) + recording.seconds / 3600.0
    return total


def _of_manifest(folder: Path, sample_rate: int) -> Iterator[Recording]:
    for row in _rows(folder / "manifest.tsv", (*_COLUMNS, "path", "seconds")):
        samples = partial(read_audio, folder / row["path"], sample_rate)
        seconds = float(row["seconds"])
        yield Recording(row["id"], row["dataset"], row["split"], seconds, row["text"], samples)


def _of_flat_corpus(folder: Path, sample_rate: int) -> Iterator[Recording]:
    if sample_rate != _FLAT_RATE_HZ:
        raise ConfigError(f"{folder}: is of {_FLAT_RATE_HZ} Hz, the model needs {sample_rate} Hz")
    audio = np.memmap(folder / "audio.i16", np.int16, "r")
    for row in _rows(folder / "index.tsv", (*_COLUMNS, "offset_samples", "num_samples")):
        start, count = int(row["offset_samples"]), int(row["num_samples"])
        if start + count > audio.size:
            raise ConfigError(f"{folder / 'index.tsv'}: {row['id']} reaches past the end of audio.i16")
        samples = partial(_slice, audio, start, count)
        seconds = count / _FLAT_RATE_HZ
        yield Recording(row["id"], row["dataset"], row["split"], seconds, row["text"], samples)


def _slice(audio: npt.NDArray[np.int16], start: int, count: int) -> FloatArray:
    return pcm_to_float(np.array(audio[start : start + count]))


def _rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        for name in columns:
            if name not in (rows.fieldnames or ()):
                raise ConfigError(f"{path}: the column {name} is missing")
        yield from rows
