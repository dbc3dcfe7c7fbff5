"""Both engines from one checkpoint: the same text; and the traps of TFLite that must not get through."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

pytest.importorskip("litert_torch", reason="needs pip install edge-las[export-tflite]")
pytest.importorskip("ai_edge_quantizer", reason="needs pip install edge-las[export-tflite]")

from edge_las.artifact import Manifest, describe_files, load_manifest, verify, write_manifest
from edge_las.errors import ArtifactError
from edge_las.runtime.engine import load_engine
from edge_las.runtime.recognizer import Recognizer
from edge_las.train.model import LasModel
from export import quantize_tflite, to_tflite
from export.build_onnx import LISTENER, SPELLER, build_float, build_int8, observe
from export.calibration import CalibrationConfig, choose, feeds_of
from export.config import ExportConfig
from export.gate import Built
from export.graphs import listener_graph
from export.parity import Form, ParityError, check_rounded, lead, snr_db
from export.quantize import Observer, QuantizeConfig
from export.quantize_tflite import layers_of, make_recipe
from export.run import Source, export
from export.torch_engine import TorchEngine
from tests.parity.other_python import OtherPython
from tests.parity.test_parity_gate import torch_form
from tests.tiny_artifact import PARITY, SEARCH, chirps, recordings, tiny_model

CLIPS = [chirps(1, 1.9), chirps(2, 0.03), chirps(3, 1.31)]
CHUNK = to_tflite.LISTENER_SIGNATURE


def make_both(folder: Path) -> Manifest:
    """Write an int8 artifact for both engines; few signatures, as each takes seconds to convert."""
    model, tokens = tiny_model()
    config = ExportConfig(
        name="both", engines=("onnx", "tflite"), search=dict(SEARCH), max_utterance_s=2.0,
        calibration=CalibrationConfig(clips=9, max_seconds=1.8), parity=replace(PARITY, graph_clips=3),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_tflite, "BATCHES", (1, 4))
        patch.setattr(to_tflite, "FRAMES", ())
        return export(Source(model, tokens, recordings()), folder, config)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("both") / "model"
    return folder, make_both(folder)


@pytest.fixture(scope="module")
def float_listener(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("float") / "listener.tflite"
    to_tflite.export_tflite({CHUNK: listener_graph(tiny_model()[0], 32)}, path)
    return path


@pytest.fixture(scope="module")
def observers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Observer]:
    folder = tmp_path_factory.mktemp("observed")
    build_float(tiny_model()[0], 32, folder)
    return observe(folder, feeds(), QuantizeConfig("minmax"))


def test_the_gate_saw_every_form(built):
    _, manifest = built
    forms = {"onnx float", "tflite float", "onnx int8", "tflite int8"}
    assert {name for name in manifest.parity if not name.endswith("work")} == forms
    assert max(manifest.parity["tflite float"].values()) < 1e-5
    assert manifest.parity["tflite int8"]["encoded_snr_db"] > 10.0


def test_the_same_model_gives_the_same_files(built, tmp_path):
    assert make_both(tmp_path / "again").files == built[1].files


def test_work_is_counted_alike(built):
    """Both engines do the same layers; TFLite's calls are padded to the next signature."""
    found = built[1].parity
    assert {"onnx int8 work", "tflite int8 work"} < found.keys()
    onnx, tflite = (found[f"{engine} int8 work"]["2s"] for engine in ("onnx", "tflite"))
    assert tflite["listener_mmacs"] == pytest.approx(onnx["listener_mmacs"], rel=0.01)
    assert onnx["speller_mmacs"] <= tflite["speller_mmacs"] < 1.2 * onnx["speller_mmacs"]
    assert tflite["all_int8_share"] == pytest.approx(onnx["all_int8_share"], abs=0.02)


def test_both_engines_round_alike(built):
    """By the same scales and zero points: so they differ by far less than either does from float."""
    folder, manifest = built
    for part in ("listener", "speller"):
        files = (folder / getattr(manifest.engines[name], part).file for name in ("onnx", "tflite"))
        assert onnx_steps(next(files)) == tflite_steps(next(files))
    one, other = (
        Form(name, load_engine(name, folder, manifest.engines, 1), manifest) for name in ("onnx", "tflite")
    )
    for samples in CLIPS:
        heard, also = one.listen(samples), other.listen(samples)
        assert snr_db(heard.encoded, also.encoded) > 40.0 and snr_db(heard.keys, also.keys) > 40.0
        for expected, got in lead(one, other, heard, range(4, 12), batch=4):
            np.testing.assert_allclose(got, expected, atol=0.02)


