"""The files of the engine "tflite": float for reference, int8 for the device."""

from collections.abc import Iterable
from pathlib import Path

from edge_las.features import num_frames
from edge_las.manifest import EngineEntry
from edge_las.train.model import LasModel
from export.build_onnx import LISTENER, SPELLER
from export.calibration import Feed
from export.graphs import listener_graph
from export.quantize import QuantizeConfig
from export.quantize_tflite import (
    LISTENER_PLAN,
    MOST_CALLS,
    SPELLER_PLAN,
    TfliteObserver,
    quantize_tflite,
)
from export.to_tflite import LISTENER_SIGNATURE, describe_tflite, export_tflite, speller_graphs


def build_float_tflite(
    model: LasModel, chunk_frames: int, max_utterance_s: float, folder: Path
) -> EngineEntry:
    """Write listener.tflite and speller.tflite."""
    listener = {LISTENER_SIGNATURE: listener_graph(model, chunk_frames)}
    export_tflite(listener, folder / f"{LISTENER}.tflite")
    export_tflite(speller_graphs(model, most_frames(model, max_utterance_s)), folder / f"{SPELLER}.tflite")
    return _entry("float", folder, ".tflite")


def build_int8_tflite(
    float_folder: Path, folder: Path, feeds: Iterable[tuple[list[Feed], list[Feed]]], config: QuantizeConfig
) -> EngineEntry:
    """Write listener.int8.tflite and speller.int8.tflite from float files; `feeds` are those of each clip."""
    share = 1.0 if config.method == "minmax" else MOST_CALLS
    listener = TfliteObserver(float_folder / f"{LISTENER}.tflite", LISTENER_PLAN, share)
    # The Speller's probabilities move by 0.018, not 0.016, where its extremes are cut off.
    speller = TfliteObserver(float_folder / f"{SPELLER}.tflite", SPELLER_PLAN)
    for chunks, steps in feeds:
        listener.see(chunks)
        speller.see(steps)
    quantize_tflite(listener, folder / f"{LISTENER}.int8.tflite")
    quantize_tflite(speller, folder / f"{SPELLER}.int8.tflite")
    return _entry("int8", folder, ".int8.tflite")


def most_frames(model: LasModel, max_utterance_s: float) -> int:
    """Count the encoded frames of the longest utterance, with its tail."""
    config = model.config.features
    # One sample more: the runtime rounds a length in seconds up.
    samples = int(max_utterance_s * config.sample_rate) + 1 + model.config.tail_padding_samples
    return -(-num_frames(samples, config) // model.listener.subsampling)


def _entry(precision: str, folder: Path, suffix: str) -> EngineEntry:
    listener, speller = (describe_tflite(folder / f"{name}{suffix}") for name in (LISTENER, SPELLER))
    return EngineEntry(precision, listener, speller)
