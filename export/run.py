"""A checkpoint to an artifact: export, calibrate, quantize, prove equal, package."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from edge_las.artifact import CalibrationEntry, EngineEntry, Manifest
from edge_las.signing import load_private_key, sign
from edge_las.staging import staged
from edge_las.tokens import TokenTable
from edge_las.train.checkpoint import load_checkpoint
from edge_las.train.model import LasModel
from export.build_onnx import build_float, build_float16, build_int8, observe
from export.build_tflite import build_float_tflite, build_int8_tflite
from export.calibration import (
    CalibrationClip,
    Feed,
    choose,
    feeds_of,
    list_hash,
)
from export.config import CALIBRATED, ExportConfig
from export.gate import Built, prove
from export.package import describe_artifact, describe_origin, measured, seal
from export.quantize import Observer
from export.rates import max_tokens_per_s
from export.recordings import Recording, held_out, load_recordings
from export.sensitivity import measure_layers, report_lines
from export.to_tflite import need_tools
from export.work import describe_work

Progress = Callable[[str], None]


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
    # What is missing is told before the minutes that follow.
    if "tflite" in config.engines:
        need_tools()
    config = _completed(config, source)
    key = load_private_key(config.sign) if config.sign else None
    clips = choose(source.recordings, config.calibration) if config.precision in CALIBRATED else []
    with _one_thread(), tempfile.TemporaryDirectory() as scratch, staged(out) as folder:
        # The float ONNX graphs are what every other form is measured against.
        engines = tuple(dict.fromkeys(("onnx", *config.engines)))
        entries = _float_entries(source, Path(scratch), engines, config, progress)
        reference = _built(source, Path(scratch), entries, [], config)
        if clips:
            feeds = _feeds(source, clips, config, progress)
            observers = observe(reference.folder, feeds, config.quantize, config.precision)
            if config.report:
                _write_report(source, observers, reference, config, progress)
            entries = _quantize(observers, reference.folder, folder, config)
        elif config.precision == "float16":
            entries = {"onnx": build_float16(reference.folder, folder)}
        else:
            entries = _float_entries(source, folder, config.engines, config, progress)
        released = _built(source, folder, entries, clips, config)
        parity = prove(source.model, source.recordings, reference, released, config.parity, progress)
        proof = {name: measured(found) for name, found in parity.items()}
        work = describe_work(folder, released.manifest)
        manifest = replace(released.manifest, parity={**proof, **work})
        seal(folder, manifest)
        if key:
            sign(folder, key)
    return manifest


def _completed(config: ExportConfig, source: Source) -> ExportConfig:
    """Fill in what follows from the tokens and the training texts."""
    if config.max_tokens_per_s is not None:
        return config
    texts = (recording.text for recording in source.recordings if recording.split == "train")
    return replace(config, max_tokens_per_s=max_tokens_per_s(source.tokens, texts))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: on a busy machine, threads made calls this small ten times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _float_entries(
    source: Source, folder: Path, engines: Sequence[str], config: ExportConfig, progress: Progress
) -> dict[str, EngineEntry]:
    entries = {}
    for engine in engines:
        progress(f"{engine}: float graphs")
        if engine == "onnx":
            entries[engine] = build_float(source.model, config.chunk_frames, folder)
        else:
            entries[engine] = build_float_tflite(
                source.model, config.chunk_frames, config.max_utterance_s, folder
            )
    return entries


def _built(
    source: Source, folder: Path, entries: dict[str, EngineEntry],
    clips: list[CalibrationClip], config: ExportConfig,
) -> Built:  # fmt: skip
    """Seal a folder of graphs, so that the runtime can load it."""
    calibration = CalibrationEntry(list_hash(clips), len(clips))
    origin = describe_origin(source.checkpoint, calibration)
    manifest = describe_artifact(folder, source.model, source.tokens, entries, origin, config)
    seal(folder, manifest)
    return Built(folder, manifest)


def _quantize(
    observers: dict[str, Observer], reference: Path, folder: Path, config: ExportConfig
) -> dict[str, EngineEntry]:
    """Round the graphs of every engine by the same ranges."""
    entries = {}
    for engine in config.engines:
        if engine == "onnx":
            entries[engine] = build_int8(observers, folder, config.precision)
        else:
            entries[engine] = build_int8_tflite(reference, observers, folder)
    return entries


def _write_report(
    source: Source, observers: dict[str, Observer], reference: Built, config: ExportConfig, progress: Progress
) -> None:
    """Write what each layer costs; before the proof, so that it is there where the proof fails."""
    assert config.report is not None
    longest = int(config.max_utterance_s * source.model.config.features.sample_rate)
    heard = [r.samples()[:longest] for r in held_out(source.recordings, config.report_clips)]
    costs = measure_layers(reference, observers, heard, progress)
    config.report.write_text("\n".join(report_lines(costs, len(heard))) + "\n", encoding="utf-8")


def _feeds(
    source: Source, clips: list[CalibrationClip], config: ExportConfig, progress: Progress
) -> Iterator[tuple[list[Feed], list[Feed]]]:
    seconds = config.calibration.max_seconds
    seen = feeds_of(source.model, source.tokens, clips, config.chunk_frames, seconds)
    for number, feeds in enumerate(seen, start=1):
        yield feeds
        if number % 20 == 0 or number == len(clips):
            progress(f"calibration: {number} of {len(clips)} recordings")