def onnx_steps(path: Path) -> set[tuple[float, int]]:
    """Scale and signed zero point of every activation that is rounded."""
    graph = onnx.load(str(path)).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    rounded = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    return {
        (float(constants[node.input[1]]), int(constants[node.input[2]]) - 128)
        for node in rounded
        if constants[node.input[2]].dtype == np.uint8
    }


def tflite_steps(path: Path) -> set[tuple[float, int]]:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    return {
        (float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0]))
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.type == schema.TensorType.INT8 and model.buffers[tensor.buffer].data is None
    }


def test_the_middle_is_given_alike(tmp_path):
    """Of a model whose head of phones hears it: as in ONNX, and nothing else changes by a bit."""
    given = {}
    for name in ("with", "without"):
        model, folder = tiny_model(frame_phones=name == "with")[0], tmp_path / name
        folder.mkdir()
        build_float(model, 32, folder)
        observed = observe(folder, feeds(), QuantizeConfig("minmax"))
        build_int8(observed, folder)
        to_tflite.export_tflite({CHUNK: listener_graph(model, 32)}, folder / "listener.tflite")
        quantize_tflite.quantize_tflite(
            folder / "listener.tflite", observed[LISTENER], folder / "listener.int8.tflite"
        )
        for file in ("listener.tflite", "listener.int8.tflite"):
            given[name, file] = chunks_of(folder / file)
    for file in ("listener.tflite", "listener.int8.tflite"):
        for one, other in zip(given["with", file], given["without", file], strict=True):
            assert one.keys() - other.keys() == {"middle"}
            assert all(np.array_equal(one[name], other[name]) for name in other)
        session = onnxruntime.InferenceSession(str(tmp_path / "with" / file.replace("tflite", "onnx")))
        for inputs, found in zip(next(feeds())[0], given["with", file], strict=True):
            (middle,) = session.run(["middle"], inputs)
            assert found["middle"].shape == (1, 8, 24) and snr_db(middle, found["middle"]) > 40.0


