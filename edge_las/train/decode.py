"""From recordings with a manifest to the flat corpus that training reads, once."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_las.audio import float_to_pcm, read_audio
from edge_las.errors import AudioError, ConfigError
from edge_las.tokens import normalize_text
from edge_las.train.corpus import AUDIO_FILE, INDEX_FILE, SAMPLE_RATE, Corpus, read_tsv, write_index
from edge_las.train.lhotse_cuts import cut_manifests, read_cuts

MANIFEST = "manifest.tsv"
FIELDS = ("id", "path", "dataset", "speaker", "split", "text")


@dataclass(frozen=True)
class Source:
    """A clip before it is decoded; `read` gives its samples as floats at 16 kHz, (S,)."""

    id: str
    dataset: str
    speaker: str
    split: str
    text: str
    read: Callable[[], npt.NDArray[np.float32]]


def open_corpus(folders: Iterable[str | Path], cache: str | Path) -> Corpus:
    """Open folders with a flat corpus, or with a manifest, which is decoded into `cache` the first time.

    Raises: ConfigError naming a folder without either, or a manifest's line; AudioError naming a recording.
    """
    flat = []
    for folder in map(Path, folders):
        if (folder / INDEX_FILE).exists():
            flat.append(folder)
        elif manifests := _manifests(folder):
            flat.append(flatten(folder, Path(cache) / _cache_name(folder, manifests)))
        else:
            raise ConfigError(f"{folder}: neither {INDEX_FILE}, {MANIFEST} nor cuts.jsonl.gz is there")
    return Corpus(flat)


def flatten(folder: Path, out: Path, jobs: int | None = None) -> Path:
    """Decode the clips of a folder's manifest into a flat corpus at `out`, unless it is there already.

    The index is written last, under its own name only when complete: an interrupted run starts over.
    Raises: ConfigError naming the manifest's line, AudioError naming the clip.
    """
    if (out / INDEX_FILE).exists():
        return out
    sources = _read_manifest(folder / MANIFEST) if (folder / MANIFEST).exists() else _read_cuts(folder)
    out.mkdir(parents=True, exist_ok=True)
    index, offset = [], 0
    with (
        open(out / AUDIO_FILE, "wb") as audio,
        ProcessPoolExecutor(jobs or os.cpu_count()) as pool,
        tqdm(total=len(sources), desc=f"decode {folder.name}", unit="clip", mininterval=5) as bar,
    ):
        for clip, pcm in zip(sources, pool.map(_decode, sources, chunksize=32), strict=True):
            audio.write(pcm.tobytes())
            index.append((clip.id, offset, len(pcm), clip.dataset, clip.speaker, clip.split, clip.text))
            offset += len(pcm)
            bar.update()
    write_index(out, index)
    return out


def _manifests(folder: Path) -> list[Path]:
    return [folder / MANIFEST] if (folder / MANIFEST).exists() else cut_manifests(folder)


def _cache_name(folder: Path, manifests: Sequence[Path]) -> str:
    """Name what is decoded after its source: another folder, or a changed manifest, is another corpus."""
    digest = hashlib.sha256(str(folder.resolve()).encode())
    for path in manifests:
        digest.update(path.read_bytes())
    return f"{folder.resolve().name}-{digest.hexdigest()[:12]}"


def _decode(source: Source) -> npt.NDArray[np.int16]:
    return float_to_pcm(source.read())


def _read_manifest(path: Path) -> list[Source]:
    sources = []
    for number, row in read_tsv(path, FIELDS):
        if not (path.parent / row["path"]).is_file():
            raise AudioError(f"{path}: line {number}: {row['path']} is missing")
        text = _normalized(row["text"], f"{path}: line {number}")
        read = partial(read_audio, path.parent / row["path"], SAMPLE_RATE)
        sources.append(Source(row["id"], row["dataset"], row["speaker"], row["split"], text, read))
    return sources


def _read_cuts(folder: Path) -> list[Source]:
    return [
        Source(cut.id, cut.dataset, cut.speaker, cut.split, _normalized(cut.text, cut.where), cut.read)
        for cut in read_cuts(folder)
    ]


def _normalized(text: str, where: str) -> str:
    try:
        return normalize_text(text)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
