"""The files of the engine "tflite": float for reference, int8 for the device."""

from pathlib import Path

from edge_las.features import num_frames
from edge_las.manifest import EngineEntry
from edge_las.train.model import LasModel
from export.build_onnx import LISTENER, SPELLER
from export.graphs import listener_graph
from export.quantize import Observer
from export.quantize_tflite import quantize_tflite
from export.to_tflite import LISTENER_SIGNATURE, describe_tflite, export_tflite, speller_graphs


def build_float_tflite(
    model: LasModel, chunk_frames: int, max_utterance_s: float, folder: Path
) -> EngineEntry:
    """Write listener.tflite and speller.tflite."""
    listener = {LISTENER_SIGNATURE: listener_graph(model, chunk_frames)}
    export_tflite(listener, folder / f"{LISTENER}.tflite")
    export_tflite(speller_graphs(model, most_frames(model, max_utterance_s)), folder / f"{SPELLER}.tflite")
    return _entry("float", folder, ".tflite")


def build_int8_tflite(float_folder: Path, observers: dict[str, Observer], folder: Path) -> EngineEntry:
    """Write listener.int8.tflite and speller.int8.tflite from float files."""
    for name, observer in observers.items():
        quantize_tflite(float_folder / f"{name}.tflite", observer, folder / f"{name}.int8.tflite")
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
