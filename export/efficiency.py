"""The gate's part on speed: what was quantized must run in int8 kernels, and faster than float."""

import time
from pathlib import Path

import numpy as np

from edge_las.manifest import EngineEntry
from edge_las.runtime.engine import listener_states
from export.kernels import unfused_layers
from export.parity import Form, ParityConfig, ParityError

_CALLS = 40


def check_kernels(label: str, folder: Path, entry: EngineEntry) -> None:
    """Raise ParityError where ONNX Runtime runs quantized layers in float, between conversions."""
    for graph in (entry.listener, entry.speller):
        unfused, quantized = unfused_layers(folder / graph.file)
        if unfused:
            raise ParityError(
                f"{label}: {graph.file}: {unfused} of {quantized} quantized layers run in float kernels"
            )


def check_speed(float_form: Form, form: Form, config: ParityConfig) -> float:
    """Return how many times as fast as float the int8 Listener is: never the same, so not for the manifest.

    Raises: ParityError if that is less than `config` asks for.
    """
    slow, fast = np.inf, np.inf
    for _ in range(_CALLS):
        # In turns, and the fastest of each: what else the machine does slows both down.
        slow, fast = min(slow, _chunk_s(float_form)), min(fast, _chunk_s(form))
    if slow < config.min_speedup * fast:
        raise ParityError(
            f"{form.label}: a Listener chunk takes {1000 * fast:.2f} ms, {1000 * slow:.2f} in float: "
            f"needed is {config.min_speedup:g} times as fast"
        )
    return float(slow / fast)


def _chunk_s(form: Form) -> float:
    entry = form.manifest.engines[form.engine.name].listener
    features = np.zeros(
        (1, form.manifest.listener.chunk_frames, form.manifest.features.n_mels), dtype=np.float32
    )
    started = time.perf_counter()
    form.engine.listener_chunk(features, listener_states(entry))
    return time.perf_counter() - started
