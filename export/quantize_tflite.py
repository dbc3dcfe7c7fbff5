"""Float TFLite files to static int8: measured ranges, weights per channel, the same in all signatures."""

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.calibration import Feed
from export.to_tflite import shorten_tflite

Ranges = dict[str, dict[str, Any]]
# Of all calls, those whose extremes a range holds where it needn't hold all: 1.5 dB better on speech than the
# outermost, 1 dB worse in strong noise. With 0.98 noise is 3 dB worse.
MOST_CALLS = 0.995


@dataclass(frozen=True)
class TflitePlan:
    """What becomes int8: these operators, where a tensor they write is named like `scope`."""

    operators: tuple[str, ...]
    scope: str = ".*"


# Everything over weights, as for ONNX: with the residual stream in float 1.5 dB better, and no slower.
LISTENER_PLAN = TflitePlan(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))
# Everything over weights but the embedding, as for ONNX.
SPELLER_PLAN = TflitePlan(("DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))


class TfliteObserver:
    """Measures the ranges of a float file's values while it hears calibration speech."""

    def __init__(self, source: Path, plan: TflitePlan, share: float = 1.0, update: Any = None) -> None:
        """A range is to hold the extremes of this share of all calls; `update` joins two calls' ranges.

        The quantizer's own default, a moving average, cuts off what is loud but rare.
        """
        from ai_edge_quantizer import calibrator

        self.source = source
        self.quantizer = _quantizer(source, plan)
        with _silent():
            self._calibrator = calibrator.Calibrator(
                str(source), num_threads=1, qsv_update_func=update or _remember
            )
        self._signatures, self._share = _input_shapes(source), share

    def see(self, feeds: list[Feed]) -> None:
        """Run the file on the calls of one clip, each on the smallest signature that it fits into."""
        by_signature: dict[str, list[Feed]] = {}
        for feed in feeds:
            name = next(name for name, shapes in self._signatures.items() if _fits(feed, shapes))
            by_signature.setdefault(name, []).append(_padded(feed, self._signatures[name]))
        with _silent():
            self._calibrator.calibrate(by_signature, self.quantizer._recipe_manager)

    def ranges(self) -> Ranges:
        """Return the range of each value, the same for the same value of every signature."""
        from ai_edge_litert.tools import flatbuffer_utils

        calls: Ranges = self._calibrator.get_model_qsvs()
        seen = {name: _held(entry, self._share) for name, entry in calls.items()}
        subgraphs = flatbuffer_utils.read_model(str(self.source)).subgraphs
        for names in _equivalent(subgraphs):
            known = [seen[name] for name in names if seen.get(name)]
            if known:
                lowest = np.minimum.reduce([entry["min"] for entry in known])
                highest = np.maximum.reduce([entry["max"] for entry in known])
                seen.update({name: {"min": lowest, "max": highest} for name in names})
        return seen


def _remember(known: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Keep the extremes of all calls."""
    return {**new, **{side: np.append(known[side], new[side]) for side in ("min", "max") if side in known}}


def _held(calls: dict[str, Any], share: float) -> dict[str, Any]:
    """Give the range that holds the extremes of a share of the calls."""
    shares = {side: share if side == "max" else 1.0 - share for side in ("min", "max") if side in calls}
    return {**calls, **{side: np.float32(np.quantile(calls[side], at)) for side, at in shares.items()}}


def quantize_tflite(observer: TfliteObserver, target: Path) -> None:
    """Write the int8 form of the file that was observed."""
    with _silent():
        result = observer.quantizer.quantize(observer.ranges(), enable_progress_report=False)
    target.unlink(missing_ok=True)
    result.export_model(str(target))
    mend_outputs(target)
    add_biases(target)
    shorten_tflite(target)


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


def _quantizer(source: Path, plan: TflitePlan) -> Any:
    from ai_edge_quantizer import qtyping, quantizer

    made = quantizer.Quantizer(str(source))
    for operator in plan.operators:
        made.add_static_config(
            plan.scope, qtyping.TFLOperationName(operator), activation_num_bits=8, weight_num_bits=8
        )
    return made


def _input_shapes(source: Path) -> dict[str, dict[str, tuple[int, ...]]]:
    """Read what each signature takes, the smallest first."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(source), num_threads=1)
    shapes = {
        name: {
            tensor: tuple(int(size) for size in details["shape"])
            for tensor, details in interpreter.get_signature_runner(name).get_input_details().items()
        }
        for name in interpreter.get_signature_list()
    }
    return dict(sorted(shapes.items(), key=lambda item: sum(map(np.prod, item[1].values()))))


def _fits(feed: Feed, shapes: dict[str, tuple[int, ...]]) -> bool:
    return all(
        size <= most
        for name, shape in shapes.items()
        for size, most in zip(feed[name].shape, shape, strict=True)
    )


def _padded(feed: Feed, shapes: dict[str, tuple[int, ...]]) -> Feed:
    """Fill up with zeros: frames that the mask hides, hypotheses that nobody asks for."""
    padded = {}
    for name, shape in shapes.items():
        array = feed[name].astype(np.int32) if feed[name].dtype == np.int64 else feed[name]
        widths = [(0, want - have) for have, want in zip(array.shape, shape, strict=True)]
        padded[name] = np.pad(array, widths)
    return padded


def _equivalent(subgraphs: list[Any]) -> Iterator[list[str]]:
    """Yield names of tensors that are one value in all signatures: they feed or leave the same weights.

    Equal constants share a buffer, so one signature may use it for several values: the first of each
    signature belong together, the second, and so on.
    """
    groups: dict[tuple[int, str, int], list[str]] = {}
    for subgraph in subgraphs:
        uses: Counter[int] = Counter()
        constant = {index for index, tensor in enumerate(subgraph.tensors) if tensor.buffer}
        constant -= {index for op in subgraph.operators for index in op.outputs} | set(subgraph.inputs)
        for op in subgraph.operators:
            if len(op.inputs) < 2 or op.inputs[1] not in constant:
                continue
            weights = subgraph.tensors[op.inputs[1]].buffer
            for side, index in (("in", op.inputs[0]), ("out", op.outputs[0])):
                key = weights, side, uses[weights]
                groups.setdefault(key, []).append(subgraph.tensors[index].name.decode())
            uses[weights] += 1
    yield from groups.values()


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
