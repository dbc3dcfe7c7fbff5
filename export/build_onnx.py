"""The files of the engine "onnx": float for reference, int8 for the device."""

from collections.abc import Iterable
from pathlib import Path

from edge_las.manifest import EngineEntry
from edge_las.train.model import LasModel
from export.calibration import Feed
from export.graphs import listener_graph, speller_graph
from export.quantize import LISTENER_PLAN, SPELLER_PLAN, Observer, QuantizeConfig, quantize
from export.to_onnx import describe, export_onnx

LISTENER, SPELLER = "listener", "speller"


def build_float(model: LasModel, chunk_frames: int, folder: Path) -> EngineEntry:
    """Write listener.onnx and speller.onnx."""
    graphs = {LISTENER: listener_graph(model, chunk_frames), SPELLER: speller_graph(model)}
    for name, graph in graphs.items():
        export_onnx(graph, folder / f"{name}.onnx")
    return _entry("float", folder, ".onnx")


def observe(
    float_folder: Path, feeds: Iterable[tuple[list[Feed], list[Feed]]], config: QuantizeConfig
) -> dict[str, Observer]:
    """Measure the ranges of both float files on `feeds`, those of each clip."""
    listener = Observer(float_folder / f"{LISTENER}.onnx", LISTENER_PLAN, config)
    speller = Observer(float_folder / f"{SPELLER}.onnx", SPELLER_PLAN, config)
    for chunks, steps in feeds:
        listener.see(chunks)
        speller.see(steps)
    return {LISTENER: listener, SPELLER: speller}


def build_int8(observers: dict[str, Observer], folder: Path) -> EngineEntry:
    """Write listener.int8.onnx and speller.int8.onnx."""
    for name, observer in observers.items():
        quantize(observer, folder / f"{name}.int8.onnx")
    return _entry("int8", folder, ".int8.onnx")


def _entry(precision: str, folder: Path, suffix: str) -> EngineEntry:
    listener, speller = (describe(folder / f"{name}{suffix}") for name in (LISTENER, SPELLER))
    return EngineEntry(precision, listener, speller)
