import builtins
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from edge_las.artifact import describe_files, load_manifest, write_manifest
from edge_las.errors import ArtifactError, DeviceError
from edge_las.runtime.engine import EngineSpeller, listener_states, load_engine, speller_state
from edge_las.runtime.recognizer import Recognizer
from edge_las.search.beam import beam_search
from edge_las.search.config import BeamConfig
from edge_las.search.greedy import greedy_search
from tests.runtime import tiny_onnx as tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write_artifact(tmp_path_factory.mktemp("tiny") / "artifact")


@pytest.fixture(scope="module")
def engine(folder):
    return load_engine("auto", folder, load_manifest(folder).engines, 1)


def test_listener_chunks_equal_numpy_over_many_chunks(engine):
    rng = np.random.default_rng(3)
    states = listener_states(tiny.manifest().engines["onnx"].listener)
    expected_state = np.zeros((1, 1, tiny.E), dtype=np.float32)
    for _ in range(12):
        features = rng.standard_normal((1, tiny.CHUNK, tiny.MELS)).astype(np.float32)
        encoded, keys, ctc, middle, states = engine.listener_chunk(features, states)
        assert middle is None
        *expected, expected_state = tiny.listener_in_numpy(features, expected_state)
        for got, want in zip((encoded, keys, ctc, states[0]), (*expected, expected_state), strict=True):
            np.testing.assert_allclose(got, want, atol=2e-6)


@pytest.mark.parametrize("frames", [1, 7, 125])
def test_speller_steps_equal_numpy_at_any_length_and_batch(engine, frames):
    rng = np.random.default_rng(frames)
    encoded = rng.standard_normal((1, frames, tiny.E)).astype(np.float32)
    keys = encoded @ tiny.WEIGHTS["key"]
    mask = np.ones((1, frames), dtype=np.float32)
    graph = tiny.manifest().engines["onnx"].speller
    state = {name: np.repeat(array, 5, axis=0) for name, array in speller_state(graph, frames).items()}
    expected_state = state
    for _ in range(3):
        tokens = rng.integers(0, tiny.V, 5)
        log_probs, next_state = engine.speller_step(tokens, encoded, keys, mask, state)
        expected, expected_state = tiny.speller_in_numpy(tokens, encoded, keys, mask, expected_state)
        np.testing.assert_allclose(log_probs, expected, atol=1e-5)
        for row in range(5):
            alone = {name: array[row : row + 1] for name, array in state.items()}
            single, _ = engine.speller_step(tokens[row : row + 1], encoded, keys, mask, alone)
            np.testing.assert_allclose(single[0], log_probs[row], atol=1e-5)
        state = next_state
    assert {name: array.shape for name, array in state.items()} == {
        "hidden": (5, tiny.A),
        "cell": (5, 1),
        "context": (5, tiny.E),
        "alignment": (5, frames),
    }


def test_searches_run_on_the_engine(engine):
    encoded = np.random.default_rng(8).standard_normal((1, 40, tiny.E)).astype(np.float32)
    graph = tiny.manifest().engines["onnx"].speller
    speller = EngineSpeller(engine, graph, encoded, encoded @ tiny.WEIGHTS["key"])
    config = BeamConfig(max_tokens=9, max_frame_attention=100.0)
    greedy = greedy_search(speller, config)
    (same,) = beam_search(speller, replace(config, beam_size=1))
    assert greedy.tokens == same.tokens
    found = beam_search(speller, config)
    for hypothesis in found:
        assert hypothesis.log_prob == pytest.approx(log_prob_in_numpy(encoded, hypothesis), abs=1e-3)


def log_prob_in_numpy(encoded, hypothesis):
    graph = tiny.manifest().engines["onnx"].speller
    state, last, total = speller_state(graph, encoded.shape[1]), 2, 0.0
    for token in (*hypothesis.tokens, *([3] if hypothesis.finished else [])):
        log_probs, state = tiny.speller_in_numpy(
            np.array([last]), encoded, encoded @ tiny.WEIGHTS["key"], np.ones(encoded.shape[:2]), state
        )
        total += log_probs[0, token]
        last = token
    return total


