"""The program whose instructions are counted; runs on an emulated board, where only edge-las is installed.

python instruction_stages.py MODEL ENGINE RECORDING prints JSON: for each stage, in the order of the markers,
its name and how many units (seconds of audio, or steps) lie between its two markers.
"""

import ctypes
import gc
import json
import sys
from collections.abc import Callable

import numpy as np

from edge_las.audio import read_audio
from edge_las.features import FloatArray, StreamingLogMel, log_mel
from edge_las.runtime.engine import EngineSpeller, listener_states
from edge_las.runtime.listener_stream import ListenerStream
from edge_las.runtime.recognizer import Recognizer
from edge_las.runtime.spelling import free_search
from edge_las.runtime.stages import blocks

# What the plug-in looks for: see instruction_counter.c.
_MARKER = 0x51434E54
_STEPS = 20
# Encoded frames that the Speller looks at: two seconds.
_FRAMES = 50
BATCHES = (1, 4)


class Stages:
    """Runs stages between markers."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self.units: list[tuple[str, float]] = []

    def count(self, name: str, units: float, stage: Callable[[], object]) -> None:
        """Run a stage once unseen, so that nothing is done for the first time, and once between markers."""
        stage()
        # Or a collection of what others have left falls into one run and not into the next: up to 2 %.
        gc.collect()
        gc.freeze()
        self._mark()
        stage()
        self._mark()
        self.units.append((name, units))

    def _mark(self) -> None:
        self._libc.prctl(_MARKER, len(self.units), 0, 0, 0)


def count_listening(stages: Stages, recognizer: Recognizer, samples: FloatArray) -> None:
    """Count features, Listener, and both as the runtime runs them, on whole chunks of samples (S,)."""
    manifest, engine = recognizer.manifest, recognizer.setup.engine
    frames, hop = manifest.listener.chunk_frames, manifest.features.hop_length
    chunks = samples.size // (frames * hop)
    heard = list(blocks(samples[: chunks * frames * hop], frames * hop))
    padding = np.zeros(manifest.features.win_length, dtype=np.float32)
    features = log_mel(np.concatenate([*heard, padding]), manifest.features)[: chunks * frames]

    def make_features() -> None:
        log_mel_stream = StreamingLogMel(manifest.features)
        for samples in heard:
            log_mel_stream.accept(samples)

    def listen() -> None:
        states = listener_states(manifest.engines[engine.name].listener)
        for chunk in features.reshape(chunks, 1, frames, -1):
            *_, states = engine.listener_chunk(chunk, states)

    def stream() -> None:
        stream = ListenerStream(engine, manifest)
        for samples in [*heard, padding]:
            stream.accept(samples)

    seconds = chunks * frames * hop / recognizer.sample_rate
    stages.count("features", seconds, make_features)
    stages.count("listener", seconds, listen)
    stages.count("streaming", seconds, stream)


def count_search(stages: Stages, recognizers: list[Recognizer], samples: FloatArray) -> None:
    """Count the search that goes on while a model listens to samples (S,), if it does.

    Each of two recognizers, the same model, is asked once: what a language model was asked it remembers.
    """
    manifest = recognizers[0].manifest
    listener = ListenerStream(recognizers[0].setup.engine, manifest)
    listener.accept(samples)
    frames = len(listener.ctc_log_probs(0))
    searches = [free_search(recognizer.setup) for recognizer in recognizers]

    def seek() -> None:
        search = searches.pop()
        assert search is not None
        search.listen(listener)

    if None not in searches:
        stages.count("search", frames * recognizers[0].setup.frame_s, seek)


def count_spelling(stages: Stages, recognizer: Recognizer) -> None:
    """Count steps of the Speller for each batch."""
    manifest, engine = recognizer.manifest, recognizer.setup.engine
    graph = manifest.engines[engine.name].speller
    widths = [tensor.shape[-1] or 0 for name in ("encoded", "keys") if (tensor := graph.tensor(name))]
    encoded, keys = (np.full((1, _FRAMES, width), 0.1, dtype=np.float32) for width in widths)
    speller = EngineSpeller(engine, graph, encoded, keys)
    for batch in BATCHES:
        tokens = np.full(batch, manifest.tokens.sos_id)
        start = {name: np.repeat(array, batch, axis=0) for name, array in speller.initial_state().items()}

        def spell(tokens: np.ndarray = tokens, start: dict[str, np.ndarray] = start) -> None:
            state = start
            for _ in range(_STEPS):
                _, state = speller.step(tokens, state)

        stages.count(f"speller_step_{batch}", _STEPS, spell)


def main(model: str, engine: str, recording: str) -> None:
    """Run all stages and print their units."""
    recognizer = Recognizer.load(model, engine)
    stages = Stages()
    # What the markers themselves cost.
    stages.count("nothing", 1, lambda: None)
    samples = read_audio(recording, recognizer.sample_rate)
    count_listening(stages, recognizer, samples)
    count_search(stages, [recognizer, Recognizer.load(model, engine)], samples)
    count_spelling(stages, recognizer)
    print(json.dumps(stages.units))


if __name__ == "__main__":
    main(*sys.argv[1:])
