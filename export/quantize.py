"""Float ONNX graphs to static int8: measured ranges, weights per channel, everything heavy in integers.

Weights are S8 and activations U8: x86 has no fused kernels for S8S8, ARM has both. TensorRT takes nothing but
S8 with zero points of 0, and biases in float.
"""

import contextlib
import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edge_las.errors import ConfigError
from export.calibration import Feed
from export.ranges import Range, Ranges, bounded, whole_steps
from export.rounding import keep_floats, round_as_litert
from export.to_onnx import shorten, strip

METHODS = ("minmax", "percentile", "entropy")


@dataclass(frozen=True)
class QuantizeConfig:
    """How ranges are taken from what calibration saw."""

    method: str = "percentile"
    # Share of values within the range, for "percentile": 0.5 dB better than min-max on a trained Listener.
    percentile: float = 99.999

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method is {self.method!r}, must be one of {', '.join(METHODS)}")
        if not 50.0 < self.percentile <= 100.0:
            raise ConfigError(f"percentile is {self.percentile}, must be above 50 and at most 100")


@dataclass(frozen=True)
class Plan:
    """What of a graph becomes int8: the nodes of these operators, but those with a name in `floats`."""

    operators: tuple[str, ...]
    floats: tuple[str, ...] = ()
    # How far from zero the results of a node, by its name, need be held.
    bounds: Mapping[str, float] = field(default_factory=dict)
    # As TensorRT wants it: only what goes into a layer is rounded, its fusions do the rest.
    symmetric: bool = False

    def nodes(self, model: onnx.ModelProto) -> list[onnx.NodeProto]:
        """List the nodes to quantize."""
        return [n for n in model.graph.node if n.op_type in self.operators and n.name not in self.floats]

    def bounded_values(self, model: onnx.ModelProto) -> dict[str, float]:
        """Give the bounds by the name of the value."""
        return {
            value: self.bounds[node.name]
            for node in model.graph.node
            if node.name in self.bounds
            for value in node.output
        }


# Everything over weights but the heads, whose small part of the work tells most. The residual stream is float
# and only rounded where a convolution reads it: 1.1 dB better than adding in int8, and no slower.
LISTENER_PLAN = Plan(("Conv", "Gemm", "Relu"), floats=("ctc_head",))
# Of the attention tanh, softmax and the sum of encoded frames stay float: with that
# sum in int8, small weights round to nothing, and the attention moved ten times as far (0.043, not 0.0045).
# A sigmoid of 8 is 1 to four digits: beyond that the gates' steps are only coarser.
SPELLER_PLAN = Plan(("Conv", "Gemm"), floats=("out",), bounds={"gates": 8.0})
TENSORRT_PLAN = Plan(("Conv", "Gemm"), symmetric=True)


class Observer:
    """Measures the ranges of a float graph's values while it hears calibration speech."""

    def __init__(self, source: Path, plan: Plan, config: QuantizeConfig) -> None:
        from onnxruntime.quantization import CalibrationMethod
        from onnxruntime.quantization.calibrate import create_calibrator

        self.model = onnx.shape_inference.infer_shapes(onnx.load(str(source)))
        self.nodes, self.symmetric = plan.nodes(self.model), plan.symmetric
        self._bounds = plan.bounded_values(self.model)
        methods = {
            "minmax": CalibrationMethod.MinMax,
            "percentile": CalibrationMethod.Percentile,
            "entropy": CalibrationMethod.Entropy,
        }
        self._calibrator = create_calibrator(
            str(source),
            sorted({node.op_type for node in self.nodes}),
            augmented_model_path=str(source.with_suffix(".augmented")),
            calibrate_method=methods[config.method],
            extra_options={"percentile": config.percentile} if config.method == "percentile" else {},
        )
        # The calibrator's own session would keep a thread spinning on every core.
        self._calibrator.infer_session = _session(source.with_suffix(".augmented"))

    def see(self, feeds: list[Feed]) -> None:
        """Run the graph on the calls of one clip; all their values are held in memory meanwhile."""
        with contextlib.redirect_stdout(None):
            self._calibrator.collect_data(_Reader(feeds))

    def ranges(self) -> Ranges:
        """Return the range of each value."""
        with contextlib.redirect_stdout(None):
            found = self._calibrator.compute_data()
        return {
            name: whole_steps(*bounded(_extremes(entry), self._bounds.get(name, math.inf)))
            for name, entry in found.items()
        }


def quantize(observer: Observer, target: Path) -> onnx.ModelProto:
    """Write the int8 form of the graph that was observed."""
    quantized = quantize_nodes(observer.model, observer.nodes, observer.ranges(), observer.symmetric)
    strip(quantized)
    shorten(quantized)
    onnx.checker.check_model(quantized, full_check=True)
    onnx.save(quantized, str(target))
    return quantized


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _extremes(entry: Any) -> Range:
    lowest, highest = entry.range_value
    return float(np.min(lowest)), float(np.max(highest))


class _Reader:
    """What a calibrator reads inputs from."""

    def __init__(self, feeds: list[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantize_nodes(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], ranges: Ranges, symmetric: bool = False
) -> onnx.ModelProto:
    """Give a graph in which these nodes are int8; `model` stays as it is."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    operators = sorted({node.op_type for node in nodes})
    options: dict[str, Any] = {}
    if symmetric:
        options = {"ActivationSymmetric": True, "QuantizeBias": False}
        options["OpTypesToExcludeOutputQuantization"] = operators
    quantizer = QDQQuantizer(
        copy.deepcopy(model),
        True,  # weights per channel
        False,  # 8 bits of weights, not 7
        QuantType.QInt8,
        QuantType.QInt8 if symmetric else QuantType.QUInt8,
        _tensors_data(ranges),
        [node.name for node in nodes],
        [],
        operators,
        options,
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized: onnx.ModelProto = quantizer.model.model
    names = {node.name for node in nodes}
    keep_floats(quantized, names)
    if not symmetric:
        round_as_litert(quantized, model, names)
    return quantized


def _tensors_data(ranges: Ranges) -> Any:
    """Write ranges as onnxruntime's quantizer takes them."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    entries = {name: tuple(np.array(end, dtype=np.float32) for end in ends) for name, ends in ranges.items()}
    return TensorsData(CalibrationMethod.MinMax, entries)
