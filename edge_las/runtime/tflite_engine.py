"""LiteRT on the CPU, or the older TFLite runtime: fixed sizes, so calls are padded to the next signature."""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from edge_las.errors import ArtifactError, one_line
from edge_las.manifest import EngineEntry, GraphEntry
from edge_las.runtime.engine import Array, Listened, Shape, State, check_tensors

_STATES = ("hidden", "cell", "context", "alignment")


class TfliteEngine:
    """Both graphs of an artifact in TFLite interpreters."""

    name = "tflite"

    def __init__(self, folder: Path, entry: EngineEntry, threads: int) -> None:
        """Raises: ImportError without a TFLite package, ArtifactError naming the graph that does not fit."""
        interpreter = _interpreter_class()
        self._listener = _Graph(interpreter, folder, entry.listener, threads)
        self._speller = _Graph(interpreter, folder, entry.speller, threads)
        self._states = [tensor.name for tensor in entry.listener.inputs if tensor.name.startswith("state_")]
        self._states.sort(key=lambda name: int(name.removeprefix("state_")))
        self._sizes = _speller_sizes(entry.speller.file, self._speller.shapes)

    def listener_chunk(self, features: Array, states: list[Array]) -> Listened:
        """Run one chunk of features (1, chunk_frames, n_mels)."""
        inputs = {"features": features, **dict(zip(self._states, states, strict=True))}
        found = self._listener.run(next(iter(self._listener.shapes)), inputs)
        after = [found[f"next_{name}"] for name in self._states]
        return found["encoded"], found["keys"], found["ctc_log_probs"], found.get("middle"), after

    def speller_step(
        self, token: Array, encoded: Array, keys: Array, mask: Array, state: State
    ) -> tuple[Array, State]:
        """Run one step for B hypotheses over shared encoded frames; more than the file serves go in turns."""
        most = max(batch for batch, _ in self._sizes)
        parts = []
        for start in range(0, len(token), most):
            rows = slice(start, start + most)
            inputs = {"token": token[rows], "encoded": encoded, "keys": keys, "mask": mask}
            parts.append(self._step({**inputs, **{name: array[rows] for name, array in state.items()}}))
        joined = parts[0] if len(parts) == 1 else {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
        return joined["log_probs"], {name: joined[f"next_{name}"] for name in _STATES}

    def _step(self, inputs: dict[str, Array]) -> dict[str, Array]:
        batch, frames = inputs["alignment"].shape
        size = next((size for size in self._sizes if size[0] >= batch and size[1] >= frames), None)
        if size is None:
            longest = max(frames for _, frames in self._sizes)
            raise ArtifactError(f"{self._speller.file}: takes {longest} encoded frames at most, not {frames}")
        found = self._speller.run(self._sizes[size], inputs)
        found = {name: array[:batch] for name, array in found.items()}
        found["next_alignment"] = found["next_alignment"][:, :frames]
        return found


class _Graph:
    """A file and a buffer for each of its inputs; one call at a time, whatever thread it comes from."""

    def __init__(self, interpreter: Any, folder: Path, entry: GraphEntry, threads: int) -> None:
        self.file = str(folder / entry.file)
        self._lock = threading.Lock()
        try:
            self._interpreter = interpreter(model_path=self.file, num_threads=threads)
            signatures = self._interpreter.get_signature_list()
            self._runners = {name: self._interpreter.get_signature_runner(name) for name in signatures}
        except Exception as error:  # the runtimes raise ValueError, RuntimeError and others
            raise ArtifactError(f"{self.file}: TFLite cannot load it: {one_line(error)}") from None
        if not self._runners:
            raise ArtifactError(f"{self.file}: has no signature")
        for name, runner in self._runners.items():
            where = f"{self.file}: {name}"
            check_tensors(where, "input", entry.inputs, _described(runner.get_input_details()), _fits)
            check_tensors(where, "output", entry.outputs, _described(runner.get_output_details()), _fits)
        for tensor in (*entry.inputs, *entry.outputs):
            if tensor.scale is not None:
                raise ArtifactError(f"{self.file}: {tensor.name} is quantized: only float tensors are served")
        self._buffers: dict[str, dict[str, Array]] = {name: {} for name in self._runners}
        self.shapes = {name: _shapes(runner.get_input_details()) for name, runner in self._runners.items()}

    def run(self, signature: str, inputs: dict[str, Array]) -> dict[str, Array]:
        """Pad inputs to the signature's sizes with zeros and run it."""
        shapes, buffers = self.shapes[signature], self._buffers[signature]
        with self._lock:
            fed = {name: self._fitted(buffers, name, inputs[name], shapes[name]) for name in shapes}
            try:
                found: dict[str, Array] = self._runners[signature](**fed)
            except (ValueError, RuntimeError) as error:
                message = f"{self.file}: {signature} does not run: {one_line(error)}"
                raise ArtifactError(message) from None
        return found

    def _fitted(
        self, buffers: dict[str, Array], name: str, array: Array, size: tuple[tuple[int, ...], Any]
    ) -> Array:
        shape, dtype = size
        if array.shape == shape and array.dtype == dtype:
            return np.ascontiguousarray(array)
        if name not in buffers:
            buffers[name] = np.zeros(shape, dtype=dtype)
        buffer = buffers[name]
        buffer[...] = 0
        buffer[tuple(slice(0, length) for length in array.shape)] = array
        return buffer


def _interpreter_class() -> Any:
    """Find an interpreter: ai-edge-litert, or else tflite-runtime.

    Raises: ImportError if neither can be used.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter

        if int(np.__version__.partition(".")[0]) >= 2:
            # It imports, and dies at the first interpreter.
            advice = "tflite-runtime needs numpy below 2: pip install edge-las[tflite-legacy]"
            raise ImportError(advice) from None
    return Interpreter


def _shapes(details: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], Any]]:
    return {
        name: (tuple(map(int, found["shape"])), np.dtype(found["dtype"])) for name, found in details.items()
    }


def _speller_sizes(file: str, shapes: dict[str, Any]) -> dict[tuple[int, int], str]:
    """Order the Speller's signatures by size: (batch, frames) -> name."""
    sizes = {signature: found["alignment"][0] for signature, found in shapes.items()}
    for signature, size in sizes.items():
        if len(size) != 2:
            raise ArtifactError(f"{file}: {signature}: alignment has {len(size)} dimensions, must have 2")
    return {(size[0], size[1]): name for name, size in sorted(sizes.items(), key=lambda item: item[1])}


def _described(details: dict[str, Any]) -> dict[str, tuple[str, Shape]]:
    return {
        name: (np.dtype(found["dtype"]).name, tuple(map(int, found["shape"])))
        for name, found in details.items()
    }


def _fits(found: int | None, expected: int | None) -> bool:
    # Each signature fixes sizes that the manifest leaves open.
    return expected in (None, found)