def test_recognizer_runs_and_streams_on_the_engine(folder):
    samples = (0.1 * np.random.default_rng(1).standard_normal(3 * 16000)).astype(np.float32)
    recognizer = Recognizer.load(folder, threads=1)
    whole = recognizer.transcribe(samples)
    assert whole.text and whole.nbest and whole.words
    streamed = recognizer.transcribe(samples[start : start + 777] for start in range(0, len(samples), 777))
    assert (streamed.text, streamed.words, streamed.nbest) == (whole.text, whole.words, whole.nbest)
    assert len(Recognizer.load(folder, beam_size=1).transcribe(samples).nbest) == 1


def test_threads_may_share_a_recognizer(folder):
    rng = np.random.default_rng(2)
    clips = [(0.1 * rng.standard_normal(16000)).astype(np.float32) for _ in range(8)]
    recognizer = Recognizer.load(folder)
    alone = [recognizer.transcribe(clip).nbest for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda clip: recognizer.transcribe(clip).nbest, clips)) == alone


def broken_copy(folder, target, change):
    """Copy an artifact with its manifest changed; sizes and hashes are made to fit again."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    described = change(load_manifest(folder), target)
    write_manifest(target, replace(described, files=describe_files(target, described.files)))
    return target


def with_tensor(manifest, name, **changes):
    def changed(tensors):
        return tuple(replace(t, **changes) if t.name == name else t for t in tensors)

    entry = manifest.engines["onnx"]
    graph = entry.listener if entry.listener.tensor(name) else entry.speller
    new = replace(graph, inputs=changed(graph.inputs), outputs=changed(graph.outputs))
    part = {"listener": new} if graph is entry.listener else {"speller": new}
    return replace(manifest, engines={"onnx": replace(entry, **part)})


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("keys", {"shape": (1, 8, 5)}, r"listener.onnx: output keys is float32 1x8x6, .*float32 1x8x5"),
        ("hidden", {"shape": (None, 7)}, r"speller.onnx: input hidden is float32 \?x6"),
        ("token", {"dtype": "int32"}, r"speller.onnx: input token is int64 \?, manifest.json says int32 \?"),
        ("features", {"shape": (1, 40, 64)}, r"listener.onnx: input features is float32 1x32x64"),
    ],
)
def test_graphs_that_differ_from_the_manifest_are_refused(folder, tmp_path, name, changes, message):
    broken = broken_copy(folder, tmp_path / "x", lambda manifest, _: with_tensor(manifest, name, **changes))
    with pytest.raises(ArtifactError, match=message):
        Recognizer.load(broken)


def test_a_graph_that_is_none_is_refused(folder, tmp_path):
    def spoil(manifest, target):
        (target / "speller.onnx").write_bytes(b"not a graph")
        return manifest

    with pytest.raises(ArtifactError, match=r"speller\.onnx: onnxruntime cannot load it") as caught:
        Recognizer.load(broken_copy(folder, tmp_path / "x", spoil))
    assert "\n" not in str(caught.value)


def test_missing_package_and_unknown_engines_are_named(folder, monkeypatch):
    real_import = builtins.__import__

    def no_onnxruntime(name, *arguments, **keywords):
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name=name)
        return real_import(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", no_onnxruntime)
    for name in ("auto", "onnx"):
        with pytest.raises(DeviceError, match=r"pip install edge-las\[onnx\]"):
            Recognizer.load(folder, engine=name)
    with pytest.raises(DeviceError, match="engine 'cuda' is unknown"):
        Recognizer.load(folder, engine="cuda")


def test_engines_that_the_artifact_does_not_serve(folder, tmp_path):
    def rename(manifest, _):
        return replace(manifest, engines={"quantum": manifest.engines["onnx"]})

    broken = broken_copy(folder, tmp_path / "x", rename)
    with pytest.raises(ArtifactError, match="has no graphs for engine onnx, only for quantum"):
        Recognizer.load(broken, engine="onnx")
    with pytest.raises(ArtifactError, match="graphs for quantum only"):
        Recognizer.load(broken)


def test_unknown_search_settings_are_refused(folder, tmp_path):
    def add(manifest, _):
        return replace(manifest, search={"beam_siez": 3})

    with pytest.raises(ArtifactError, match=r"manifest\.json: search\.beam_siez is unknown"):
        Recognizer.load(broken_copy(folder, tmp_path / "x", add))
