"""A corpus as training reads it: one flat file of 16 kHz PCM and an index of its clips.

Decoding Opus costs a core 370 seconds of audio a second; a memory-mapped flat file costs nothing and lets eight
workers feed a GPU ten thousand times faster than real time (docs/training.md). Any manifest is turned into it once.
"""

import csv
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_las.audio import float_to_pcm, read_audio
from edge_las.errors import AudioError, ConfigError
from edge_las.tokens import normalize_text

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

    def samples(self, clip: Clip) -> npt.NDArray[np.int16]:
        """Read the samples of a clip, (num_samples,)."""
        if clip.corpus not in self._audio:
            self._audio[clip.corpus] = np.memmap(self._paths[clip.corpus] / AUDIO_FILE, np.int16, "r")
        return self._audio[clip.corpus][clip.offset_samples : clip.offset_samples + clip.num_samples]


def open_corpus(folders: Iterable[str | Path], cache: str | Path) -> Corpus:
    """Open folders with a flat corpus, or with a manifest.tsv, which is decoded into `cache` the first time."""
    flat = []
    for folder in map(Path, folders):
        if (folder / INDEX_FILE).exists():
            flat.append(folder)
        elif (folder / "manifest.tsv").exists():
            flat.append(flatten(folder, Path(cache) / folder.resolve().name))
        else:
            raise ConfigError(f"{folder}: neither {INDEX_FILE} nor manifest.tsv is there")
    return Corpus(flat)


def flatten(folder: Path, out: Path, jobs: int | None = None) -> Path:
    """Decode the clips of `folder`/manifest.tsv into a flat corpus at `out`, unless it is there already.

    The index is written last, under its own name only when complete: an interrupted run starts over.
    Raises: ConfigError naming the manifest's line, AudioError naming the clip.
    """
    if (out / INDEX_FILE).exists():
        return out
    rows = _read_manifest(folder / "manifest.tsv")
    out.mkdir(parents=True, exist_ok=True)
    index, offset = [], 0
    paths = [folder / row["path"] for row in rows]
    with (
        open(out / AUDIO_FILE, "wb") as audio,
        ProcessPoolExecutor(jobs or os.cpu_count()) as pool,
        tqdm(total=len(rows), desc=f"decode {folder.name}", unit="clip", mininterval=5) as bar,
    ):
        for row, pcm in zip(rows, pool.map(_decode, paths, chunksize=32), strict=True):
            audio.write(pcm.tobytes())
            index.append((row["id"], offset, len(pcm), row["dataset"], row["speaker"], row["split"], row["text"]))
            offset += len(pcm)
            bar.update()
    write_index(out, index)
    return out


def write_index(out: Path, rows: Iterable[tuple]) -> None:
    """Write index.tsv, whole or not at all; rows hold FIELDS."""
    part = out / (INDEX_FILE + ".part")
    with open(part, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE)
        writer.writerow(FIELDS)
        writer.writerows(rows)
    part.replace(out / INDEX_FILE)


def _decode(path: Path) -> npt.NDArray[np.int16]:
    return float_to_pcm(read_audio(path, SAMPLE_RATE))


def _read_manifest(path: Path) -> list[dict[str, str]]:
    rows = []
    for number, row in _read_tsv(path, ("id", "path", "dataset", "speaker", "split", "text")):
        try:
            row["text"] = normalize_text(row["text"])
        except ConfigError as error:
            raise ConfigError(f"{path}: line {number}: {error}") from None
        if not (path.parent / row["path"]).is_file():
            raise AudioError(f"{path}: line {number}: {row['path']} is missing")
        rows.append(row)
    return rows


def _read_index(folder: Path, corpus: int) -> Iterator[Clip]:
    path = folder / INDEX_FILE
    available = (folder / AUDIO_FILE).stat().st_size // 2 if (folder / AUDIO_FILE).exists() else 0
    for number, row in _read_tsv(path, tuple(f for f in FIELDS if f != "split")):
        offset, samples = int(row["offset_samples"]), int(row["num_samples"])
        if offset + samples > available:
            raise ConfigError(f"{path}: line {number} reaches past the end of {AUDIO_FILE}")
        yield Clip(
            row["id"], corpus, offset, samples, row["dataset"], row["speaker"], row.get("split", "train"), row["text"]
        )  # fmt: skip


def _read_tsv(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a TSV that must have `fields`."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [name for name in fields if name not in (reader.fieldnames or ())]
        if missing:
            raise ConfigError(f"{path}: the column {missing[0]} is missing")
        for row in reader:
            if None in row.values() or None in row:
                raise ConfigError(f"{path}: line {reader.line_num} has not {len(reader.fieldnames or ())} columns")
            yield reader.line_num, row
