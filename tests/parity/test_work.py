"""Multiply-accumulates as they are counted in the files, against those that the layers have on paper."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_las.artifact import Manifest
from edge_las.runtime.engine import Array, Listened, load_engine
from edge_las.runtime.listener_stream import ListenerStream
from export.graphs import ListenerChunk, listener_graph
from export.kernels import Work, count_onnx, unfused_layers
from export.work import describe_work, utterance_work, work_lines
from tests.tiny_artifact import CONFIG, tiny_model

Tiny = tuple[Path, Manifest]
BATCH, FRAMES = 4, 50


def speller_work() -> tuple[int, int]:
    """In int8, and what stays float: the sum of encoded frames and the scores of tokens."""
    config, encoded_dim, tokens = CONFIG.speller, CONFIG.compact.encoded_dim, tiny_model()[0].num_tokens
    gates = (config.embedding_dim + encoded_dim + config.hidden) * 4 * config.hidden
    row = gates + config.hidden * config.attention_dim
    location = config.location_channels * (config.location_kernel_size + config.attention_dim)
    rest = BATCH * (FRAMES * encoded_dim + (config.hidden + encoded_dim) * tokens)
    return BATCH * (row + FRAMES * (location + config.attention_dim)), rest


def listener_work() -> tuple[int, int]:
    """In int8, and the CTC head, which stays float."""
    chunk = listener_graph(tiny_model()[0], 32).module
    assert isinstance(chunk, ListenerChunk)
    listener, sizes = chunk.listener, {16: 0, 8: 0}  # positions in time: after one halving, after both
    for positions, layers in (
        (16, [listener.stem_in, *listener.stem]),
        (8, [listener.down, *listener.blocks, listener.out, chunk.key]),
    ):
        weights = [p for layer in layers for p in layer.parameters() if p.dim() > 1]
        sizes[positions] += sum(weight.numel() for weight in weights)
    return sum(positions * size for positions, size in sizes.items()), 8 * chunk.ctc_head.weight.numel()


def test_each_call(tiny_float: Tiny, tiny_int8: Tiny) -> None:
    (int8, rest), (chunk_int8, chunk_rest) = speller_work(), listener_work()
    for (folder, manifest), in_int8 in ((tiny_float, 0), (tiny_int8, 1)):
        entry = manifest.engines["onnx"]
        speller = count_onnx(folder / entry.speller.file, BATCH, FRAMES)
        assert speller == Work(in_int8 * int8, int8 + rest)
        chunk = count_onnx(folder / entry.listener.file, 1, 32)
        assert chunk == Work(in_int8 * chunk_int8, chunk_int8 + chunk_rest)


def test_every_quantized_layer_runs_in_int8(tiny_float: Tiny, tiny_int8: Tiny) -> None:
    entry = tiny_int8[1].engines["onnx"]
    assert unfused_layers(tiny_int8[0] / entry.listener.file) == (0, 19)
    assert unfused_layers(tiny_int8[0] / entry.speller.file) == (0, 5)
    assert unfused_layers(tiny_float[0] / tiny_float[1].engines["onnx"].listener.file) == (0, 0)


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_an_utterance_takes_as_many_chunks_as_the_runtime_runs(tiny_int8: Tiny, seconds: float) -> None:
    folder, manifest = tiny_int8
    engine = load_engine("onnx", folder, manifest.engines, 1)
    run, calls = engine.listener_chunk, []

    def counted(features: Array, states: list[Array]) -> Listened:
        calls.append(features.shape)
        return run(features, states)

    engine.listener_chunk = counted  # type: ignore[method-assign]
    stream = ListenerStream(engine, manifest)
    stream.accept(np.zeros(int(16000 * seconds), dtype=np.float32))
    stream.finish()
    work = utterance_work(folder, manifest, "onnx", seconds)["listener"]
    int8, rest = listener_work()
    assert work == Work(len(calls) * int8, len(calls) * (int8 + rest))


def test_the_manifest_tells_it(tiny_int8: Tiny) -> None:
    folder, manifest = tiny_int8
    found = manifest.parity["onnx int8 work"]
    assert found.keys() == {"5s", "15s"} and found == describe_work(folder, manifest)["onnx int8 work"]
    for length in found.values():
        parts = length["listener_mmacs"] + length["speller_mmacs"]
        assert length["all_mmacs"] == pytest.approx(parts, abs=0.02)
    assert "(in int8): all 11.27 (88.1%), listener 3.56 (97.6%), speller 7.7 (83.7%)" in work_lines(found)[0]
    # No longer than an utterance may be.
    short = replace(manifest, speller=replace(manifest.speller, max_utterance_s=3.0))
    assert describe_work(folder, short)["onnx int8 work"].keys() == {"3s"}
