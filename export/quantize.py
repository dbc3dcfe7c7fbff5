"""Float ONNX graphs to static int8: measured ranges, weights per channel, everything heavy in integers.

Weights are S8 and activations U8: x86 has no fused kernels for S8S8, ARM has both.
"""

import contextlib
import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edge_las.errors import ConfigError
from export.calibration import Feed
from export.to_onnx import shorten, strip

METHODS = ("minmax", "percentile", "entropy")
# Operators that only move values about: what goes in and what comes out share one scale, or be rounded twice.
_MOVING = ("Concat", "Slice", "Transpose", "Reshape")


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
    """What of a graph becomes int8: nodes of these operators, except those whose names begin so."""

    operators: tuple[str, ...]
    keep_float: tuple[str, ...] = field(default=())

    def nodes(self, model: onnx.ModelProto) -> list[onnx.NodeProto]:
        """List the nodes to quantize."""
        return [
            node
            for node in model.graph.node
            if node.op_type in self.operators and not node.name.startswith(self.keep_float or ("\0",))
        ]


# The input's normalisation stays float: quantizing log-mel before it cost 0.4 dB and no time was won.
LISTENER_PLAN = Plan(
    ("Conv", "Gemm", "Relu", "Add", "Concat", "Slice", "Transpose", "Reshape"), ("listener.norm_in",)
)
# Everything over weights. Of the attention tanh, softmax and the sum of encoded frames stay float: with that
# sum in int8, small weights round to nothing, and the attention moved ten times as far (0.043, not 0.0045).
SPELLER_PLAN = Plan(("Conv", "Gemm", "Gather"))


class Observer:
    """Measures the ranges of a float graph's values while it hears calibration speech."""

    def __init__(self, source: Path, plan: Plan, config: QuantizeConfig) -> None:
        from onnxruntime.quantization import CalibrationMethod
        from onnxruntime.quantization.calibrate import create_calibrator

        self.model = onnx.shape_inference.infer_shapes(onnx.load(str(source)))
        self.nodes = plan.nodes(self.model)
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

    def ranges(self) -> Any:
        """Return the range of each value (onnxruntime's TensorsData)."""
        with contextlib.redirect_stdout(None):
            ranges = self._calibrator.compute_data()
        _share_ranges(self.nodes, ranges)
        return ranges


def quantize(observer: Observer, target: Path) -> onnx.ModelProto:
    """Write the int8 form of the graph that was observed."""
    quantized = quantize_nodes(observer.model, observer.nodes, observer.ranges())
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


class _Reader:
    """What a calibrator reads inputs from."""

    def __init__(self, feeds: list[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def _share_ranges(nodes: list[onnx.NodeProto], ranges: Any) -> None:
    """Give all values that moving operators connect the union of their ranges."""
    from onnxruntime.quantization.calibrate import TensorData

    group: dict[str, set[str]] = {}
    for node in nodes:
        if node.op_type not in _MOVING:
            continue
        joined: set[str] = set()
        for name in (*node.input, *node.output):
            if name in ranges:
                joined |= group.get(name, {name})
        group.update(dict.fromkeys(joined, joined))
    for names in {id(names): names for names in group.values()}.values():
        bounds = [ranges[name].range_value for name in sorted(names)]
        lowest = np.float32(min(np.min(low) for low, _ in bounds))
        highest = np.float32(max(np.max(high) for _, high in bounds))
        for name in names:
            ranges[name] = TensorData(lowest=lowest, highest=highest)


def quantize_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto], ranges: Any) -> onnx.ModelProto:
    """Give a graph in which these nodes are int8; `model` stays as it is."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    operators = sorted({node.op_type for node in nodes})
    quantizer = QDQQuantizer(
        copy.deepcopy(model),
        True,  # weights per channel
        False,  # 8 bits of weights, not 7
        QuantType.QInt8,
        QuantType.QUInt8,
        ranges,
        [node.name for node in nodes],
        [],
        operators,
        # Outputs of Gemm go on in float: gates, keys and log probs come straight from the 32-bit sums.
        {"OpTypesToExcludeOutputQuantization": ["Gemm"]},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized
