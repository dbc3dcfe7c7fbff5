"""`python -m benchmarks.peers`: edge-las beside PocketSphinx and Whisper tiny.en, on the same recordings."""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.command import Progress, Results, execute, measuring_parser, stopwatch
from benchmarks.output import describe_machine, describe_model
from benchmarks.peers.cells import EdgeModel, PreparedSet, measure_cell, prepare
from benchmarks.peers.clips import ClipSet, label_sets, speech_sets
from benchmarks.peers.report import write_report
from benchmarks.peers.score import score_cell
from benchmarks.peers.systems import SYSTEMS
from edge_las.artifact import load_manifest
from edge_las.errors import ConfigError
from edge_las.runtime.recognizer import model_folder

_SETS = "speech_commands:100,fsdd:100,librispeech:20"


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure what was not measured before, score all of it."""
    model = model_folder(options.model)
    manifest = load_manifest(model)
    engine = next(iter(manifest.engines)) if options.engine == "auto" else options.engine
    systems = _systems(options.systems)
    results: Results = {
        "kind": "peers",
        "model": describe_model(model, manifest, engine),
        "measured_on": describe_machine(),
        "titles": {name: SYSTEMS[name].title for name in systems},
        "sets": {},
    }
    for clip_set in _sets(options):
        with tempfile.TemporaryDirectory() as scratch:
            prepared = prepare(clip_set, Path(scratch) / "set")
            found = _measure(prepared, systems, EdgeModel(model, engine), options, progress)
        results["sets"][clip_set.name] = {
            "of_intents": clip_set.of_intents,
            "commands": clip_set.grammar is not None,
            "snr_db": clip_set.snr_db,
            "systems": found,
        }
    if options.report:
        write_report(results, options.report)
    return results


def _measure(
    prepared: PreparedSet,
    systems: list[str],
    model: EdgeModel,
    options: argparse.Namespace,
    progress: Progress,
) -> dict[str, Any]:
    clip_set = prepared.clips
    found = {}
    for system in systems:
        if SYSTEMS[system].held and clip_set.grammar is None:
            continue
        used = replace(model, folder=clip_set.model or model.folder)
        cell = measure_cell(system, prepared, used, options.work, options.fresh)
        found[system] = scores = score_cell(cell, prepared)
        progress(f"{clip_set.name}: {SYSTEMS[system].title}: {summary(scores)}")
    return found


def _sets(options: argparse.Namespace) -> list[ClipSet]:
    sets = speech_sets(options.speech, _limits(options.sets)) if options.speech else []
    if options.labels:
        if not options.domain:
            raise ConfigError("--labels needs --domain: the artifact whose grammar holds the commands")
        snrs_db = [float(text) for text in options.snr.split(",")]
        sets += label_sets(options.labels, options.domain, options.label_limit, options.noise, snrs_db)
    if not sets:
        raise ConfigError("there is nothing to compare on: give --speech or --labels")
    return sets


def _limits(text: str) -> dict[str, int]:
    limits = {}
    for part in text.split(","):
        name, _, count = part.partition(":")
        if not count.isdecimal() or int(count) < 1:
            raise ConfigError(f"--sets: {part!r} is not NAME:COUNT")
        limits[name] = int(count)
    return limits


def _systems(text: str | None) -> list[str]:
    names = text.split(",") if text else list(SYSTEMS)
    for name in names:
        if name not in SYSTEMS:
            raise ConfigError(f"--systems: {name!r} is none of {', '.join(SYSTEMS)}")
    return names


def summary(scores: dict[str, Any]) -> str:
    """Write the accuracy and the cost of a system on a set as one line."""
    rates = ", ".join(
        f"{name.replace('_', ' ')} {scores[name]:.1%}"
        for name in ("wer", "intent_accuracy", "exact", "snapped", "snapped_intent_accuracy", "snapped_exact")
        if name in scores
    )
    return (
        f"{rates}; {scores['cpu_s']:.2f} CPU s, {scores['delay_ms_p50']:.1f} ms, {scores['peak_mb']:.0f} MB"
    )


def show(results: Results) -> None:
    """Print every score."""
    for name, found in results["sets"].items():
        print(name)
        for system, scores in found["systems"].items():
            print(f"  {results['titles'][system]}: {summary(scores)}")


def main(arguments: list[str] | None = None) -> int:
    """Measure, write the report, and return the exit code."""
    parser = measuring_parser("peers", __doc__, needs_speech=False)
    add = parser.add_argument
    # fmt: off
    add("--sets", default=_SETS, metavar="LIST", help=f"data sets and how many recordings of each ({_SETS})")
    add("--systems", metavar="LIST", help=f"of {', '.join(SYSTEMS)} (default: all)")
    add("--labels", type=Path, metavar="DIR", help="recordings of commands with label.json")
    add("--domain", type=Path, metavar="DIR", help="artifact whose grammar holds those commands")
    add("--noise", type=Path, metavar="FILE", help="a recording of noise to mix with them")
    add("--snr", default="24,21,18,15,12,9,6", metavar="LIST", help="ratios of speech to noise in dB")
    add("--label-limit", type=int, default=100, metavar="N", help="at most so many of them (100)")
    add("--work", type=Path, default=Path("build/peers"), metavar="DIR",
        help="keeps what was measured (build/peers)")
    add("--fresh", action="store_true", help="measure again what was measured before")
    add("--report", type=Path, metavar="OUT.md", help="write a report, with plots beside it in plots/")
    # fmt: on
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
