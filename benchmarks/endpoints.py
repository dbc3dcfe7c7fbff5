"""`python -m benchmarks.endpoints`: how long the end is waited for, and what endpointing cuts off."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.command import Progress, Results, execute, measuring_parser, stopwatch
from benchmarks.noise import FloatArray
from benchmarks.output import describe_machine
from benchmarks.recordings import Recording, choose, load_recordings
from benchmarks.scoring import percentile
from edge_las.runtime.detectors import DEFAULT_DETECTOR, DETECTORS, FRAME_S, make_detector
from edge_las.runtime.endpointer import Endpointer, SpeechEnd, SpeechStart
from edge_las.runtime.speech_states import EndpointConfig

_RATE_HZ = 16000
# Around each recording, so that pre-roll and pause have room.
_AROUND_S = 1.2
# Sound within this of the loudest 20 ms counts as said.
_RANGE_DB = 30.0


@dataclass(frozen=True)
class Found:
    """What endpointing made of a recording, in seconds from its beginning.

    waits_s: how long after the last sound the end was known; None where that was another's end or none.
    """

    utterances: tuple[tuple[float, float], ...]
    said: tuple[float, float]
    wait_s: float | None


def said_between(samples: FloatArray) -> tuple[float, float]:
    """Find from when to when anything within 30 dB of the loudest 20 ms is heard."""
    size = round(FRAME_S * _RATE_HZ)
    frames = samples[: samples.size // size * size].reshape(-1, size)
    levels = 10.0 * np.log10(np.einsum("fs,fs->f", frames, frames) + 1e-12)
    loud = np.flatnonzero(levels > levels.max() - _RANGE_DB)
    return float(loud[0]) * FRAME_S, float(loud[-1] + 1) * FRAME_S


def endpoint(samples: FloatArray, detector: str, config: EndpointConfig) -> Found:
    """Run a recording with quiet around it through the endpointer, a frame at a time."""
    quiet = np.random.default_rng(0).normal(0.0, 10 ** (-75 / 20), int(_AROUND_S * _RATE_HZ))
    around = np.concatenate([quiet, samples, quiet]).astype(np.float32)
    endpointer = Endpointer(make_detector(detector, _RATE_HZ), config, _RATE_HZ)
    step = round(FRAME_S * _RATE_HZ)
    starts: list[float] = []
    ends: list[float] = []
    known: list[float] = []
    for start in range(0, around.size, step):
        for item in endpointer.accept(around[start : start + step]):
            if isinstance(item, SpeechStart):
                starts.append(item.time_s - _AROUND_S)
            elif isinstance(item, SpeechEnd):
                ends.append(item.time_s - _AROUND_S)
                known.append((start + step) / _RATE_HZ - _AROUND_S)
    said = said_between(samples)
    wait = known[-1] - said[1] if known and ends[-1] > said[1] else None
    return Found(tuple(zip(starts, ends, strict=False)), said, wait)


def summarize(found: Sequence[Found]) -> Results:
    """Count over recordings; a clip is cut if what was said lies outside the utterances."""
    waits = [item.wait_s for item in found if item.wait_s is not None]
    heard = [item for item in found if item.utterances]
    return {
        "recordings": len(found),
        "missed": len(found) - len(heard),
        "split": sum(len(item.utterances) > 1 for item in heard),
        "begins_late": sum(item.utterances[0][0] > item.said[0] + 1e-6 for item in heard),
        "ends_early": sum(item.utterances[-1][1] < item.said[1] - 1e-6 for item in heard),
        "wait_s": {
            "p50": round(median(waits), 3),
            "p90": round(percentile(waits, 90), 3),
            "p99": round(percentile(waits, 99), 3),
            "max": round(max(waits), 3),
        },
    }


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure each detector on the same recordings."""
    config = EndpointConfig(trailing_silence_s=options.silence, max_utterance_s=60.0)
    chosen = choose(load_recordings(options.speech, _RATE_HZ), "dev", limit=options.limit)
    results: Results = {"kind": "endpoints", "measured_on": describe_machine(), "detectors": {}}
    for detector in options.vad.split(","):
        found = {name: list(_all(rows, detector, config)) for name, rows in chosen.items()}
        everything = [item for items in found.values() for item in items]
        sets = {name: summarize(items) for name, items in found.items()}
        results["detectors"][detector] = {"all": summarize(everything), **sets}
        progress(f"{detector}: done")
    return results


def _all(recordings: Sequence[Recording], detector: str, config: EndpointConfig) -> Iterator[Found]:
    return (endpoint(recording.samples(), detector, config) for recording in recordings)


def show(results: Results) -> None:
    """Print a line for each detector and data set."""
    for detector, sets in results["detectors"].items():
        for name, found in sets.items():
            waits = ", ".join(f"{point} {seconds:.2f}" for point, seconds in found["wait_s"].items())
            counts = ", ".join(
                f"{key} {found[key]}" for key in ("missed", "split", "begins_late", "ends_early")
            )
            print(f"{detector} {name}: {found['recordings']} recordings, wait {waits} s; {counts}")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("endpoints", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--vad", default=DEFAULT_DETECTOR, metavar="LIST", help=f"of {', '.join(DETECTORS)} (the first)")
    add("--silence", type=float, default=EndpointConfig().trailing_silence_s, metavar="S",
        help="pause that ends an utterance")
    add("--limit", type=int, default=100, metavar="N", help="recordings of each data set (100)")
    # fmt: on
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
