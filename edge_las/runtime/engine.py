"""What the runtime asks of an inference engine, and the choice of one."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_las.errors import ArtifactError, ConfigError, DeviceError, one_line
from edge_las.manifest import EngineEntry, GraphEntry, TensorSpec

Array = npt.NDArray[Any]
State = dict[str, Array]
Listened = tuple[Array, Array, Array, Array | None, list[Array]]
Shape = tuple[int | None, ...]

# Engines in the order of preference: the module and class, and the extra that installs the package.
_ENGINES = {
    "onnx": ("edge_las.runtime.onnx_engine:OnnxEngine", "onnx"),
    "tflite": ("edge_las.runtime.tflite_engine:TfliteEngine", "tflite"),
}
# Far above the cores of any board, far below what a system refuses.
_MOST_THREADS = 256


class Engine(Protocol):
    """Runs the two graphs of an artifact; holds no state of any utterance, so threads may share it."""

    name: str

    def listener_chunk(self, features: Array, states: list[Array]) -> Listened:
        """Run features (1, chunk_frames, n_mels) through the Listener.

        Returns encoded (1, c, E), keys (1, c, A), CTC log probs (1, c, V), middle (1, c, M), or None if the
        graph gives none, and the next states; c = chunk_frames / subsampling.
        """
        ...

    def speller_step(
        self, token: Array, encoded: Array, keys: Array, mask: Array, state: State
    ) -> tuple[Array, State]:
        """Run one Speller step: token (B,), encoded (1, T, E), keys (1, T, A), mask (1, T), 1 = valid.

        Returns log probs (B, V) and the next state.
        """
        ...


def load_engine(
    name: str,
    folder: Path,
    engines: dict[str, EngineEntry],
    threads: int,
    providers: tuple[str, ...] = (),
) -> Engine:
    """Load the graphs of a verified artifact; 'auto' takes the first engine served and installed.

    providers are ONNX Runtime's execution providers, in order of preference, and need engine 'onnx'.

    Raises: DeviceError saying what to install, ArtifactError naming a graph that does not load, ConfigError.
    """
    check_threads(threads)
    if name != "auto":
        if name not in _ENGINES:
            raise DeviceError(f"engine {name!r} is unknown, must be auto or {' or '.join(_ENGINES)}")
        if name not in engines:
            raise ArtifactError(f"{folder}: has no graphs for engine {name}, only for {', '.join(engines)}")
        return _load(name, folder, engines[name], threads, providers)
    usable = [candidate for candidate in _ENGINES if candidate in engines]
    if not usable:
        raise ArtifactError(
            f"{folder}: has graphs for {', '.join(engines)} only, which this edge-las cannot run"
        )
    for candidate in usable[:-1]:
        try:
            return _load(candidate, folder, engines[candidate], threads)
        except DeviceError:
            continue
    return _load(usable[-1], folder, engines[usable[-1]], threads)


def check_threads(threads: int) -> None:
    """Raise ConfigError for a number of engine threads that is none: many thousands would take for ever."""
    if not 1 <= threads <= _MOST_THREADS:
        raise ConfigError(f"threads is {threads}, must be 1 to {_MOST_THREADS}")


def _load(
    name: str, folder: Path, entry: EngineEntry, threads: int, providers: tuple[str, ...] = ()
) -> Engine:
    target, extra = _ENGINES[name]
    module_name, _, class_name = target.partition(":")
    try:
        make = getattr(importlib.import_module(module_name), class_name)
        more = (providers,) if providers else ()
        engine: Engine = make(folder, entry, threads, *more)
    except ImportError as error:
        advice = f"pip install edge-las[{extra}] ({one_line(error)})"
        raise DeviceError(f"engine {name} is not installed: {advice}") from None
    return engine


def listener_states(graph: GraphEntry) -> list[Array]:
    """Make the Listener's initial states, all zeros, in the order of the graph's inputs."""
    return [_zeros(tensor) for tensor in graph.inputs if tensor.name != "features"]


def speller_state(graph: GraphEntry, frames: int) -> State:
    """Make the Speller's initial state of one hypothesis over `frames` encoded frames: all zeros."""
    state = {}
    for name in ("hidden", "cell", "context", "alignment"):
        tensor = graph.tensor(name)
        assert tensor is not None
        width = frames if name == "alignment" else tensor.shape[-1]
        state[name] = np.zeros((1, width or 0), dtype=tensor.dtype)
    return state


def _zeros(tensor: TensorSpec) -> Array:
    return np.zeros([size or 1 for size in tensor.shape], dtype=tensor.dtype)


class EngineSpeller:
    """The Speller of one utterance for the search: an engine bound to its encoded frames.

    encoded is (1, T, E), keys (1, T, A).
    """

    def __init__(self, engine: Engine, graph: GraphEntry, encoded: Array, keys: Array) -> None:
        self._engine = engine
        self._graph = graph
        self._encoded = encoded
        self._keys = keys
        self._mask = np.ones(encoded.shape[:2], dtype=np.float32)

    def initial_state(self) -> State:
        """Return the state of one hypothesis."""
        return speller_state(self._graph, self._encoded.shape[1])

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """Run one step for all hypotheses."""
        return self._engine.speller_step(tokens, self._encoded, self._keys, self._mask, state)


def check_tensors(
    where: str,
    kind: str,
    expected: Iterable[TensorSpec],
    found: Mapping[str, tuple[str, Shape]],
    fits: Callable[[int | None, int | None], bool],
) -> None:
    """Compare the inputs or outputs (`kind`) of a graph, by name, dtype and shape, with the manifest's.

    fits tells whether a size found goes with one expected; None is one that is left open.
    Raises: ArtifactError beginning with `where` and naming the tensor.
    """
    specs = {spec.name: spec for spec in expected}
    for name in found.keys() - specs.keys():
        raise ArtifactError(f"{where}: {kind} {name} is not in manifest.json")
    for name, spec in specs.items():
        if name not in found:
            raise ArtifactError(f"{where}: has no {kind} {name}, which manifest.json names")
        dtype, shape = found[name]
        if dtype != spec.dtype or len(shape) != len(spec.shape) or not all(map(fits, shape, spec.shape)):
            shown = f"{dtype} {_shown(shape)}, manifest.json says {spec.dtype} {_shown(spec.shape)}"
            raise ArtifactError(f"{where}: {kind} {name} is {shown}")


def _shown(shape: Shape) -> str:
    return "x".join("?" if size is None else str(size) for size in shape)
