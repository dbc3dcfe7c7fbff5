"""`python -m benchmarks.memory`: memory, CPU, cold start and import of fresh processes, one thread."""

import argparse
import statistics
import sys
import tempfile
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.command import Results, execute, measuring_parser
from benchmarks.noise import FloatArray
from benchmarks.output import describe_machine, describe_model
from benchmarks.recordings import Recording, choose, load_recordings
from edge_las.audio import float_to_pcm
from edge_las.runtime.fresh import FreshRun, run_fresh
from edge_las.runtime.recognizer import Recognizer, model_folder

# What a cold start is measured with.
_SHORT_S = 2.0


def of_length(recordings: Iterable[Recording], seconds: float, sample_rate: int) -> FloatArray:
    """Join recordings until they last `seconds`, (S,); if all are too short, over again."""
    wanted, found, sounds = int(seconds * sample_rate), 0, []
    for recording in recordings:
        sounds.append(recording.samples())
        found += sounds[-1].size
        if found >= wanted:
            break
    joined = np.concatenate(sounds)
    return np.resize(joined, wanted).astype(np.float32)


def write_wav(path: Path, samples: FloatArray, sample_rate: int) -> Path:
    """Write samples as 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(float_to_pcm(samples).tobytes())
    return path


def run(options: argparse.Namespace) -> Results:
    """Measure processes that transcribe a short file and longer ones of mixed dev recordings."""
    folder = model_folder(options.model)
    recognizer = Recognizer.load(folder, options.engine, 1)
    rate = recognizer.sample_rate
    settings = options.beam, 1, recognizer.setup.engine.name
    model = describe_model(folder, recognizer.manifest, recognizer.setup.engine.name)
    chosen = choose(load_recordings(options.speech, rate), "dev", limit=60)
    mixed = [r for column in zip(*(_cycled(rows) for rows in chosen.values()), strict=False) for r in column]
    with tempfile.TemporaryDirectory() as scratch:
        short = write_wav(Path(scratch) / "short.wav", of_length(mixed, _SHORT_S, rate), rate)
        starts = [run_fresh([short], folder, *settings) for _ in range(options.repeats)]
        files = {}
        for seconds in map(float, options.seconds.split(",")):
            path = write_wav(Path(scratch) / f"{seconds:g}.wav", of_length(mixed, seconds, rate), rate)
            files[f"{seconds:g}"] = _describe(run_fresh([path], folder, *settings), starts, seconds)
    return {
        "kind": "memory",
        "model": model,
        "measured_on": describe_machine(),
        "threads": 1,
        "beam": options.beam or recognizer.setup.search.beam_size,
        "cold_start_s": _median(run.cold_s for run in starts),
        "import_s": _median(run.import_s for run in starts),
        "peak_mb_2_s": _median(run.peak_mb for run in starts),
        "files": files,
    }


def _cycled(rows: list[Recording]) -> list[Recording]:
    return (rows * 60)[:60]


def _describe(run: FreshRun, starts: list[FreshRun], seconds: float) -> dict[str, float]:
    """Take the start off, as the short file's process shows it: what is left is the price of recognition."""
    cpu_s = run.cpu_s - statistics.median(start.cpu_s for start in starts)
    return {
        "seconds": seconds,
        "peak_mb": round(run.peak_mb, 1),
        "cpu_s": round(run.cpu_s, 2),
        "cpu_s_per_audio_s": round(cpu_s / (seconds - _SHORT_S), 5),
        "times_real_time": round((seconds - _SHORT_S) / max(cpu_s, 1e-9), 1),
    }


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


def show(results: Results) -> None:
    """Print the figures."""
    print(f"cold start {results['cold_start_s']} s, import {results['import_s']} s")
    for name, found in results["files"].items():
        print(f"{name} s: peak {found['peak_mb']} MB, {found['times_real_time']} times real time")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("memory", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--seconds", default="60,300", metavar="LIST", help="lengths of the longer files (60,300)")
    add("--beam", type=int, metavar="N", help="hypotheses kept (default: the model's)")
    add("--repeats", type=int, default=5, metavar="N", help="cold starts (5)")
    # fmt: on
    return execute(parser, arguments, run, show)


if __name__ == "__main__":
    sys.exit(main())
