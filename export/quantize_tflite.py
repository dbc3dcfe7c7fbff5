"""Float TFLite files to static int8: the layers and ranges of the ONNX graph, the same in all signatures."""

import contextlib
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import numpy_helper

from edge_las.errors import ArtifactError
from export.quantize import Observer
from export.ranges import Range
from export.to_tflite import shorten_tflite

_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@dataclass(frozen=True)
class Layer:
    """A layer to quantize: its name, and the ranges of what goes in and out of it."""

    name: str
    taken: Range
    given: Range


@dataclass(frozen=True)
class Recipe:
    """What ai-edge-quantizer is told of a file: names of the results to quantize by operator, and ranges."""

    results: dict[str, list[str]]
    ranges: dict[str, dict[str, Any]]

    def quantizer(self, source: Path) -> Any:
        """Make a quantizer that does so."""
        from ai_edge_quantizer import qtyping, quantizer

        made = quantizer.Quantizer(str(source))
        for operator, names in self.results.items():
            # The scope of an operator is the name of its result and a semicolon.
            scope = f"^({'|'.join(map(re.escape, names))});"
            name = qtyping.TFLOperationName(operator)
            made.add_static_config(scope, name, activation_num_bits=8, weight_num_bits=8)
        return made


def quantize_tflite(source: Path, observer: Observer, target: Path) -> None:
    """Write the int8 form of a float file: what is int8 in the observed ONNX graph, by the same ranges."""
    recipe = make_recipe(source, layers_of(observer))
    quantizer = recipe.quantizer(source)
    with _silent():
        result = quantizer.quantize(recipe.ranges, enable_progress_report=False)
    finish(result, target)


def finish(result: Any, target: Path) -> None:
    """Write what the quantizer made, mended and without what no engine reads."""
    target.unlink(missing_ok=True)
    result.export_model(str(target))
    mend_outputs(target)
    add_biases(target)
    shorten_tflite(target)


def layers_of(observer: Observer) -> dict[str, Layer]:
    """List the layers that become int8 by the fingerprint of their weights."""
    graph, ranges = observer.model.graph, observer.ranges()
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    # A convolution and its ReLU are one operator in TFLite.
    rectified = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "Relu"}
    layers: dict[str, Layer] = {}
    for node in observer.nodes:
        if len(node.input) > 1 and node.input[1] in weights:
            given = rectified.get(node.output[0], node.output[0])
            layer = Layer(node.name, ranges[node.input[0]], ranges[given])
            known = layers.setdefault(_fingerprint(weights[node.input[1]]), layer)
            if known is not layer:
                raise ArtifactError(
                    f"{layer.name} and {known.name} have the same weights: can't tell them apart"
                )
    return layers


def make_recipe(source: Path, layers: dict[str, Layer]) -> Recipe:
    """Find the layers in every signature of a float file.

    Raises: ArtifactError naming a layer that one has not.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(source))
    operators = _layer_codes(model)
    recipe = Recipe(defaultdict(list), {})
    for subgraph in model.subgraphs:
        missing = {layer.name for layer in layers.values()}
        for operator in subgraph.operators:
            name = operators.get(operator.opcodeIndex)
            layer = layers.get(_fingerprint(_weights(model, subgraph, operator))) if name else None
            if name and layer:
                missing.discard(layer.name)
                taken, given = (
                    subgraph.tensors[i[0]].name.decode() for i in (operator.inputs, operator.outputs)
                )
                recipe.results[name].append(given)
                recipe.ranges.update({taken: _statistics(layer.taken), given: _statistics(layer.given)})
        if missing:
            raise ArtifactError(f"{source.name}: {sorted(missing)[0]} is not to be found")
    return recipe


def _layer_codes(model: Any) -> dict[int, str]:
    """Name the operators with weights by their index in the file."""
    from ai_edge_litert import schema_py_generated as schema

    names = {getattr(schema.BuiltinOperator, name): name for name in _LAYERS}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return {index: names[code] for index, code in enumerate(codes) if code in names}


def _weights(model: Any, subgraph: Any, operator: Any) -> npt.NDArray[np.float32]:
    data = model.buffers[subgraph.tensors[operator.inputs[1]].buffer].data
    return np.frombuffer(b"" if data is None else bytes(data), np.float32)


def _fingerprint(weights: npt.NDArray[Any]) -> str:
    """Hash weights in whatever order: the converter transposes them, and names layers as it likes."""
    return sha256(np.sort(weights, axis=None).tobytes()).hexdigest()


def _statistics(found: Range) -> dict[str, Any]:
    return {side: np.float32(end) for side, end in zip(("min", "max"), found, strict=True)}


def mend_outputs(path: Path) -> None:
    """Point subgraph outputs back to what their signature names.

    Where an output also feeds a quantized layer, the quantizer leaves the layer's int8 copy in its place, and
    a signature runner then finds no data.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    for signature in model.signatureDefs:
        subgraph = model.subgraphs[signature.subgraphIndex]
        named = [entry.tensorIndex for entry in signature.outputs]
        displaced = iter([index for index in named if index not in set(subgraph.outputs)])
        subgraph.outputs = [index if index in named else next(displaced) for index in subgraph.outputs]
    flatbuffer_utils.write_model(model, str(path))


def add_biases(path: Path) -> None:
    """Give int8 dense layers that have no bias one of zeros.

    tflite-runtime 2.14 on 32-bit ARM reads a bias for four rows and more, be there one or not, and dies.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    dense = [
        max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.FULLY_CONNECTED
        for code in model.operatorCodes
    ]
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            if dense[operator.opcodeIndex] and (len(operator.inputs) < 3 or operator.inputs[2] < 0):
                inputs = subgraph.tensors[operator.inputs[0]], subgraph.tensors[operator.inputs[1]]
                if all(tensor.type == schema.TensorType.INT8 for tensor in inputs):
                    operator.inputs = [*operator.inputs[:2], len(subgraph.tensors)]
                    subgraph.tensors.append(_zero_bias(model, *inputs))
    flatbuffer_utils.write_model(model, str(path))


def _zero_bias(model: Any, x: Any, weight: Any) -> Any:
    """Make the bias of a layer, in units of its products."""
    from ai_edge_litert import schema_py_generated as schema

    bias, rows = schema.TensorT(), int(weight.shape[0])
    bias.name, bias.shape, bias.type = weight.name + b"_bias", [rows], schema.TensorType.INT32
    bias.quantization = schema.QuantizationParametersT()
    bias.quantization.scale = np.float32(x.quantization.scale[0]) * np.asarray(weight.quantization.scale)
    bias.quantization.zeroPoint = np.zeros(len(bias.quantization.scale), dtype=np.int64)
    data = np.zeros(4 * rows, dtype=np.uint8)
    known = (
        n for n, b in enumerate(model.buffers) if n and b.data is not None and bytes(b.data) == bytes(data)
    )
    bias.buffer = next(known, len(model.buffers))
    if bias.buffer == len(model.buffers):
        model.buffers.append(schema.BufferT())
        model.buffers[-1].data = data
    return bias


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep progress bars off the terminal, and warnings that shared biases are written once a signature."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.ExitStack() as stack:
            null = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(null))
            stack.enter_context(contextlib.redirect_stderr(null))
            yield
    finally:
        logger.setLevel(level)
