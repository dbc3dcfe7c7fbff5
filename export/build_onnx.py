"""The files of the engine "onnx": float for reference, int8 for the device."""

from collections.abc import Iterable
from pathlib import Path

import onnx

from edge_las.manifest import EngineEntry
from edge_las.train.model import LasModel
from export.calibration import Feed
from export.graphs import listener_graph, speller_graph
from export.quantize import LISTENER_PLAN, SPELLER_PLAN, TENSORRT_PLAN, Observer, QuantizeConfig, quantize
from export.to_onnx import describe, export_onnx, shorten, strip

LISTENER, SPELLER = "listener", "speller"


def build_float(model: LasModel, chunk_frames: int, folder: Path) -> EngineEntry:
    """Write listener.onnx and speller.onnx."""
    graphs = {LISTENER: listener_graph(model, chunk_frames), SPELLER: speller_graph(model)}
    for name, graph in graphs.items():
        export_onnx(graph, folder / f"{name}.onnx")
    return _entry("float", folder, ".onnx")


def build_float16(float_folder: Path, folder: Path) -> EngineEntry:
    """Write *.float16.onnx from float files; inputs and outputs stay float32."""
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    for name in (LISTENER, SPELLER):
        model = onnx.load(str(float_folder / f"{name}.onnx"))
        half = convert_float_to_float16(model, keep_io_types=True)
        ONNXModel(half).topological_sort()
        strip(half)
        shorten(half)
        onnx.save(half, str(folder / f"{name}.float16.onnx"))
    return _entry("float16", folder, ".float16.onnx")


def observe(
    float_folder: Path, feeds: Iterable[tuple[list[Feed], list[Feed]]], config: QuantizeConfig,
    precision: str = "int8",
) -> dict[str, Observer]:  # fmt: skip
    """Measure the ranges of both float files on `feeds`, those of each clip."""
    plans = (LISTENER_PLAN, SPELLER_PLAN) if precision == "int8" else (TENSORRT_PLAN, TENSORRT_PLAN)
    listener = Observer(float_folder / f"{LISTENER}.onnx", plans[0], config)
    speller = Observer(float_folder / f"{SPELLER}.onnx", plans[1], config)
    for chunks, steps in feeds:
        listener.see(chunks)
        speller.see(steps)
    return {LISTENER: listener, SPELLER: speller}


def build_int8(observers: dict[str, Observer], folder: Path, precision: str = "int8") -> EngineEntry:
    """Write listener.int8.onnx and speller.int8.onnx."""
    for name, observer in observers.items():
        quantize(observer, folder / f"{name}.int8.onnx")
    return _entry(precision, folder, ".int8.onnx")


def _entry(precision: str, folder: Path, suffix: str) -> EngineEntry:
    listener, speller = (describe(folder / f"{name}{suffix}") for name in (LISTENER, SPELLER))
    return EngineEntry(precision, listener, speller)
