"""The whole export on a tiny model: what comes out, and that nothing comes out when proof fails."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
from onnx import numpy_helper

from edge_las.artifact import Manifest, load_manifest, verify
from edge_las.errors import ArtifactError, ConfigError
from edge_las.metrics import cer
from edge_las.runtime.recognizer import Recognizer
from export.__main__ import main
from export.config import ExportConfig
from export.parity import ParityError
from export.run import Source, export
from export.sensitivity import EVERYTHING
from tests.tiny_artifact import PARITY, chirps, make_artifact, make_checkpoint, recordings, tiny_model
from tests.unit.test_signing import write_keys

Tiny = tuple[Path, Manifest]


@pytest.mark.parametrize("precision", ["int8", "float"])
def test_the_runtime_loads_and_runs_it(precision: str, request: pytest.FixtureRequest) -> None:
    folder, manifest = request.getfixturevalue(f"tiny_{precision}")
    verify(folder, load_manifest(folder))
    assert load_manifest(folder) == manifest
    recognizer = Recognizer.load(folder)
    samples = chirps(5, 3.0)
    whole = recognizer.transcribe(samples)
    assert whole.text
    pieces = recognizer.transcribe(np.array_split(samples, [700, 9000, 9001, 30000]))
    assert (pieces.text, pieces.nbest) == (whole.text, whole.nbest)


def test_float_graphs_equal_torch_over_chunks_and_batches(tiny_float: Tiny) -> None:
    found = tiny_float[1].parity["onnx float"]
    states = [name for name in found if name.startswith("state_")]
    assert len(states) == 6  # the input's and those of five blocks, each after twelve chunks
    assert {"whole_utterance", "encoded", "keys", "ctc_log_probs", "log_probs", "alignment"} < found.keys()
    assert max(found.values()) < 1e-5


def test_float16_is_half_as_large_and_hears_nearly_the_same(tiny_float: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    manifest = make_artifact(folder, "float16")
    for name, entry in manifest.files.items():
        if name.endswith(".onnx"):
            assert entry.size < 0.6 * tiny_float[1].files[name.replace(".float16", "")].size
    assert {tensor.dtype for tensor in manifest.engines["onnx"].listener.inputs} == {"float32"}
    assert manifest.parity["onnx float16"]["encoded_snr_db"] > 40.0
    halves, floats = Recognizer.load(folder), Recognizer.load(tiny_float[0])
    # Random weights: between equal guesses rounding decides, so a few characters may differ.
    assert cer([floats.transcribe(chirps(5, 3.0)).text], [halves.transcribe(chirps(5, 3.0)).text]) < 0.25
    for precision in ("float16", "tensorrt"):
        with pytest.raises(ConfigError, match=f"precision is '{precision}', which is for engine onnx alone"):
            ExportConfig(precision=precision, engines=("onnx", "tflite"))


def test_tensorrt_gets_what_it_takes(tmp_path: Path) -> None:
    """Its structure only: TensorRT can't run here. Values are proved, in ONNX Runtime's float kernels."""
    manifest = make_artifact(tmp_path / "model", "tensorrt")
    assert manifest.engines["onnx"].precision == "tensorrt"
    assert manifest.parity["onnx tensorrt"]["encoded_snr_db"] > 10.0
    assert Recognizer.load(tmp_path / "model").transcribe(chirps(5, 1.8)).text
    for name, layers in (("listener.int8.onnx", 4 + 5 * 3 - 1 + 2), ("speller.int8.onnx", 6)):
        graph = onnx.load(str(tmp_path / "model" / name)).graph
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        maker = {value: node for node in graph.node for value in node.output}
        heavy = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
        for node in heavy:
            data, weight = (maker[value] for value in node.input[:2])
            # Rounded right before, weights stored in int8 with a scale for each channel, the bias in float.
            assert data.op_type == weight.op_type == "DequantizeLinear"
            assert maker[data.input[0]].op_type == "QuantizeLinear"
            assert constants[weight.input[0]].dtype == np.int8
            assert constants[node.input[2]].dtype == np.float32 if len(node.input) > 2 else True
        rounding = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
        for zero_point in (constants[node.input[2]] for node in rounding):
            assert zero_point.dtype == np.int8 and not zero_point.any()
        assert len(heavy) == layers and all(constants[node.input[1]].min() > 0.0 for node in rounding)


def test_every_heavy_operation_is_int8(tiny_int8: Tiny, tmp_path: Path) -> None:
    listener = _optimized(tiny_int8[0] / "listener.int8.onnx", tmp_path)
    # Float are the input's normalisation, the residual stream's additions, the CTC head and its softmax.
    assert listener["QLinearConv"] == 4 + 5 * 3 - 1 and listener["QGemm"] == 1 == listener["Gemm"]
    assert not {"Conv", "FusedConv", "MatMul", "FusedMatMul", "Relu"} & listener.keys()
    assert listener["Add"] == 1 + 5
    speller = _optimized(tiny_int8[0] / "speller.int8.onnx", tmp_path)
    assert speller["QGemm"] == 4 and speller["QLinearConv"] == 1
    # The sum of encoded frames that the attention weights, and the output layer.
    assert speller["MatMul"] == 1 == speller["Gemm"] and not {"Conv", "FusedMatMul"} & speller.keys()


def test_files_hold_no_leftovers(tiny_int8: Tiny) -> None:
    (folder, _), (model, _) = tiny_int8, tiny_model()
    for name in ("listener.int8.onnx", "speller.int8.onnx"):
        graph = onnx.load(str(folder / name)).graph
        arrays = [numpy_helper.to_array(tensor) for tensor in graph.initializer]
        assert len(arrays) == len({(array.dtype, array.shape, array.tobytes()) for array in arrays})
        assert not graph.value_info
        # Float are the input's scale and shift, the CTC head, the embedding and the output layer.
        wide = [array for array in arrays if array.dtype == np.float32 and array.ndim > 1]
        listener, speller = model.listener, model.speller
        head = 2 * listener.n_mels + model.ctc_head.weight.numel()
        tables = speller.embedding.weight.numel() + speller.out.weight.numel()
        assert sum(array.size for array in wide) == (head if name.startswith("listener") else tables)
        assert not any(node.doc_string or node.metadata_props for node in graph.node)


def test_the_same_model_gives_the_same_files(tiny_int8: Tiny, tmp_path: Path) -> None:
    again = make_artifact(tmp_path / "again")
    assert again.files == tiny_int8[1].files
    assert again.provenance.calibration == tiny_int8[1].provenance.calibration


def test_failed_proof_leaves_nothing(tmp_path: Path) -> None:
    model, tokens = tiny_model()
    config = ExportConfig(parity=replace(PARITY, min_snr_db=90.0))
    with pytest.raises(
        ParityError, match=r"onnx int8: encoded_snr_db of clip 0 is \d+\.?\d*, must be at least 90"
    ):
        export(Source(model, tokens, recordings(4)), tmp_path / "model", config)
    assert list(tmp_path.iterdir()) == []


def test_an_older_artifact_is_replaced_and_other_folders_are_not(tiny_float: Tiny, tmp_path: Path) -> None:
    model, tokens = tiny_model(seed=1)
    source = Source(model, tokens, recordings(4))
    config = ExportConfig(precision="float", parity=PARITY)
    shutil.copytree(tiny_float[0], tmp_path / "model")
    (tmp_path / "model" / "old").touch()
    export(source, tmp_path / "model", config)
    assert load_manifest(tmp_path / "model").files != tiny_float[1].files
    assert not (tmp_path / "model" / "old").exists() and len(list(tmp_path.iterdir())) == 1
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").touch()
    with pytest.raises(ArtifactError, match="precious: exists and is no artifact"):
        export(source, tmp_path / "precious", config)
    assert (tmp_path / "precious" / "thesis.txt").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speech = _write_speech(tmp_path / "speech")
    checkpoint = make_checkpoint(tmp_path / "checkpoint")
    out = tmp_path / "model"
    arguments = [str(checkpoint), "--out", str(out), "--calibrate", str(speech), "--name", "chirpy"]
    arguments += ["--dev-clips", "2", "--max-wer-increase", "2", "--min-speedup", "0"]
    arguments += ["--search", "beam_size=2", "--report", str(tmp_path / "layers.md")]
    private, public = write_keys(tmp_path / "keys")
    assert main([*arguments, "--sign", str(private)]) == 0
    manifest = load_manifest(out, require_signature=public)
    assert manifest.name == "chirpy" and manifest.search["beam_size"] == 2
    assert manifest.provenance.calibration.clips == 6
    assert manifest.parity["torch"] == {"equal_texts": 1.0}
    tables = manifest.parity["onnx int8 dev"]
    assert tables.keys() == {"chirps", "all"} and tables["chirps"] == tables["all"]
    assert (
        tables["all"]["recordings"] == 2
        and {"wer", "wer_float", "wer_allowed", "sure"} < tables["all"].keys()
    )
    assert_report(tmp_path / "layers.md")
    shown = capsys.readouterr()
    assert "listener.int8.onnx" in shown.out and "calibration: 6 of 6 recordings" in shown.err
    assert "onnx int8 dev: chirps: 2 clips, WER " in shown.out


def assert_report(path: Path) -> None:
    rows = [line.strip("| ").split(" | ") for line in path.read_text().splitlines() if "%" in line]
    layers = {(network, layer): float(ratio) for network, layer, ratio, _ in rows}
    assert len(rows) == len(layers) == 2 + (3 + 5 * 3) + 1 + 5  # both networks, convolutions, keys, Speller
    # The worst first, and one layer alone does less harm than all of them.
    assert list(layers.values()) == sorted(layers.values())
    for network in ("listener", "speller"):
        alone = [ratio for (where, name), ratio in layers.items() if where == network and name != EVERYTHING]
        # In the Speller of random weights a single layer is to blame for all of it.
        assert 10.0 < layers[network, EVERYTHING] <= min(alone) + 0.5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"checkpoint": "nowhere"}, "config.json: no such file or directory"),
        ({"--calibrate": "nowhere"}, "nowhere: neither manifest.tsv nor index.tsv is there"),
        ({"--engines": "tensorrt"}, "engine is 'tensorrt', must be one of onnx"),
        ({"--precision": "int3"}, "precision is 'int3', must be one of int8, tensorrt, float16, float"),
        ({"--report": "nowhere/layers.md"}, "nowhere/layers.md: no such folder to write to"),
        ({"--report": "x.md", "--precision": "float"}, "report is of what int8 costs, precision is 'float'"),
        ({"--sign": "no.pem"}, "no.pem: no such file or directory"),
        ({"--search": "beam_size=wide"}, "--search beam_size=wide: is not KEY=NUMBER"),
    ],
)
def test_errors_are_one_line(
    changed: dict[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint")
    _write_speech(tmp_path / "speech")
    options = {"--out": str(tmp_path / "model"), "--calibrate": str(tmp_path / "speech"), **changed}
    positional = options.pop("checkpoint", str(checkpoint))
    assert main([positional, *(word for pair in options.items() for word in pair)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("export: error: ") and message in lines[-1]
    assert not (tmp_path / "model").exists()


def test_several_precisions_go_into_folders(tmp_path: Path) -> None:
    from export.__main__ import _configs, _parser

    arguments = ["c", "--out", "d", "--calibrate", "s", "--precision", "int8,float", "--report", "x.md"]
    found = [
        (out, config.precision, config.report) for out, config in _configs(_parser().parse_args(arguments))
    ]
    assert found == [(Path("d/int8"), "int8", Path("x.md")), (Path("d/float"), "float", None)]


def _optimized(path: Path, scratch: Path) -> Counter[str]:
    """Count the operators that ONNX Runtime really runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(scratch / path.name)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def _write_speech(folder: Path) -> Path:
    folder.mkdir()
    rows = ["id\tpath\tdataset\tspeaker\tsplit\tseconds\ttext"]
    for recording in recordings(8):
        samples = recording.samples()
        soundfile.write(folder / f"{recording.id}.wav", samples, 16000)
        name, seconds = f"{recording.id}.wav", len(samples) / 16000
        rows.append(
            f"{recording.id}\t{name}\t{recording.dataset}\t{recording.speaker}\t{recording.split}\t{seconds}\t{recording.text}"
        )
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder
