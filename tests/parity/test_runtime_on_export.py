"""The runtime over what `python -m export` writes: the real networks, int8, of random weights."""

import json
import subprocess
import sys

import numpy as np
import pytest

from edge_las.artifact import load_manifest
from edge_las.runtime.engine import EngineSpeller, load_engine, speller_state
from edge_las.runtime.listener_stream import ListenerStream
from edge_las.runtime.recognizer import Recognizer
from tests.runtime.test_cli import write_wav
from tests.tiny_artifact import chirps


@pytest.fixture(params=["tiny_float", "tiny_int8"])
def folder(request):
    return request.getfixturevalue(request.param)[0]


def test_streams_equal_the_whole_file_in_any_chunking(folder):
    samples = chirps(5, 6.3)
    recognizer = Recognizer.load(folder)
    results = []
    for size in (len(samples), 160, 1777, 16000):
        utterance = recognizer.utterance()
        for start in range(0, len(samples), size):
            utterance.accept(samples[start : start + size])
        results.append(utterance.finish())
    assert results[0].text
    for result in results[1:]:
        assert (result.text, result.words, result.nbest) == (
            results[0].text,
            results[0].words,
            results[0].nbest,
        )


def test_a_batch_of_hypotheses_equals_one_by_one(folder):
    manifest = load_manifest(folder)
    engine = load_engine("onnx", folder, manifest.engines, 1)
    stream = ListenerStream(engine, manifest)
    stream.accept(chirps(1, 2.0))
    heard = stream.finish()
    graph = manifest.engines["onnx"].speller
    speller = EngineSpeller(engine, graph, heard.encoded, heard.keys)
    start = speller_state(graph, heard.encoded.shape[1])
    state = {name: np.repeat(array, 4, axis=0) for name, array in start.items()}
    for tokens in ([2, 2, 2, 2], [5, 6, 7, 8], [9, 5, 5, 20]):
        log_probs, next_state = speller.step(np.array(tokens), state)
        assert np.exp(log_probs).sum(axis=1) == pytest.approx(1.0, abs=1e-4)
        for row, token in enumerate(tokens):
            alone, _ = speller.step(np.array([token]), {k: v[row : row + 1] for k, v in state.items()})
            np.testing.assert_allclose(alone[0], log_probs[row], atol=1e-4)
        state = next_state


def test_the_command_gives_what_the_library_gives(folder, tmp_path):
    samples = chirps(2, 3.0)
    file = write_wav(tmp_path / "chirps.wav", samples)
    command = [sys.executable, "-m", "edge_las", "transcribe", file, "--json", "--model", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    expected = Recognizer.load(folder).transcribe(np.rint(samples * 32768).astype(np.float32) / 32768)
    record = json.loads(done.stdout)
    assert record["text"] == expected.text
    assert record["nbest"] == expected.to_dict()["nbest"]
