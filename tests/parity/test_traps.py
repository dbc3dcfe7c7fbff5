"""The ways to get silent garbage out of ONNX Runtime that are known: the gate refuses each.

Numbered as they were found; 4, 5 and 7 are TFLite's, in test_tflite.py.
"""

import copy
import platform
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn

from edge_las.artifact import Manifest
from edge_las.train.model import LasModel
from export import graphs
from export.calibration import CalibrationConfig, Feed, choose, feeds_of
from export.efficiency import check_kernels, check_speed
from export.gate import Built
from export.graphs import Graph, ListenerChunk, listener_graph, speller_graph
from export.parity import Form, ParityConfig, ParityError, check_rounded
from export.quantize import LISTENER_PLAN, Observer, Plan, QuantizeConfig, quantize
from export.to_onnx import describe, export_onnx
from export.torch_engine import TorchEngine
from tests.tiny_artifact import chirps, recordings, tiny_model

Tiny = tuple[Path, Manifest]
CLIPS = [chirps(1, 2.6), chirps(3, 1.31)]
MINMAX = QuantizeConfig("minmax")


def feeds(model: LasModel) -> list[tuple[list[Feed], list[Feed]]]:
    _, tokens = tiny_model()
    return list(feeds_of(model, tokens, choose(recordings(), CalibrationConfig(clips=6)), 32, 2.0))


def int8(source: Path, plan: Plan, calls: list[list[Feed]]) -> Path:
    observer = Observer(source, plan, MINMAX)
    for portion in calls:
        observer.see(portion)
    target = source.with_suffix(".int8.onnx")
    quantize(observer, target)
    return target


def with_files(tiny: Tiny, folder: Path, **files: Path) -> Built:
    """The tiny artifact with another file as its Listener or Speller."""
    tiny_folder, manifest = tiny
    entry = manifest.engines["onnx"]
    entry = replace(entry, **{part: describe(path) for part, path in files.items()})
    for graph in (entry.listener, entry.speller):
        if not (folder / graph.file).exists():
            (folder / graph.file).symlink_to(tiny_folder / graph.file)
    return Built(folder, replace(manifest, engines={"onnx": entry}))


def reference(tiny: Tiny, model: LasModel) -> Form:
    engine = TorchEngine(model)
    return Form("torch", engine, replace(tiny[1], engines={"torch": tiny[1].engines["onnx"]}))


@pytest.mark.parametrize(("energy", "distance"), [(-1e4, "speller_distance of clip"), (-30.0, None)])
def test_trap_1_a_mask_that_takes_all_of_an_int8_range(
    tiny_int8: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, energy: float, distance: str | None
) -> None:
    """With padded frames in the calibration and every operation int8, real energies all round to one."""
    monkeypatch.setattr(graphs, "MASKED_ENERGY", energy)
    model, _ = tiny_model()
    with torch.no_grad():
        model.speller.attention.energy.weight *= 20.0  # a trained attention looks somewhere
    export_onnx(speller_graph(model), tmp_path / "speller.onnx")
    everything = Plan(("Conv", "Gemm", "Gather", "Add", "Sub", "Mul", "Softmax"))
    calls = [[padded(step) for step in steps] for _, steps in feeds(model)]
    trap = with_files(tiny_int8, tmp_path, speller=int8(tmp_path / "speller.onnx", everything, calls))
    if distance is None:
        check_rounded(reference(tiny_int8, model), trap.form("onnx"), CLIPS, ParityConfig())
        return
    with pytest.raises(ParityError, match=distance):
        check_rounded(reference(tiny_int8, model), trap.form("onnx"), CLIPS, ParityConfig())


def padded(feed: Feed) -> Feed:
    """Add ten frames that the mask hides."""
    wider = dict.fromkeys(("encoded", "keys"), ((0, 0), (0, 10), (0, 0)))
    wider |= dict.fromkeys(("mask", "alignment"), ((0, 0), (0, 10)))
    return {name: np.pad(array, wider[name]) if name in wider else array for name, array in feed.items()}


def test_trap_2_dynamic_quantization_of_convolutions(
    tiny_float: Tiny, tiny_int8: Tiny, tmp_path: Path
) -> None:
    """The default of quantize_dynamic: slower than float, as every layer measures its range at every call."""
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(tiny_float[0] / "listener.onnx", tmp_path / "listener.dynamic.onnx")
    trap = with_files(tiny_int8, tmp_path, listener=tmp_path / "listener.dynamic.onnx").form("onnx")
    with pytest.raises(ParityError, match=r"a Listener chunk takes .* times as fast"):
        check_speed(Built(*tiny_float).form("onnx"), trap, ParityConfig())


