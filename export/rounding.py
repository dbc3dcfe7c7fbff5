"""What onnxruntime's quantizer leaves to be set right in a graph: float values, and rounding as LiteRT's."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Arrays = dict[str, npt.NDArray[Any]]
_ROUNDING = ("QuantizeLinear", "DequantizeLinear")


def keep_floats(model: onnx.ModelProto, quantized: set[str]) -> None:
    """Let the graph's outputs, and nodes not among the quantized, have what float nodes made as it is."""
    _give_unrounded(model, quantized)
    _read_unrounded(model, quantized)


def round_as_litert(model: onnx.ModelProto, source: onnx.ModelProto, quantized: set[str]) -> None:
    """Let float values and biases round to the last bit as in TFLite files.

    LiteRT multiplies by one over the scale where onnxruntime divides, and its quantizer divides biases in 32
    bits. Of a million values one rounded otherwise, and then a hundred after it: in many a sentence.
    """
    graph = model.graph
    constants = _arrays(graph)
    makers = {name: node.name for node in graph.node for name in node.output}
    nodes = []
    for node in graph.node:
        # What a quantized node gives is rounded in its kernel, from 32-bit sums: alike in both.
        if node.op_type == "QuantizeLinear" and makers.get(node.input[0]) not in quantized:
            nodes.append(_multiplied(graph, node, constants[node.input[1]]))
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    _round_biases(graph, _arrays(source.graph))


def _arrays(graph: onnx.GraphProto) -> Arrays:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _multiplied(graph: onnx.GraphProto, node: onnx.NodeProto, scale: npt.NDArray[Any]) -> onnx.NodeProto:
    """Give the product that a QuantizeLinear node then rounds to whole numbers, with a scale of 1."""
    taken, factor, product, one = (f"{node.name}_{part}" for part in ("taken", "factor", "product", "one"))
    graph.initializer.append(numpy_helper.from_array(np.float32(1.0) / scale, factor))
    graph.initializer.append(numpy_helper.from_array(np.ones_like(scale), one))
    made = onnx.helper.make_node("Mul", [node.input[0], factor], [product], name=taken)
    node.input[:2] = [product, one]
    return made


def _round_biases(graph: onnx.GraphProto, floats: Arrays) -> None:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for name, tensor in constants.items():
        bias = floats.get(name.removesuffix("_quantized"))
        if bias is not None and tensor.data_type == onnx.TensorProto.INT32:
            scale = numpy_helper.to_array(constants[f"{name}_scale"])
            tensor.CopyFrom(numpy_helper.from_array(np.rint(bias / scale).astype(np.int32), name))


def _give_unrounded(model: onnx.ModelProto, quantized: set[str]) -> None:
    """Let outputs of the graph be what float nodes made, where the quantizer puts a rounded copy."""
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    renamed: dict[str, str] = {}
    for name in [value.name for value in graph.output]:
        source = _rounded_source(maker, name)
        if source is not None and maker[source].name not in quantized:
            renamed |= {source: name, name: f"{name}_rounded"}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]


def _read_unrounded(model: onnx.ModelProto, quantized: set[str]) -> None:
    """Let float nodes read what float nodes made as it is, where the quantizer gives them a rounded copy."""
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.name in quantized or node.op_type in _ROUNDING:
            continue
        for index, name in enumerate(node.input):
            source = _rounded_source(maker, name)
            # A quantized node's own result has no other form; that of a ReLU may even be its rounding.
            if source is not None and (source not in maker or maker[source].name not in quantized):
                node.input[index] = source
    _remove_unused(graph)


def _rounded_source(maker: dict[str, onnx.NodeProto], name: str) -> str | None:
    """Give what a value is the rounded copy of, if it is one."""
    for operator in reversed(_ROUNDING):
        if name not in maker or maker[name].op_type != operator:
            return None
        name = maker[name].input[0]
    return name


def _remove_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that nothing reads; nodes are in the order of the computation."""
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    constants = [tensor for tensor in graph.initializer if tensor.name in wanted]
    for items, left in ((graph.node, kept[::-1]), (graph.initializer, constants)):
        del items[:]
        items.extend(left)
