"""A checkpoint to an artifact: export, calibrate, quantize, prove equal, package."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from edge_las.artifact import CalibrationEntry, EngineEntry, Manifest
from edge_las.tokens import TokenTable
from edge_las.train.checkpoint import load_checkpoint
from edge_las.train.model import LasModel
from export.build_onnx import build_float, build_int8
from export.calibration import CalibrationClip, choose, feeds_of, list_hash
from export.config import ExportConfig
from export.gate import Built, prove
from export.package import describe_artifact, describe_origin, measured, seal, staged
from export.recordings import Recording, load_recordings

Progress = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A trained model, its folder if it has one, and the speech to calibrate and to prove it on."""

    model: LasModel
    tokens: TokenTable
    recordings: Sequence[Recording]
    checkpoint: Path | None = None


def load_source(checkpoint: Path, speech: Path) -> Source:
    """Read a checkpoint, and list the recordings of a folder.

    Raises: ArtifactError, ConfigError naming the file.
    """
    model, tokens = load_checkpoint(checkpoint)
    recordings = load_recordings(speech, model.config.features.sample_rate)
    return Source(model, tokens, recordings, checkpoint)


def export(
    source: Source, out: Path, config: ExportConfig, progress: Progress = lambda line: None
) -> Manifest:
    """Write an artifact to `out`, whole and proved, or nothing.

    Raises: ParityError where two forms of the model differ; ConfigError, ArtifactError.
    """
    with _one_thread(), tempfile.TemporaryDirectory() as scratch, staged(out) as folder:
        progress("float graphs")
        reference = _built(source, Path(scratch), _float_entry(source, Path(scratch), config), [], config)
        clips = choose(source.recordings, config.calibration) if config.precision == "int8" else []
        if clips:
            entry = _quantize(source, clips, reference.folder, folder, config, progress)
        else:
            entry = _float_entry(source, folder, config)
        released = _built(source, folder, entry, clips, config)
        parity = prove(source.model, source.recordings, reference, released, config.parity, progress)
        manifest = replace(
            released.manifest, parity={name: measured(found) for name, found in parity.items()}
        )
        seal(folder, manifest)
    return manifest


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: on a busy machine, threads made calls this small ten times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _float_entry(source: Source, folder: Path, config: ExportConfig) -> EngineEntry:
    return build_float(source.model, config.chunk_frames, folder)


def _built(
    source: Source, folder: Path, entry: EngineEntry, clips: list[CalibrationClip], config: ExportConfig
) -> Built:
    """Seal a folder of graphs, so that the runtime can load it."""
    calibration = CalibrationEntry(list_hash(clips), len(clips))
    origin = describe_origin(source.checkpoint, calibration)
    manifest = describe_artifact(folder, source.model, source.tokens, {"onnx": entry}, origin, config)
    seal(folder, manifest)
    return Built(folder, manifest)


def _quantize(
    source: Source, clips: list[CalibrationClip], reference: Path, folder: Path,
    config: ExportConfig, progress: Progress,
) -> EngineEntry:  # fmt: skip
    feeds = feeds_of(source.model, source.tokens, clips, config.chunk_frames, config.calibration.max_seconds)
    return build_int8(reference, folder, _counted(feeds, len(clips), progress), config.quantize)


def _counted(items: Iterator[T], total: int, progress: Progress) -> Iterator[T]:
    for number, item in enumerate(items, start=1):
        yield item
        if number % 20 == 0 or number == total:
            progress(f"calibration: {number} of {total} recordings")
