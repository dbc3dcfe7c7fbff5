"""`edge-las distill`: let a larger recognizer hear a corpus, once, and keep what its encoder makes of it.

The teacher is a Whisper of any size, run by faster-whisper; tiny.en hears 150 hours an hour and core.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_las.audio import pcm_to_float
from edge_las.errors import ConfigError, DeviceError
from edge_las.train.alignment import FRAME_SAMPLES
from edge_las.train.corpus import SAMPLE_RATE, Clip, Corpus
from edge_las.train.discriminant import Discriminant
from edge_las.train.teacher import LARGEST, ROW_SAMPLES, SCALE, TEACHER_FILE

DISCRIMINANT_FILE = "teacher_discriminant.npz"
DIM = 96
_WINDOW_SAMPLES = 30 * SAMPLE_RATE  # what the teacher hears at once, at most
_ROW_FRAMES = ROW_SAMPLES // FRAME_SAMPLES  # the aligner's
_BATCH_SAMPLES = 60 * SAMPLE_RATE
# The teacher hears so much silence after each clip.
_TAIL_SAMPLES = SAMPLE_RATE // 2
# Aligned clips that tell which directions matter.
_SAMPLE_CLIPS = 3000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `edge-las distill`."""
    add = parser.add_argument
    add(
        "corpora",
        type=Path,
        nargs="+",
        help="folders with index.tsv and audio.i16; the first, aligned, tells what matters",
    )
    add(
        "--teacher",
        required=True,
        metavar="NAME",
        help="a Whisper faster-whisper knows (tiny.en), or its folder",
    )


def run(args: argparse.Namespace) -> int:
    """Distill as the command line says."""
    teacher = WhisperEncoder(args.teacher)
    for folder in args.corpora:
        print(f"{distill_corpus(folder, teacher, args.corpora[0])} clips heard in {folder}")
    return 0


class WhisperEncoder:
    """The encoder of a Whisper."""

    def __init__(self, name: str) -> None:
        """Load it. Raises: DeviceError saying which package to install, ConfigError for an unknown name."""
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise DeviceError("distilling needs faster-whisper: pip install edge-las[distill]") from None
        try:
            self._model: Any = WhisperModel(name, device="cpu", compute_type="int8", cpu_threads=1)
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(f"--teacher {name}: {str(error).splitlines()[0]}") from None

    def hear(self, waves: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """Encode samples at 16 kHz, each at most 30 s: (N, F, D), frame k is of samples 320 k on."""
        extract = self._model.feature_extractor
        mels = [extract(wave, padding=_TAIL_SAMPLES)[:, : _WINDOW_SAMPLES // FRAME_SAMPLES] for wave in waves]
        frames = max(mel.shape[1] for mel in mels)
        frames += frames % 2
        padded = [np.pad(m, ((0, 0), (0, frames - m.shape[1])), constant_values=m.min()) for m in mels]
        return np.array(self._model.encode(np.stack(padded)))


def distill_corpus(folder: Path, teacher: WhisperEncoder, like: Path, dim: int = DIM) -> int:
    """Write what the teacher makes of a corpus, going on where interrupted; return how many clips it holds.

    Its frames are projected on the `dim` directions that best tell apart the phones of the corpus `like`.
    Raises: ConfigError where `like` is not aligned, or what is there of it is another teacher's.
    """
    corpus = Corpus([folder])
    whole = corpus.audio_path(0).with_name(TEACHER_FILE)
    if whole.exists():
        return len(corpus.clips)
    found = like / DISCRIMINANT_FILE
    project = Discriminant.load(found) if found.exists() else _discriminant(like, teacher, dim)
    part = whole.with_name(TEACHER_FILE + ".part")
    shape = (-(-corpus.audio_path(0).stat().st_size // 2 // ROW_SAMPLES), project.projection.shape[1])
    rows = np.lib.format.open_memmap(part, "r+" if part.exists() else "w+", np.int8, shape)
    left = [clip for clip in corpus.clips if not _rows(clip, rows).any()]
    with tqdm(total=len(left), unit="clip", mininterval=5) as bar:
        for batch in _batches(left):
            heard = teacher.hear([_wave(corpus, clip) for clip in batch])
            if heard.shape[2] != len(project.mean):
                raise ConfigError(f"{found}: is of a teacher of {len(project.mean)} dimensions: remove it")
            for clip, encoded in zip(batch, heard, strict=True):
                _keep(clip, project(encoded), rows)
            bar.update(len(batch))
    rows.flush()
    part.replace(whole)
    return len(corpus.clips)


def _discriminant(like: Path, teacher: WhisperEncoder, dim: int) -> Discriminant:
    """Find the projection from a sample of an aligned corpus's clips, and write it."""
    corpus = Corpus([like])
    aligned = [(clip, when) for clip in corpus.clips if (when := corpus.alignment(clip)) is not None]
    if not aligned:
        raise ConfigError(f"{like}: no clip is aligned: edge-las align {like}")
    sample = aligned[:: -(-len(aligned) // _SAMPLE_CLIPS)]
    frames, classes = [], []
    for clip, alignment in tqdm(sample, "sample", unit="clip", mininterval=5):
        encoded = teacher.hear([_wave(corpus, clip)])[0]
        said = alignment.frame_diphones(len(encoded) * _ROW_FRAMES)[_ROW_FRAMES // 2 :: _ROW_FRAMES]
        frames.append(encoded[: len(said)][said >= 0])
        classes.append(said[said >= 0])
    found = Discriminant.fit(np.concatenate(frames), np.concatenate(classes), dim)
    found.save(like / DISCRIMINANT_FILE)
    return found


def _batches(clips: Sequence[Clip]) -> Iterator[list[Clip]]:
    """Put clips of like length together, so that little is heard of padding."""
    batch: list[Clip] = []
    for clip in sorted(clips, key=lambda clip: clip.num_samples):
        longest = min(clip.num_samples, _WINDOW_SAMPLES) + _TAIL_SAMPLES
        if batch and longest * (len(batch) + 1) > _BATCH_SAMPLES:
            yield batch
            batch = []
        batch.append(clip)
    if batch:
        yield batch


def _wave(corpus: Corpus, clip: Clip) -> npt.NDArray[np.float32]:
    return pcm_to_float(corpus.samples(clip)[:_WINDOW_SAMPLES])


def _rows(clip: Clip, rows: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Look at the rows that lie wholly in a clip's audio."""
    end = clip.offset_samples + min(clip.num_samples, _WINDOW_SAMPLES)
    return rows[-(-clip.offset_samples // ROW_SAMPLES) : end // ROW_SAMPLES]


def _keep(clip: Clip, encoded: npt.NDArray[np.float32], rows: npt.NDArray[np.int8]) -> None:
    """Interpolate a clip's frames (F, D), counted from its begin, to rows, counted from the file's."""
    target = _rows(clip, rows)[: len(encoded) - 1]
    behind = -clip.offset_samples % ROW_SAMPLES / ROW_SAMPLES
    first, second = encoded[:-1][: len(target)], encoded[1:][: len(target)]
    values = np.rint((first + behind * (second - first)) * SCALE).clip(-LARGEST, LARGEST)
    values[~values.any(axis=1), 0] = 1  # zeros would say that nobody heard it
    target[:] = values
