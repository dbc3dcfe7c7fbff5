"""What ONNX Runtime really runs: the graph after its own optimizations, its int8 and its float kernels."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

# Where the weight (or second factor) stands among a node's inputs.
_INT8 = {"QLinearConv": 3, "QGemm": 3, "QLinearMatMul": 3, "ConvInteger": 1}
_INT8 |= dict.fromkeys(("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), 1)
_FLOAT = dict.fromkeys(("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"), 1)


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates: those in int8 kernels, and all."""

    int8: int = 0
    total: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.int8 + other.int8, self.total + other.total)

    def __mul__(self, times: int) -> "Work":
        return Work(self.int8 * times, self.total * times)

    @property
    def int8_share(self) -> float:
        """The share in int8 kernels."""
        return self.int8 / self.total if self.total else 0.0


def count_onnx(path: Path, batch: int, frames: int) -> Work:
    """Count the work of one call.

    A dynamic first size is `batch`, a dynamic second one `frames`.
    """
    model = optimized(path)
    heavy = [node for node in model.graph.node if node.op_type in _INT8 | _FLOAT]
    shapes = _shapes(model, heavy, batch, frames)
    counts = {node.name: _multiplies(node, shapes) for node in heavy}
    int8 = sum(counts[node.name] for node in heavy if node.op_type in _INT8)
    return Work(int8, sum(counts.values()))


def unfused_layers(path: Path) -> tuple[int, int]:
    """Count the layers that a file quantizes and that run in float all the same: (those, all quantized)."""
    graph = onnx.load(str(path)).graph
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    meant = [n for n in graph.node if n.op_type in _FLOAT and set(n.input[:2]) <= dequantized]
    running = sum(node.op_type in _INT8 for node in optimized(path).graph.node)
    return max(0, len(meant) - running), len(meant)


def optimized(path: Path) -> onnx.ModelProto:
    """Give the graph that ONNX Runtime makes of a file on this machine."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as scratch:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(scratch) / "optimized.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def _shapes(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], batch: int, frames: int
) -> dict[str, tuple[int, ...]]:
    """Run the graph on zeros; give the shapes of weights and of what goes in and out of the nodes."""
    import onnxruntime

    known = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    feeds = {value.name: _zeros(value, batch, frames) for value in model.graph.input}
    known |= {name: array.shape for name, array in feeds.items()}
    outputs = {value.name for value in model.graph.output}
    touched = {name for node in nodes for name in (node.input[0], _weight(node), node.output[0])}
    wanted = sorted(touched - known.keys())
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in outputs)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return known | {name: array.shape for name, array in zip(wanted, session.run(wanted, feeds), strict=True)}


def _zeros(value: onnx.ValueInfoProto, batch: int, frames: int) -> Any:
    tensor = value.type.tensor_type
    sizes = [dim.dim_value or (batch, frames)[axis] for axis, dim in enumerate(tensor.shape.dim)]
    return np.zeros(sizes, dtype=onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))


def _multiplies(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    results = math.prod(shapes[node.output[0]])
    if "Conv" in node.op_type:
        return results * math.prod(shapes[_weight(node)][1:])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return results * shapes[node.input[0]][-2 if transposed else -1]


def _weight(node: onnx.NodeProto) -> str:
    name: str = node.input[(_INT8 | _FLOAT)[node.op_type]]
    return name