def chunks_of(path: Path) -> list[dict[str, np.ndarray]]:
    """What a Listener gives of the chunks of one recording."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path), num_threads=1).get_signature_runner(CHUNK)
    return [{name: array.copy() for name, array in run(**chunk).items()} for chunk in next(feeds())[0]]


def test_the_same_recognizer_runs_over_both(built):
    folder, manifest = built
    verify(folder, load_manifest(folder))
    for engine in ("onnx", "tflite"):
        recognizer = Recognizer.load(folder, engine)
        whole = recognizer.transcribe(chirps(5, 1.8))
        streamed = recognizer.transcribe(np.array_split(chirps(5, 1.8), [700, 9000, 9001]))
        assert whole.text and (streamed.text, streamed.nbest) == (whole.text, whole.nbest)


def test_weights_are_stored_once(built):
    folder, manifest = built
    from ai_edge_litert.tools import flatbuffer_utils

    for graph in (manifest.engines["tflite"].listener, manifest.engines["tflite"].speller):
        model = flatbuffer_utils.read_model(str(folder / graph.file))
        big = [
            bytes(buffer.data)
            for buffer in model.buffers
            if buffer.data is not None and len(buffer.data) > 500
        ]
        assert big and len(set(big)) == len(big)


def test_scales_are_stored_once(built):
    from ai_edge_litert.tools import flatbuffer_utils

    folder, manifest = built
    for graph in (manifest.engines["tflite"].listener, manifest.engines["tflite"].speller):
        path = folder / graph.file
        model = flatbuffer_utils.read_model(str(path))
        found = [tensor.quantization for part in model.subgraphs for tensor in part.tensors]
        scales = [np.asarray(q.scale, np.float32).tobytes() for q in found if q and q.scale is not None]
        by_channel = [scale for scale in scales if len(scale) > 4]
        assert len(by_channel) > 10
        assert all(path.read_bytes().count(scale) == 1 for scale in by_channel)


def test_every_int8_dense_layer_has_a_bias(built):
    """Without, tflite-runtime 2.14 dies on 32-bit ARM in a step of four hypotheses."""
    folder, manifest = built
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(folder / manifest.engines["tflite"].speller.file))
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    biases = [
        len(operator.inputs) > 2 and operator.inputs[2] >= 0
        for graph in model.subgraphs
        for operator in graph.operators
        if codes[operator.opcodeIndex] == schema.BuiltinOperator.FULLY_CONNECTED
        and graph.tensors[operator.inputs[0]].type == schema.TensorType.INT8
    ]
    assert len(biases) >= 2 * 3 and all(biases)


def test_any_batch_and_length_is_padded(built):
    folder, manifest = built
    form = Form("tflite", load_engine("tflite", folder, manifest.engines, 1), manifest)
    heard = form.listen(CLIPS[2])
    speller = form.speller(heard)
    alone, _ = speller.step(np.array([5]), speller.initial_state())
    for batch in (2, 4, 9):
        state = {name: np.repeat(array, batch, axis=0) for name, array in speller.initial_state().items()}
        rows, after = speller.step(np.full(batch, 5), state)
        np.testing.assert_allclose(rows, np.repeat(alone, batch, axis=0), atol=1e-4)
        assert after["alignment"].shape == (batch, heard.encoded.shape[1])
        assert after["alignment"].sum(axis=1) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(ArtifactError, match="takes .* encoded frames at most"):
        long = np.zeros((1, 999, heard.encoded.shape[2]), dtype=np.float32)
        wide = {**speller.initial_state(), "alignment": np.zeros((1, 999), dtype=np.float32)}
        keys = np.zeros((1, 999, heard.keys.shape[2]), dtype=np.float32)
        form.engine.speller_step(np.array([5]), long, keys, np.ones((1, 999), dtype=np.float32), wide)


def test_a_graph_that_differs_from_the_manifest_is_refused(built):
    folder, manifest = built
    entry = manifest.engines["tflite"]
    wrong = replace(
        entry.listener,
        inputs=tuple(
            replace(t, shape=(1, 40, 64)) if t.name == "features" else t for t in entry.listener.inputs
        ),
    )
    with pytest.raises(ArtifactError, match="features is float32 1x32x64, .* float32 1x40x64"):
        load_engine("tflite", folder, {"tflite": replace(entry, listener=wrong)}, 1)


def swapped(built, path: Path, part: str) -> Built:
    """The artifact with another file as its Listener or Speller, in the folder of that file."""
    folder, manifest = built
    entry = manifest.engines["tflite"]
    entry = replace(entry, **{part: replace(getattr(entry, part), file=path.name)})
    for name in manifest.files:
        if not (path.parent / name).exists():
            (path.parent / name).symlink_to(folder / name)
    files = describe_files(path.parent, {*manifest.files, path.name})
    described = replace(manifest, engines={**manifest.engines, "tflite": entry}, files=files)
    write_manifest(path.parent, described)
    return Built(path.parent, described)


def feeds(clips: int = 6):
    model, tokens = tiny_model()
    chosen = choose(recordings(), CalibrationConfig(clips=clips))
    return feeds_of(model, tokens, chosen, 32, 1.8)


def reference(built) -> Form:
    """The torch model stands in for the float graphs: they equal it to 1e-5."""
    return torch_form(built[1])


def test_trap_4_a_moving_average_of_ranges(built, float_listener, observers, tmp_path):
    """Loud speech is rare in a calibration that ends quietly: the average, the default, forgets it."""
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    quantizer = make_recipe(float_listener, layers_of(observers[LISTENER])).quantizer(float_listener)
    calls = [chunk for chunks, _ in feeds() for chunk in chunks]
    calls += [{name: 0.02 * array for name, array in calls[0].items()}] * 200
    averaged = calibrator.Calibrator(str(float_listener), qsv_update_func=qsv_utils.moving_average_update)
    averaged.calibrate({CHUNK: calls}, quantizer._recipe_manager)
    quantize_tflite.finish(quantizer.quantize(averaged.get_model_qsvs()), tmp_path / "trap.tflite")
    with pytest.raises(ParityError, match="encoded_snr_db of clip"):
        trap = swapped(built, tmp_path / "trap.tflite", "listener")
        check_rounded(reference(built), trap.form("tflite"), CLIPS, PARITY)


def test_trap_5_an_output_that_feeds_a_quantized_layer(built, observers, tmp_path, monkeypatch):
    """Without mending, the runner of the Speller finds no data for next_hidden."""
    export_speller(tiny_model()[0], tmp_path / "float.tflite", monkeypatch)
    monkeypatch.setattr(quantize_tflite, "mend_outputs", lambda path: None)
    quantize_tflite.quantize_tflite(tmp_path / "float.tflite", observers[SPELLER], tmp_path / "trap.tflite")
    with pytest.raises(ArtifactError, match="null|does not run|cannot load"):
        trap = swapped(built, tmp_path / "trap.tflite", "speller")
        check_rounded(reference(built), trap.form("tflite"), CLIPS[2:], PARITY)


def test_a_layer_that_is_not_in_the_file(float_listener, observers):
    with pytest.raises(ArtifactError, match=r"listener\.tflite: energy is not to be found"):
        make_recipe(float_listener, layers_of(observers[SPELLER]))


def test_layers_with_the_same_weights(tmp_path):
    model, _ = tiny_model()
    with torch.no_grad():
        for block in model.listener.blocks[:2]:
            block.widen.weight.zero_()
    build_float(model, 32, tmp_path)
    observer = observe(tmp_path, feeds(), QuantizeConfig("minmax"))[LISTENER]
    with pytest.raises(ArtifactError, match=r"blocks\.1\.widen and .*blocks\.0\.widen have the same weights"):
        layers_of(observer)


def test_tflite_runtime_runs_the_recipe(built, tflite_python, tmp_path):
    """What is released is right in the old runtime too, value by value."""
    engine = OtherPython(tflite_python, built[0])
    check_rounded(reference(built), Form("legacy", engine, built[1]), CLIPS, PARITY)
    engine.close()


@pytest.mark.parametrize("recipe", ["dynamic_per_channel", "int8_embedding", "int4"])
def test_trap_7_recipes_that_tflite_runtime_computes_wrong(
    built, tflite_python, tmp_path, monkeypatch, recipe
):
    """LiteRT is right with the first two; the old runtime takes one scale for all, or fails on 4 bits."""
    model, _ = tiny_model()
    with torch.no_grad():  # so that another row's scale is a wrong one, and the token makes a difference
        model.speller.embedding.weight *= torch.logspace(0.0, 1.0, model.num_tokens)[:, None]
        model.speller.out.weight *= 8.0
    export_speller(model, tmp_path / "float.tflite", monkeypatch)
    quantize_weights(tmp_path / "float.tflite", tmp_path / "trap.tflite", recipe)
    trap, torch_engine = swapped(built, tmp_path / "trap.tflite", "speller"), TorchEngine(model)
    expected = replace(reference(built), engine=torch_engine)
    if recipe != "int4":  # this model itself can't bear 4 bits
        check_rounded(expected, trap.form("tflite"), CLIPS, PARITY)
    engine = OtherPython(tflite_python, trap.folder)
    with pytest.raises((ParityError, ArtifactError)):
        check_rounded(expected, Form("legacy", engine, trap.manifest), CLIPS, PARITY)
    engine.close()


def quantize_weights(source: Path, target: Path, recipe: str) -> None:
    """Write a file with float activations and weights of fewer bits."""
    from ai_edge_quantizer import qtyping, quantizer

    made = quantizer.Quantizer(str(source))
    operator = qtyping.TFLOperationName
    channels = qtyping.QuantGranularity.CHANNELWISE
    if recipe == "int8_embedding":
        made.add_dynamic_config(".*", operator.EMBEDDING_LOOKUP, 8, granularity=channels)
    else:
        bits = 4 if recipe == "int4" else 8
        made.add_dynamic_config(".*", operator.FULLY_CONNECTED, bits, granularity=channels)
    made.quantize().export_model(str(target))


def export_speller(model: LasModel, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a float Speller with one signature: that for a single hypothesis."""
    monkeypatch.setattr(to_tflite, "BATCHES", (1,))
    monkeypatch.setattr(to_tflite, "FRAMES", ())
    to_tflite.export_tflite(to_tflite.speller_graphs(model, 56), path)
