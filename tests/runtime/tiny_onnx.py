"""A recognizer of a few random matrices as ONNX graphs, beside the same in numpy; it knows no language."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_las.artifact import GraphEntry, Manifest, TensorSpec, describe_files, write_manifest
from edge_las.manifest import EngineEntry, ListenerEntry, TokensEntry
from edge_las.tokens import TokenTable
from tests.runtime import tone_engine

CHUNK, FRAMES, MELS, E, A, V = 32, 8, 64, 12, 6, 9
TABLE = TokenTable.from_subwords(["▁a", "▁b", "c", "d", "e"], [-1.0] * 5)
_rng = np.random.default_rng(0)
WEIGHTS = {
    name: (_rng.standard_normal(shape) * scale).astype(np.float32)
    for name, shape, scale in (
        ("listen", (4 * MELS, E), 0.05),
        ("key", (E, A), 0.5),
        ("ctc", (E, V), 0.5),
        ("embedding", (V, A), 1.0),
        ("spell", (E + A, V), 1.0),
    )
}


def listener_in_numpy(features, state):
    """The Listener's graph: encoded (1, 8, E), keys, CTC log probs, next state (1, 1, E)."""
    encoded = np.tanh(features.reshape(1, FRAMES, 4 * MELS) @ WEIGHTS["listen"] + state)
    logits = encoded @ WEIGHTS["ctc"]
    ctc = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    return encoded, encoded @ WEIGHTS["key"], ctc, encoded.mean(axis=1, keepdims=True)


def speller_in_numpy(token, encoded, keys, mask, state):
    """The Speller's graph: log probs (B, V) and the next state."""
    hidden = np.tanh(WEIGHTS["embedding"][token] + state["hidden"])
    energy = hidden @ keys[0].T - 30.0 * (1.0 - mask)
    alignment = np.exp(energy) / np.exp(energy).sum(axis=1, keepdims=True)
    context = alignment @ encoded[0]
    logits = np.concatenate([context, hidden], axis=1) @ WEIGHTS["spell"]
    log_probs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    return log_probs, {"hidden": hidden, "cell": state["cell"], "context": context, "alignment": alignment}


def _value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def _save(path: Path, nodes, inputs, outputs, constants) -> None:
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def save_listener(path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("Reshape", ["features", "rows"], ["stacked"]),
        node("MatMul", ["stacked", "listen"], ["heard"]),
        node("Add", ["heard", "state_0"], ["summed"]),
        node("Tanh", ["summed"], ["encoded"]),
        node("MatMul", ["encoded", "key"], ["keys"]),
        node("MatMul", ["encoded", "ctc"], ["logits"]),
        node("LogSoftmax", ["logits"], ["ctc_log_probs"], axis=-1),
        node("ReduceMean", ["encoded", "time"], ["next_state_0"]),
    ]
    inputs = [_value("features", [1, CHUNK, MELS]), _value("state_0", [1, 1, E])]
    outputs = [
        _value("encoded", [1, FRAMES, E]),
        _value("keys", [1, FRAMES, A]),
        _value("ctc_log_probs", [1, FRAMES, V]),
        _value("next_state_0", [1, 1, E]),
    ]
    constants = {name: WEIGHTS[name] for name in ("listen", "key", "ctc")}
    constants |= {"rows": np.array([1, FRAMES, 4 * MELS]), "time": np.array([1])}
    _save(path, nodes, inputs, outputs, constants)


def save_speller(path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("Gather", ["embedding", "token"], ["embedded"]),
        node("Add", ["embedded", "hidden"], ["summed"]),
        node("Tanh", ["summed"], ["next_hidden"]),
        node("Identity", ["cell"], ["next_cell"]),
        node("Squeeze", ["keys", "first"], ["flat_keys"]),
        node("Transpose", ["flat_keys"], ["turned_keys"]),
        node("MatMul", ["next_hidden", "turned_keys"], ["match"]),
        node("Sub", ["one", "mask"], ["padding"]),
        node("Mul", ["padding", "thirty"], ["penalty"]),
        node("Sub", ["match", "penalty"], ["energy"]),
        node("Softmax", ["energy"], ["weights"], axis=-1),
        node("Mul", ["alignment", "zero"], ["unused"]),
        node("Add", ["weights", "unused"], ["next_alignment"]),
        node("Squeeze", ["encoded", "first"], ["flat"]),
        node("MatMul", ["weights", "flat"], ["glimpse"]),
        node("Mul", ["context", "zero"], ["unused_context"]),
        node("Add", ["glimpse", "unused_context"], ["next_context"]),
        node("Concat", ["next_context", "next_hidden"], ["both"], axis=1),
        node("MatMul", ["both", "spell"], ["logits"]),
        node("LogSoftmax", ["logits"], ["log_probs"], axis=-1),
    ]
    states = {"hidden": A, "cell": 1, "context": E, "alignment": "T"}
    inputs = [_value("token", ["B"], TensorProto.INT64), _value("encoded", [1, "T", E])]
    inputs += [_value("keys", [1, "T", A]), _value("mask", [1, "T"])]
    inputs += [_value(name, ["B", size]) for name, size in states.items()]
    outputs = [_value("log_probs", ["B", V])]
    outputs += [_value(f"next_{name}", ["B", size]) for name, size in states.items()]
    constants = {name: WEIGHTS[name] for name in ("embedding", "spell")} | {"first": np.array([0])}
    numbers = {"zero": 0.0, "one": 1.0, "thirty": 30.0}
    constants |= {name: np.array(number, dtype=np.float32) for name, number in numbers.items()}
    _save(path, nodes, inputs, outputs, constants)


def manifest() -> Manifest:
    def tensors(*pairs):
        return tuple(
            TensorSpec(name, "int64" if name == "token" else "float32", shape, None, None)
            for name, shape in pairs
        )

    states = (("hidden", A), ("cell", 1), ("context", E), ("alignment", None))
    listener = GraphEntry(
        "listener.onnx",
        tensors(("features", (1, CHUNK, MELS)), ("state_0", (1, 1, E))),
        tensors(
            ("encoded", (1, FRAMES, E)),
            ("keys", (1, FRAMES, A)),
            ("ctc_log_probs", (1, FRAMES, V)),
            ("next_state_0", (1, 1, E)),
        ),
    )
    speller = GraphEntry(
        "speller.onnx",
        tensors(
            ("token", (None,)),
            ("encoded", (1, None, E)),
            ("keys", (1, None, A)),
            ("mask", (1, None)),
            *((name, (None, size)) for name, size in states),
        ),
        tensors(("log_probs", (None, V)), *((f"next_{name}", (None, size)) for name, size in states)),
    )
    return replace(
        tone_engine.manifest(),
        name="tiny",
        tokens=TokensEntry("tokens.txt", V, 0, 1, 2, 3),
        listener=ListenerEntry(CHUNK, 4, 2, 3200, E),
        search={"gate_min_ctc_tokens": 0.0, "gate_min_confidence": 0.0, "eos_threshold": 3.0},
        engines={"onnx": EngineEntry("float", listener, speller)},
    )


def write_artifact(folder: Path) -> Path:
    """Write a whole artifact that any engine for ONNX can run."""
    folder.mkdir(parents=True)
    TABLE.save(folder / "tokens.txt")
    save_listener(folder / "listener.onnx")
    save_speller(folder / "speller.onnx")
    described = manifest()
    write_manifest(folder, replace(described, files=describe_files(folder, described.files)))
    return folder
