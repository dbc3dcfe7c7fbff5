"""What a TFLite file computes, signature by signature, in int8 and in float."""

import math
from pathlib import Path
from typing import Any

from export.kernels import Work

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_HEAVY = (*_CONVOLUTIONS, "FULLY_CONNECTED", "BATCH_MATMUL")


def count_tflite(path: Path, batch: int, frames: int) -> Work:
    """Count the work of one call, padding included; what is on int8 tensors runs in int8 kernels."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    subgraph = _subgraph(model, batch, frames)
    codes = {getattr(schema.BuiltinOperator, name): name for name in _HEAVY}
    counts = {True: 0, False: 0}
    for operator in subgraph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = codes.get(max(code.builtinCode, code.deprecatedBuiltinCode))
        if name:
            factors = [subgraph.tensors[index] for index in operator.inputs[:2]]
            is_int8 = all(tensor.type == schema.TensorType.INT8 for tensor in factors)
            result = math.prod(map(int, subgraph.tensors[operator.outputs[0]].shape))
            counts[is_int8] += result * _terms(name, *(tuple(map(int, tensor.shape)) for tensor in factors))
    return Work(counts[True], counts[True] + counts[False])


def _terms(name: str, taken: tuple[int, ...], weight: tuple[int, ...]) -> int:
    """Count the products that are summed for one result."""
    if name == "DEPTHWISE_CONV_2D":
        return math.prod(weight[1:3])
    return math.prod(weight[1:]) if name == "CONV_2D" else taken[-1]


def _subgraph(model: Any, batch: int, frames: int) -> Any:
    """Find the smallest signature that takes the call; a file with one signature has just that."""
    sizes = {}
    for signature in model.signatureDefs:
        subgraph = model.subgraphs[signature.subgraphIndex]
        inputs = {entry.name.decode(): subgraph.tensors[entry.tensorIndex] for entry in signature.inputs}
        if "alignment" not in inputs:
            return subgraph
        sizes[tuple(map(int, inputs["alignment"].shape))] = subgraph
    return sizes[min(size for size in sizes if size[0] >= batch and size[1] >= frames)]
