from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from edge_las.errors import ConfigError
from export.graphs import Graph, speller_graph
from export.quantize import LISTENER_PLAN, METHODS, Observer, Plan, QuantizeConfig, quantize
from export.to_onnx import describe, export_onnx, shorten
from tests.tiny_artifact import tiny_model


class Held(nn.Module):
    """A convolution over a state and an input: the smallest Listener."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(6, 6, 3)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([state, x], dim=2)
        return torch.relu(self.conv(joined)), joined[:, :, -2:]


def held_graph() -> Graph:
    inputs = {"x": torch.zeros(1, 6, 8), "state": torch.zeros(1, 6, 2)}
    return Graph(Held().eval(), inputs, ("y", "next_state"), {})


def feeds(count: int, loudness: float = 1.0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    draws = (loudness * rng.standard_normal((count, 1, 6, 10))).astype(np.float32)
    return [{"x": draw[:, :, 2:], "state": draw[:, :, :2] * np.float32(0.5)} for draw in draws]


def run(path: Path, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, feed)
    return outputs


def quantized(tmp_path: Path, method: str, portions: list[list[dict[str, np.ndarray]]]) -> onnx.ModelProto:
    export_onnx(held_graph(), tmp_path / "float.onnx")
    observer = Observer(tmp_path / "float.onnx", LISTENER_PLAN, QuantizeConfig(method))
    for portion in portions:
        observer.see(portion)
    return quantize(observer, tmp_path / "int8.onnx")


@pytest.mark.parametrize("method", METHODS)
def test_int8_is_close_and_all_portions_count(method: str, tmp_path: Path) -> None:
    model = quantized(tmp_path, method, [feeds(4, 0.1), feeds(8)])
    for feed in feeds(3):
        expected, got = run(tmp_path / "float.onnx", feed), run(tmp_path / "int8.onnx", feed)
        error = np.sqrt(np.mean((expected[0] - got[0]) ** 2) / np.mean(expected[0] ** 2))
        assert error < (0.2 if method == "entropy" else 0.03)
    weights = [numpy_helper.to_array(t) for t in model.graph.initializer if len(t.dims) == 3]
    assert [weight.dtype for weight in weights] == [np.int8]


def test_what_is_only_moved_is_not_rounded(tmp_path: Path) -> None:
    model = quantized(tmp_path, "minmax", [feeds(8)])
    feed = feeds(1)[0]
    np.testing.assert_array_equal(run(tmp_path / "int8.onnx", feed)[1], feed["x"][:, :, -2:])
    used = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= used


class Told(nn.Module):
    """Gives out what it also feeds to a layer, as the Speller does its hidden state."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight, self.bias = nn.Parameter(torch.randn(6, 3)), nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.tanh(x)
        return torch.addmm(self.bias, hidden, self.weight), hidden


def test_what_a_float_node_gives_out_is_not_rounded(tmp_path: Path) -> None:
    graph = Graph(Told().eval(), {"x": torch.zeros(2, 6)}, ("y", "hidden"), {})
    export_onnx(graph, tmp_path / "float.onnx")
    observer = Observer(tmp_path / "float.onnx", Plan(("Gemm",)), QuantizeConfig("minmax"))
    calls = [{"x": draw} for draw in np.random.default_rng(0).standard_normal((9, 2, 6)).astype(np.float32)]
    observer.see(calls)
    quantize(observer, tmp_path / "int8.onnx")
    expected, got = run(tmp_path / "float.onnx", calls[0]), run(tmp_path / "int8.onnx", calls[0])
    np.testing.assert_array_equal(got[1], expected[1])
    assert 0.0 < np.abs(got[0] - expected[0]).max() < 0.1


def test_floats_are_multiplied_and_biases_divided_in_32_bits(tmp_path: Path) -> None:
    """As LiteRT and its quantizer do: onnxruntime divides, and biases in 64 bits."""
    model = quantized(tmp_path, "minmax", [feeds(8)])
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    maker = {name: node for node in model.graph.node for name in node.output}
    (layer,) = (node for node in model.graph.node if node.op_type == "Conv")
    taken, weight, bias = (maker[name] for name in layer.input)
    rounded = maker[taken.input[0]]
    scale, factor = arrays[taken.input[1]], arrays[maker[rounded.input[0]].input[1]]
    assert maker[rounded.input[0]].op_type == "Mul" and factor == np.float32(1.0) / scale
    assert arrays[rounded.input[1]] == 1.0 and arrays[rounded.input[2]] == arrays[taken.input[2]]
    exact = Held().conv.bias.detach().numpy()
    np.testing.assert_array_equal(arrays[bias.input[0]], np.rint(exact / (scale * arrays[weight.input[1]])))


def test_plans_choose_nodes_by_operator(tmp_path: Path) -> None:
    model = export_onnx(speller_graph(tiny_model()[0]), tmp_path / "speller.onnx")
    names = [node.name for node in Plan(("Gemm", "Gather"), floats=("out",)).nodes(model)]
    assert sorted(names) == ["energy", "gates", "location_key", "node_embedding", "query"]


def test_a_plan_bounds_what_a_node_gives(tmp_path: Path) -> None:
    export_onnx(held_graph(), tmp_path / "float.onnx")
    ends = []
    for bounds in ({}, {"conv": 0.5}, {"conv": 50.0}):
        observer = Observer(tmp_path / "float.onnx", replace(LISTENER_PLAN, bounds=bounds), QuantizeConfig())
        observer.see(feeds(8))
        (node,) = (node for node in observer.nodes if node.op_type == "Conv")
        ends.append(observer.ranges()[node.output[0]])
    assert ends[1] == pytest.approx((-0.5, 0.5), rel=0.01)
    assert ends[0] == ends[2] and ends[0][0] < -0.6 and ends[0][1] > 0.6


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="method is 'max', must be one of minmax, percentile, entropy"):
        QuantizeConfig("max")
    with pytest.raises(ConfigError, match="percentile is 20"):
        QuantizeConfig(percentile=20.0)


def test_the_speller_takes_any_batch_and_length(tmp_path: Path) -> None:
    model, _ = tiny_model()
    graph = speller_graph(model)
    path = tmp_path / "speller.onnx"
    shortened = export_onnx(graph, path)
    shorten(shortened)
    onnx.save(shortened, str(tmp_path / "short.onnx"))
    rng = np.random.default_rng(1)
    for batch, frames in ((1, 1), (5, 2), (2, 300)):
        sizes = {"batch": batch, "frames": frames}
        shapes = {name: [sizes.get(size, size) for size in shape] for name, shape in _shapes(path).items()}
        feed = {name: rng.random(shape, dtype=np.float32) for name, shape in shapes.items()}
        feed["token"] = np.arange(batch)
        expected = graph.module(*(torch.from_numpy(feed[name]) for name in graph.inputs))
        for got in (run(path, feed), run(tmp_path / "short.onnx", feed)):
            for a, b in zip(expected, got, strict=True):
                np.testing.assert_allclose(a.detach(), b, atol=1e-5)
    entry = describe(path)
    assert entry.inputs[0].shape == (None,) and entry.inputs[0].dtype == "int64"
    assert entry.outputs[0].shape == (None, model.num_tokens)


def _shapes(path: Path) -> dict[str, list[int | str]]:
    inputs = onnx.load(str(path)).graph.input
    return {i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in inputs}
