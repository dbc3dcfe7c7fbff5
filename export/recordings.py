"""Transcribed recordings for calibration and parity: of a folder with manifest.tsv, or of a flat corpus."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_las.audio import pcm_to_float, read_audio
from edge_las.errors import ConfigError
from edge_las.train.corpus import INDEX_FILE, Corpus

FloatArray = npt.NDArray[np.float32]
_FIELDS = ("id", "path", "dataset", "speaker", "split", "text")


@dataclass(frozen=True)
class Recording:
    """A transcribed recording whose samples (S,) are read when asked for."""

    id: str
    dataset: str
    speaker: str
    split: str
    text: str
    samples: Callable[[], FloatArray]


def load_recordings(folder: Path, sample_rate: int) -> list[Recording]:
    """List the recordings of a folder.

    Raises: ConfigError naming the folder or the column that is missing.
    """
    if (folder / INDEX_FILE).is_file():
        return list(_of_corpus(Corpus([folder])))
    if not (folder / "manifest.tsv").is_file():
        raise ConfigError(f"{folder}: neither manifest.tsv nor {INDEX_FILE} is there")
    return list(_of_manifest(folder, sample_rate))


def spread(recordings: Iterable[Recording], count: int) -> list[Recording]:
    """Choose `count` recordings: data sets in turn, in each its speakers in turn, by the hash of the id."""
    by_dataset: dict[str, dict[str, list[Recording]]] = {}
    for recording in sorted(recordings, key=lambda r: sha256(r.id.encode()).digest()):
        by_dataset.setdefault(recording.dataset, {}).setdefault(recording.speaker, []).append(recording)
    orders = [_in_turn(by_dataset[name].values()) for name in sorted(by_dataset)]
    return _in_turn(orders)[:count]


def held_out(recordings: Sequence[Recording], count: int) -> list[Recording]:
    """Choose `count` recordings of split dev, or of any where there are none of it."""
    return spread([r for r in recordings if r.split == "dev"] or recordings, count)


def _in_turn(rows: Iterable[list[Recording]]) -> list[Recording]:
    return [recording for column in zip_longest(*rows) for recording in column if recording is not None]


def _of_manifest(folder: Path, sample_rate: int) -> Iterator[Recording]:
    with open(folder / "manifest.tsv", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [name for name in _FIELDS if name not in (rows.fieldnames or ())]
        if missing:
            raise ConfigError(f"{folder / 'manifest.tsv'}: the column {missing[0]} is missing")
        for row in rows:
            samples = partial(read_audio, folder / row["path"], sample_rate)
            yield Recording(row["id"], row["dataset"], row["speaker"], row["split"], row["text"], samples)


def _of_corpus(corpus: Corpus) -> Iterator[Recording]:
    for clip in corpus.clips:
        samples = partial(lambda c: pcm_to_float(corpus.samples(c)), clip)
        yield Recording(clip.id, clip.dataset, clip.speaker, clip.split, clip.text, samples)