def test_trap_3_normalisations_that_are_not_folded(tiny_int8: Tiny, tmp_path: Path) -> None:
    """What a convolution gives before its normalisation differs a hundredfold from channel to channel."""
    model, _ = tiny_model()
    spread_channels(model)
    calls = [chunks for chunks, _ in feeds(model)]
    graph = listener_graph(model, 32)
    for name, module in (("folded", graph.module), ("unfolded", UnfoldedChunk(model).eval())):
        path = tmp_path / f"{name}.onnx"
        export_onnx(Graph(module, graph.inputs, graph.outputs, {}), path)
        plan = Plan((*LISTENER_PLAN.operators, "Mul", "Sub"))
        form = with_files(tiny_int8, tmp_path, listener=int8(path, plan, calls)).form("onnx")
        if name == "folded":
            check_rounded(reference(tiny_int8, model), form, CLIPS, ParityConfig())
            continue
        with pytest.raises(ParityError, match="encoded_snr_db of clip"):
            check_rounded(reference(tiny_int8, model), form, CLIPS, ParityConfig())


@torch.no_grad()
def spread_channels(model: LasModel) -> None:
    """Scale the channels of convolutions, and the statistics of their normalisations alike."""
    for block in model.listener.blocks:
        for convolution, norm in ((block.depthwise.conv, block.norm0), (block.widen, block.norm1)):
            factors = torch.logspace(0.0, 2.5, convolution.out_channels)
            convolution.weight *= factors[:, None, None]
            norm.running_mean *= factors
            norm.running_var *= factors.square()


class UnfoldedChunk(ListenerChunk):
    """The Listener with its normalisations left as they are."""

    def __init__(self, model: LasModel) -> None:
        super().__init__(model)
        self.listener = copy.deepcopy(model.listener)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="ARM has fused kernels for signed activations")
def test_trap_6_signed_activations(
    tiny_float: Tiny, tiny_int8: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right, but run in float between conversions: no faster than float, and larger."""
    import onnxruntime.quantization as tools

    check_kernels("int8", tiny_int8[0], tiny_int8[1].engines["onnx"])
    kind = tools.QuantType.QInt8
    monkeypatch.setattr(tools, "QuantType", SimpleNamespace(QInt8=kind, QUInt8=kind))
    (tmp_path / "listener.onnx").symlink_to(tiny_float[0] / "listener.onnx")
    calls = [chunks for chunks, _ in feeds(tiny_model()[0])]
    everything = Plan((*LISTENER_PLAN.operators, "Add", "Concat", "Slice", "Transpose", "Reshape"))
    trap = with_files(tiny_int8, tmp_path, listener=int8(tmp_path / "listener.onnx", everything, calls))
    with pytest.raises(ParityError, match=r"\d+ of 20 quantized layers run in float kernels"):
        check_kernels("S8S8", trap.folder, trap.manifest.engines["onnx"])


def test_trap_8_a_weight_that_is_used_twice(tiny_int8: Tiny, tmp_path: Path) -> None:
    """quantize_dynamic turns a weight stored [out, in] round once for each use; if square, it still fits."""
    from onnxruntime.quantization import quantize_dynamic

    model, _ = tiny_model()
    key = model.speller.attention.key
    square = nn.Linear(key.in_features, key.in_features)
    nn.init.zeros_(square.bias)
    graph = listener_graph(model, 32)
    graph.module.key = nn.Sequential(TwiceUsed(square), graph.module.key)
    with torch.no_grad():  # the same function in one layer
        key.weight.copy_(key.weight @ square.weight)
    export_onnx(graph, tmp_path / "listener.onnx")
    options: dict[str, Any] = {
        "op_types_to_quantize": ["MatMul", "Gemm"],
        "extra_options": {"DefaultTensorType": TensorProto.FLOAT},
    }
    quantize_dynamic(tmp_path / "listener.onnx", tmp_path / "listener.dynamic.onnx", **options)
    trap = with_files(tiny_int8, tmp_path, listener=tmp_path / "listener.dynamic.onnx")
    with pytest.raises(ParityError, match="keys_snr_db of clip 0 is -?[0-3]"):
        check_rounded(reference(tiny_int8, model), trap.form("onnx"), CLIPS, ParityConfig())


class TwiceUsed(nn.Module):
    """A linear layer on either half of the frames, one after the other, as unrolled code has it."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.linear(half) for half in x.chunk(2, dim=0)], dim=0)
