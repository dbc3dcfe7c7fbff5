"""The gate refuses what is not the same model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_las.artifact import Manifest, describe_files, write_manifest
from edge_las.runtime.engine import Array, Listened, load_engine
from export.parity import Form, ParityConfig, ParityError, check_float, check_rounded, snr_db
from export.torch_engine import TorchEngine
from tests.tiny_artifact import chirps, tiny_model

Tiny = tuple[Path, Manifest]
CLIPS = [chirps(1, 2.6), chirps(2, 0.03), chirps(3, 1.31)]


def torch_form(manifest: Manifest, seed: int = 0) -> Form:
    engine = TorchEngine(tiny_model(seed)[0])
    return Form("torch", engine, replace(manifest, engines={"torch": manifest.engines["onnx"]}))


def onnx_form(tiny: Tiny, label: str = "onnx") -> Form:
    return Form(label, load_engine("onnx", tiny[0], tiny[1].engines, 1), tiny[1])


def test_the_same_model_passes(tiny_float: Tiny) -> None:
    found = check_float(torch_form(tiny_float[1]), onnx_form(tiny_float), CLIPS, ParityConfig())
    assert max(found.values()) < 1e-5


def test_another_model_fails(tiny_float: Tiny) -> None:
    with pytest.raises(ParityError, match="differs from torch by"):
        check_float(torch_form(tiny_float[1], seed=1), onnx_form(tiny_float), CLIPS, ParityConfig())


def test_a_state_that_is_not_carried_on_fails(tiny_float: Tiny) -> None:
    """One chunk from the zero state would not tell."""
    form = onnx_form(tiny_float)
    run = form.engine.listener_chunk

    def forgetful(features: Array, states: list[Array]) -> Listened:
        *heard, after = run(features, states)
        return *heard, [*after[:-1], np.zeros_like(after[-1])]  # type: ignore[return-value]

    form.engine.listener_chunk = forgetful  # type: ignore[method-assign]
    with pytest.raises(ParityError, match="differs from torch by"):
        check_float(torch_form(tiny_float[1]), form, CLIPS[:1], ParityConfig())


def test_a_wrong_delay_fails(tiny_float: Tiny) -> None:
    folder, manifest = tiny_float
    late = replace(
        manifest, listener=replace(manifest.listener, delay_frames=manifest.listener.delay_frames + 1)
    )
    form = Form("onnx", load_engine("onnx", folder, manifest.engines, 1), late)
    with pytest.raises(ParityError, match="whole_utterance differs"):
        check_float(torch_form(late), form, CLIPS, ParityConfig())


def test_one_wrong_weight_in_int8_fails(tiny_float: Tiny, tiny_int8: Tiny, tmp_path: Path) -> None:
    """Scales of one layer ten times too large, as a botched calibration would leave them."""
    reference = onnx_form(tiny_float)
    assert check_rounded(reference, onnx_form(tiny_int8), CLIPS[:1], ParityConfig())["encoded_snr_db"] > 15.0
    broken = break_scale(tiny_int8, tmp_path)
    with pytest.raises(ParityError, match="encoded_snr_db of clip"):
        check_rounded(reference, onnx_form(broken, "broken"), CLIPS, ParityConfig())


def test_no_number_is_no_pass() -> None:
    ones = np.ones(4, dtype=np.float32)
    assert snr_db(ones, np.array([1, 1, np.nan, 1], dtype=np.float32)) == -np.inf
    assert snr_db(ones, ones * np.float32(1.1)) == pytest.approx(20.0, abs=0.01)


def break_scale(tiny: Tiny, out: Path) -> Tiny:
    """Copy an int8 artifact with the scales of one convolution's weights ten times too large."""
    folder, manifest = tiny
    for name in manifest.files:
        (out / name).write_bytes((folder / name).read_bytes())
    path = out / manifest.engines["onnx"].listener.file
    model = onnx.load(str(path))
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][2]
    dequantize = next(node for node in model.graph.node if node.output[0] == convolution.input[1])
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == dequantize.input[1])
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(10.0), scale.name))
    onnx.save(model, str(path))
    manifest = replace(manifest, files=describe_files(out, manifest.files))
    write_manifest(out, manifest)
    return out, manifest
