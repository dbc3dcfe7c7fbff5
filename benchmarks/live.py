"""`python -m benchmarks.live`: the live loop on dev recordings: delay, partial text, noise."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.command import Progress, Results, add_limits, execute, measuring_parser, stopwatch
from benchmarks.noise import FloatArray, load_noises
from benchmarks.output import describe_machine, describe_model
from benchmarks.recordings import choose, load_recordings
from benchmarks.scoring import percentile
from edge_las.metrics import measure
from edge_las.runtime.detectors import DEFAULT_DETECTOR, DETECTORS, make_detector
from edge_las.runtime.endpointer import Endpointer
from edge_las.runtime.live import Event, Session
from edge_las.runtime.recognizer import Recognizer, model_folder
from edge_las.runtime.sources import BLOCK_S, Block
from edge_las.runtime.speech_states import EndpointConfig

# Around each recording: what a microphone hears before anyone speaks, and room for the pause.
_AROUND_S = 1.0
_QUIET_DBFS = -75.0


@dataclass
class Shown:
    """The texts that were shown of one utterance: partial ones in their order, then the final one."""

    partials: list[str] = field(default_factory=list)
    final: str = ""


def changed_words(shown: Shown) -> tuple[int, int]:
    """Count words that a later partial text took back, and all that were shown; a word may grow."""
    taken_back = words = 0
    before: list[str] = []
    for text in shown.partials:
        now = text.split()
        kept = 0
        for old, new in zip(before, now, strict=False):
            if old != new and not (kept == len(before) - 1 and new.startswith(old)):
                break
            kept += 1
        taken_back += len(before) - kept
        words += max(0, len(now) - kept)
        before = now
    return taken_back, words


def run_loop(recognizer: Recognizer, samples: FloatArray, vad: str) -> list[Event]:
    """Put samples (S,) through the live loop; return all events."""
    config = EndpointConfig(max_utterance_s=recognizer.manifest.speller.max_utterance_s)
    endpointer = Endpointer(make_detector(vad, recognizer.sample_rate), config, recognizer.sample_rate)
    events: list[Event] = []
    session = Session(recognizer, endpointer, events.append)
    size = int(BLOCK_S * recognizer.sample_rate)
    for start in range(0, samples.size, size):
        session.accept(Block(samples[start : start + size]))
    session.finish()
    return events


def utterances(events: list[Event]) -> Iterator[tuple[Shown, Event]]:
    """Pair what was shown of each utterance with its final event."""
    shown = Shown()
    for event in events:
        if event["event"] == "partial":
            shown.partials.append(event["text"])
        elif event["event"] == "final":
            shown.final = event["text"]
            yield shown, event
            shown = Shown()


def measure_set(recognizer: Recognizer, recordings: list[Any], vad: str) -> Results:
    """Run recordings with quiet around them; count over all of their utterances."""
    quiet = np.random.default_rng(0).normal(
        0.0, 10 ** (_QUIET_DBFS / 20), int(_AROUND_S * recognizer.sample_rate)
    )
    taken_back = words = differ = 0
    delays: list[float] = []
    texts: list[str] = []
    for recording in recordings:
        around = np.concatenate([quiet, recording.samples(), quiet]).astype(np.float32)
        parts = list(utterances(run_loop(recognizer, around, vad)))
        texts.append(" ".join(shown.final for shown, _ in parts if shown.final))
        for shown, event in parts:
            delays.append(event["latency_ms"])
            back, seen = changed_words(shown)
            taken_back, words = taken_back + back, words + seen
            last = shown.partials[-1] if shown.partials else ""
            differ += sum(a != b for a, b in zip(last.split(), shown.final.split(), strict=False))
    return {
        "recordings": len(recordings),
        "utterances": len(delays),
        "wer": round(measure([recording.text for recording in recordings], texts).wer, 4),
        "delay_ms_p50": round(median(delays), 2) if delays else None,
        "delay_ms_p95": round(percentile(delays, 95), 2) if delays else None,
        "partial_words": words,
        "partial_words_taken_back": taken_back,
        "partial_words_other_than_final": differ,
    }


def measure_noise(recognizer: Recognizer, noises: Mapping[str, FloatArray], vad: str) -> Results:
    """Run each noise whole; count what was shown though nobody spoke."""
    found: dict[str, Any] = {"seconds": 0.0, "utterances": 0, "partials": 0, "texts": []}
    silence = np.zeros(60 * recognizer.sample_rate, dtype=np.float32)
    for name, noise in {**noises, "digital_silence": silence}.items():
        found["seconds"] += round(noise.size / recognizer.sample_rate, 1)
        for shown, event in utterances(run_loop(recognizer, noise, vad)):
            found["utterances"] += 1
            found["partials"] += bool(shown.partials)
            if shown.final or shown.partials:
                found["texts"].append(f"{name} at {event['start_s']} s: {shown.final} {shown.partials[-1:]}")
    found["with_text"] = sum(": [" not in text for text in found["texts"])
    return found


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure as the options say."""
    folder = model_folder(options.model)
    recognizer = Recognizer.load(folder, options.engine, 1, options.beam)
    results: Results = {
        "kind": "live",
        "model": describe_model(folder, recognizer.manifest, recognizer.setup.engine.name),
        "measured_on": describe_machine(),
        "sets": {},
    }
    if options.noise:
        noises = load_noises(options.noise, recognizer.sample_rate)
        results["noise"] = measure_noise(recognizer, noises, options.vad)
        progress(f"noise: {results['noise']}")
    chosen = choose(load_recordings(options.speech, recognizer.sample_rate), "dev", limit=options.limit)
    for name, recordings in chosen.items():
        results["sets"][name] = measure_set(recognizer, recordings, options.vad)
        progress(f"{name}: {results['sets'][name]}")
    return results


def show(results: Results) -> None:
    """Print a line for each data set."""
    for name, found in results["sets"].items():
        print(
            f"{name}: {found['utterances']} utterances, WER {found['wer']:.1%}, "
            f"delay {found['delay_ms_p50']} ms (p95 {found['delay_ms_p95']}), of {found['partial_words']} "
            f"partial words {found['partial_words_taken_back']} taken back, "
            f"{found['partial_words_other_than_final']} other than the final ones"
        )
    if "noise" in results:
        noise = results["noise"]
        print(
            f"noise, {noise['seconds']:.0f} s: {noise['utterances']} utterances, {noise['with_text']} texts"
        )


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("live", __doc__)
    add_limits(parser, 100)
    add = parser.add_argument
    # fmt: off
    add("--noise", type=Path, metavar="DIR", help="folder of noise recordings: listen to them too")
    add("--vad", default=DEFAULT_DETECTOR, choices=DETECTORS, help="detector (the first)")
    # fmt: on
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
