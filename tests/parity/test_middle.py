"""A model whose head of phones hears a middle block: the graphs give it, the runtime brings it into line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edge_las.artifact import Manifest, describe_files, load_manifest
from edge_las.features import log_mel
from edge_las.lexicon import LEXICON_NAME, PHONE_HEAD_NAME, Lexicon, save_lexicon
from edge_las.runtime.engine import load_engine
from edge_las.runtime.listener_stream import Heard, ListenerStream
from edge_las.runtime.phones import PhoneStream, load_phone_judge
from edge_las.runtime.recognizer import Recognizer
from tests.tiny_artifact import CONFIG, chirps, make_artifact, tiny_model

M, E = CONFIG.compact.channels, CONFIG.compact.encoded_dim
SAMPLES = chirps(5, 2.3)
Made = tuple[Path, Manifest]


@pytest.fixture(scope="module", params=["float", "int8"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("middle") / request.param
    return folder, make_artifact(folder, request.param, frame_phones=True)


def stream_of(made: Made) -> ListenerStream:
    folder, manifest = made
    return ListenerStream(load_engine("onnx", folder, manifest.engines, 1), manifest)


def heard(made: Made) -> Heard:
    stream = stream_of(made)
    stream.accept(SAMPLES)
    found = stream.finish()
    assert found is not None
    return found


def test_the_manifest_tells_of_it_and_the_gate_compared_it(made: Made) -> None:
    manifest = load_manifest(made[0])
    assert (manifest.listener.middle_dim, manifest.listener.middle_delay_frames) == (M, 2)
    assert manifest.listener.delay_frames == 4
    spec = manifest.engines["onnx"].listener.tensor("middle")
    assert spec is not None and spec.shape == (1, 8, M) and spec.dtype == "float32"
    precision = manifest.engines["onnx"].precision
    found = manifest.parity[f"onnx {precision}"]
    if precision == "float":
        assert max(found["middle"], found["whole_middle"]) < 1e-5
    else:
        assert found["middle_snr_db"] > 10.0


def test_it_is_the_trained_models_frame_by_frame(made: Made) -> None:
    model, _ = tiny_model(frame_phones=True)
    padded = np.concatenate([SAMPLES, np.zeros(CONFIG.tail_padding_samples, dtype=np.float32)])
    features = torch.from_numpy(log_mel(padded, CONFIG.features))[None]
    with torch.no_grad():
        encoded, middle, _ = model.hear(features, torch.tensor([features.shape[1]]))
    found = heard(made)
    assert found.middle is not None and found.middle.shape == tuple(middle.shape)
    is_float = made[1].engines["onnx"].precision == "float"
    for ours, theirs in ((found.middle, middle.numpy()), (found.encoded, encoded.numpy())):
        off = np.abs(ours - theirs)
        assert off.max() < 1e-4 if is_float else np.sqrt(np.mean(off**2) / np.mean(theirs**2)) < 0.3


def test_all_else_is_the_same_to_the_bit(made: Made, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    precision = made[1].engines["onnx"].precision
    plain = request.getfixturevalue(f"tiny_{precision}")
    assert (plain[1].listener.middle_dim, heard(plain).middle) == (0, None)
    for name in ("encoded", "keys", "ctc_log_probs"):
        np.testing.assert_array_equal(getattr(heard(made), name), getattr(heard(plain), name))
    speller = made[1].engines["onnx"].speller.file
    assert (made[0] / speller).read_bytes() == (plain[0] / speller).read_bytes()


def test_what_both_know_so_far_grows_into_the_whole(made: Made) -> None:
    stream, whole = stream_of(made), heard(made)
    assert whole.middle is not None
    parts, frames = [], 0
    for samples in np.array_split(SAMPLES, 9):
        stream.accept(samples)
        parts.append(stream.heard_from(frames))
        assert parts[-1][0].shape[1] == parts[-1][1].shape[1] == len(stream.ctc_log_probs(frames))
        frames += parts[-1][0].shape[1]
    assert parts[0][0].shape == (1, 0, E) and parts[0][1].shape[2] == M and frames > 40
    for given, expected in zip(zip(*parts, strict=True), (whole.encoded, whole.middle), strict=True):
        np.testing.assert_array_equal(np.concatenate(given, axis=1), expected[:, :frames])
    assert stream.heard_from(frames + 50)[0].shape == (1, 0, E)
    ahead = stream.heard_so_far()
    assert ahead is not None and ahead.middle is not None
    np.testing.assert_array_equal(ahead.middle, whole.middle)


def test_without_a_middle_what_is_known_so_far_has_none(tiny_int8: Made) -> None:
    stream = stream_of(tiny_int8)
    assert [part.shape for part in stream.heard_from(0)] == [(1, 0, E), (1, 0, 0)]
    stream.accept(SAMPLES)
    encoded, middle = stream.heard_from(3)
    assert encoded.shape[1] > 40 and middle.shape == (1, encoded.shape[1], 0)


def test_the_head_names_phones_as_the_trained_one_while_they_are_heard(made: Made, tmp_path: Path) -> None:
    folder, manifest = made
    assert PHONE_HEAD_NAME in manifest.files
    found, head = heard(made), tiny_model(frame_phones=True)[0].frame_phone_head
    assert found.middle is not None and head is not None
    inputs = [torch.from_numpy(part) for part in (found.encoded, found.middle)]
    with torch.no_grad():
        logits = head(*inputs, torch.tensor([found.encoded.shape[1]])) - head.prior.log()
        expected = torch.log_softmax(logits, dim=2)[0].numpy()
    for name in manifest.files:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    save_lexicon(tmp_path / LEXICON_NAME, Lexicon("a AH"))
    judge = load_phone_judge(tmp_path, with_lexicon(manifest, tmp_path))
    assert judge is not None
    whole = judge.log_probs(found.encoded, found.middle)
    np.testing.assert_allclose(whole, expected, atol=0.05)
    stream, phones, parts, frames = stream_of(made), PhoneStream(judge), [], 0
    for samples in np.array_split(SAMPLES, 7):
        stream.accept(samples)
        encoded, middle = stream.heard_from(frames)
        frames += encoded.shape[1]
        parts.append(phones.accept(encoded, middle))
    parts.append(phones.accept(found.encoded[:, frames:], found.middle[:, frames:]))
    np.testing.assert_allclose(np.concatenate([*parts, phones.finish()]), whole, atol=1e-4)


def with_lexicon(manifest: Manifest, folder: Path) -> Manifest:
    return replace(manifest, files=describe_files(folder, {*manifest.files, LEXICON_NAME}))


def test_the_tap_costs_no_layer(tiny_int8: Made, made: Made, tmp_path: Path) -> None:
    """What ONNX Runtime makes of the graph is as before, and one transposition more."""
    if made[1].engines["onnx"].precision != "int8":
        pytest.skip("of int8 alone")
    counts = []
    for folder, manifest in (tiny_int8, made):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(str(folder / manifest.engines["onnx"].listener.file), options)
        nodes = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
        counts.append(sorted(node for node in nodes if node != "Transpose"))
    assert counts[0] == counts[1]
    assert Recognizer.load(made[0]).transcribe(SAMPLES).text
