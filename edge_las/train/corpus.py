"""A corpus as training reads it: one flat file of 16 kHz PCM and an index of its clips.

Decoding Opus costs a core a second for 250 to 600 seconds of audio; reading a memory-mapped flat file costs
next to nothing (docs/training.md). `edge_las.train.decode` turns other forms into it, once.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_las.errors import ConfigError
from edge_las.train import alignment
from edge_las.train.alignment import ALIGNMENT_FILE, Alignment
from edge_las.train.teacher import Teacher

SAMPLE_RATE = 16000
AUDIO_FILE, INDEX_FILE = "audio.i16", "index.tsv"
FIELDS = ("id", "offset_samples", "num_samples", "dataset", "speaker", "split", "text")


@dataclass(frozen=True)
class Clip:
    """A transcribed stretch of a corpus."""

    id: str
    corpus: int
    offset_samples: int
    num_samples: int
    dataset: str
    speaker: str
    split: str
    text: str

    @property
    def seconds(self) -> float:
        return self.num_samples / SAMPLE_RATE


class Corpus:
    """Clips of one or more flat corpora, and their samples."""

    def __init__(self, folders: Iterable[str | Path]) -> None:
        """Open folders that hold audio.i16 and index.tsv.

        Raises: ConfigError naming the file and line.
        """
        self._paths = [Path(folder) for folder in folders]
        self.clips = [clip for i, path in enumerate(self._paths) for clip in _read_index(path, i)]
        self._audio: dict[int, npt.NDArray[np.int16]] = {}
        self._alignments = [_read_alignments(path) for path in self._paths]
        self._teachers = [Teacher.beside(self.audio_path(i)) for i in range(len(self._paths))]

    def audio_path(self, corpus: int) -> Path:
        """Where a corpus's samples lie; it may be a link in the corpus's folder (edge-las cut)."""
        return (self._paths[corpus] / AUDIO_FILE).resolve()

    @property
    def sizes(self) -> list[int]:
        """The number of samples of each flat corpus."""
        return [self._all(i).size for i in range(len(self._paths))]

    def samples(self, clip: Clip) -> npt.NDArray[np.int16]:
        """Read the samples of a clip, (num_samples,)."""
        return self.read(clip.corpus, clip.offset_samples, clip.num_samples)

    def read(self, corpus: int, offset: int, samples: int) -> npt.NDArray[np.int16]:
        """Read samples of a flat corpus, (samples,)."""
        return self._all(corpus)[offset : offset + samples]

    def _all(self, corpus: int) -> npt.NDArray[np.int16]:
        if corpus not in self._audio:
            self._audio[corpus] = np.memmap(self._paths[corpus] / AUDIO_FILE, np.int16, "r")
        return self._audio[corpus]

    def aligned(self, clip: Clip) -> bool:
        """Whether it is known when each phone and each word of the clip is said."""
        return clip.id in self._alignments[clip.corpus]

    def alignment(self, clip: Clip) -> Alignment | None:
        """Give when the clip's phones and words are said, where its corpus has been aligned."""
        columns = self._alignments[clip.corpus].get(clip.id)
        return None if columns is None else Alignment.parse(*columns)

    def teacher(self, clip: Clip) -> Teacher | None:
        """Give what a teacher made of the clip's corpus, where one has heard it."""
        return self._teachers[clip.corpus]

    def check_teachers(self, dim: int) -> None:
        """Raise ConfigError naming a corpus of which a teacher says other than `dim` numbers a frame."""
        for path, teacher in zip(self._paths, self._teachers, strict=True):
            if teacher is not None and teacher.rows.shape[1] != dim:
                raise ConfigError(
                    f"{path}: its teacher has {teacher.rows.shape[1]} dimensions, model.teacher_dim is {dim}"
                )


def write_index(out: Path, rows: Iterable[tuple]) -> None:
    """Write index.tsv, whole or not at all; rows hold FIELDS."""
    part = out / (INDEX_FILE + ".part")
    with open(part, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE)
        writer.writerow(FIELDS)
        writer.writerows(rows)
    part.replace(out / INDEX_FILE)


def _read_index(folder: Path, corpus: int) -> Iterator[Clip]:
    path = folder / INDEX_FILE
    available = (folder / AUDIO_FILE).stat().st_size // 2 if (folder / AUDIO_FILE).exists() else 0
    for number, row in read_tsv(path, tuple(f for f in FIELDS if f != "split")):
        if not (row["offset_samples"].isdecimal() and row["num_samples"].isdecimal()):
            raise ConfigError(f"{path}: line {number}: offset_samples or num_samples is not a whole number")
        offset, samples = int(row["offset_samples"]), int(row["num_samples"])
        if offset + samples > available:
            raise ConfigError(f"{path}: line {number} reaches past the end of {folder / AUDIO_FILE}")
        split = row.get("split", "train")
        yield Clip(row["id"], corpus, offset, samples, row["dataset"], row["speaker"], split, row["text"])


def _read_alignments(folder: Path) -> dict[str, tuple[str, str]]:
    """Read the columns `phones` and `words` of align.tsv by clip id; empty without the file.

    A line is parsed when its clip is heard: thousands of clips as objects would fill each loader's memory.
    """
    path = folder / ALIGNMENT_FILE
    if not path.exists():
        return {}
    rows = (row for _, row in read_tsv(path, alignment.FIELDS))
    return {row["id"]: (row["phones"], row["words"]) for row in rows if row["phones"]}


def read_tsv(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a TSV that must have `fields`."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [name for name in fields if name not in (reader.fieldnames or ())]
        if missing:
            raise ConfigError(f"{path}: the column {missing[0]} is missing")
        for row in reader:
            if None in row.values() or None in row:
                columns = len(reader.fieldnames or ())
                raise ConfigError(f"{path}: line {reader.line_num} has not {columns} columns")
            yield reader.line_num, row
