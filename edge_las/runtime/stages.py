"""How long each stage takes: features, Listener chunk, Speller step, search, delay at the end."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from edge_las.artifact import Manifest
from edge_las.features import StreamingLogMel
from edge_las.runtime.engine import Array, Engine, Listened, State
from edge_las.runtime.recognizer import Recognizer

FloatArray = npt.NDArray[np.float32]

# In the order of work; delay is from the last sample to the text, end_to_end the work for a whole recording.
STAGES = ("features", "listener_chunk", "speller_step", "search", "delay", "end_to_end")
# As long as what a microphone hands over at once.
_BLOCK_S = 0.25


class TimedEngine:
    """An engine that writes down how long each call took, in ms."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self.listener_ms: list[float] = []
        self.speller_ms: list[float] = []
        self.listener_ended = 0.0

    def listener_chunk(self, features: Array, states: list[Array]) -> Listened:
        """Run and time one chunk."""
        started = time.perf_counter()
        outputs = self._engine.listener_chunk(features, states)
        self.listener_ended = time.perf_counter()
        self.listener_ms.append(1000.0 * (self.listener_ended - started))
        return outputs

    def speller_step(
        self, token: Array, encoded: Array, keys: Array, mask: Array, state: State
    ) -> tuple[Array, State]:
        """Run and time one step."""
        started = time.perf_counter()
        outputs = self._engine.speller_step(token, encoded, keys, mask, state)
        self.speller_ms.append(_ms_since(started))
        return outputs


@dataclass
class StageTimes:
    """All times of a measurement in ms by stage, and the seconds of audio and of work behind them."""

    ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in STAGES})
    audio_s: float = 0.0
    busy_s: float = 0.0
    cpu_s: float = 0.0

    def summary(self) -> dict[str, dict[str, float]]:
        """Give count, p50, p95 and p99 of every stage that was run."""
        return {
            name: {
                "count": len(values),
                **{f"p{p}_ms": round(float(np.percentile(values, p)), 4) for p in (50, 95, 99)},
            }
            for name, values in self.ms.items()
            if values
        }


def measure_stages(
    recognizer: Recognizer, clips: Sequence[FloatArray], repeats: int = 3, warm_ups: int = 1
) -> StageTimes:
    """Recognize clips (S,) again and again, the first `warm_ups` rounds not counting.

    "search" is all that follows the last Listener chunk but the Speller's steps: of a whole utterance.
    """
    timed = TimedEngine(recognizer.setup.engine)
    timed_recognizer = Recognizer(replace(recognizer.setup, engine=timed))
    times = StageTimes()
    for number in range(warm_ups + repeats):
        if number == warm_ups:
            times = StageTimes()
        for samples in clips:
            _measure_features(samples, recognizer.manifest, times)
            _measure_clip(timed_recognizer, timed, samples, times)
    return times


def _measure_clip(recognizer: Recognizer, timed: TimedEngine, samples: FloatArray, times: StageTimes) -> None:
    timed.listener_ms.clear()
    timed.speller_ms.clear()
    cpu_started = time.process_time()
    utterance = recognizer.utterance()
    started = time.perf_counter()
    for block in blocks(samples, int(_BLOCK_S * recognizer.sample_rate)):
        utterance.accept(block)
    result = utterance.finish()
    search_ms = _ms_since(timed.listener_ended) - sum(timed.speller_ms)
    work_ms = _ms_since(started)
    times.cpu_s += time.process_time() - cpu_started
    times.ms["listener_chunk"] += timed.listener_ms
    times.ms["speller_step"] += timed.speller_ms
    if timed.speller_ms:
        times.ms["search"].append(search_ms)
    times.ms["delay"].append(result.latency_ms)
    times.ms["end_to_end"].append(work_ms)
    times.busy_s += work_ms / 1000.0
    times.audio_s += result.duration_s


def _measure_features(samples: FloatArray, manifest: Manifest, times: StageTimes) -> None:
    """Time the features of each stretch that makes one Listener chunk."""
    log_mel = StreamingLogMel(manifest.features)
    for block in blocks(samples, manifest.listener.chunk_frames * manifest.features.hop_length):
        started = time.perf_counter()
        log_mel.accept(block)
        times.ms["features"].append(_ms_since(started))


def blocks(samples: FloatArray, size: int) -> Iterable[FloatArray]:
    """Cut samples (S,) into blocks of `size`."""
    return (samples[start : start + size] for start in range(0, samples.size, size))


def _ms_since(started: float) -> float:
    return 1000.0 * (time.perf_counter() - started)
