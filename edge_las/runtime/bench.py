"""`edge-las bench`: how fast this device recognizes, stage by stage, and what a fresh process costs."""

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from edge_las.artifact import load_manifest
from edge_las.cli_support import at_least_one
from edge_las.errors import ConfigError
from edge_las.runtime.engine import check_threads
from edge_las.runtime.recognizer import Recognizer, model_folder
from edge_las.runtime.stages import STAGES, measure_stages
from edge_las.staging import whole_file
from edge_las.textfiles import read_json

# A figure that grew by more than this since an earlier run counts as a regression.
_TOLERATED_RATIO = 1.10
# Those that --compare looks at: the path of names to each, all of them better when smaller.
_COMPARED = (
    *(("stages", stage, "p50_ms") for stage in STAGES),
    ("rtf",), ("cpu_s_per_audio_s",),
    *(("fresh", figure) for figure in ("cold_start_s", "import_s", "peak_mb", "steady_mb")),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    # fmt: off
    add("files", nargs="+", metavar="FILE", help="recordings of single utterances to measure with")
    add("--model", metavar="DIR", help="artifact folder (default: the bundled model)")
    add("--engine", default="auto", metavar="LIST", help="auto (default), onnx, tflite, or onnx,tflite")
    add("--beam", type=at_least_one, metavar="N", help="hypotheses kept (default: the model's)")
    add("--threads", type=at_least_one, default=1, metavar="N",
        help="measure at 1 to N engine threads (default 1)")
    add("--repeats", type=at_least_one, default=5, metavar="N",
        help="rounds over the files that count (default 5)")
    add("--json", metavar="OUT", help="write the figures to this file too")
    add("--compare", metavar="OLD", help="a file of an earlier --json: print ratios; exit status 1 if worse")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Measure, print a table, and return 1 where --compare shows a regression."""
    check_threads(args.threads)
    earlier = read_report(args.compare) if args.compare else None
    # Opened first: minutes of measuring are not lost to a folder that is not there.
    with whole_file(args.json) if args.json else nullcontext() as file:
        report = _report(args)
        if file is not None:
            file.write(json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n")
    print("\n".join(table(report)))
    if earlier is None:
        return 0
    ratios = dict(compare(earlier, report))
    print("\n".join([*differences(earlier, report), *comparison(ratios)]))
    return int(any(ratio > _TOLERATED_RATIO for ratio in ratios.values()))


def _report(args: argparse.Namespace) -> dict[str, Any]:
    from edge_las.runtime.host import describe_heat, describe_host

    heat = describe_heat()
    folder = model_folder(args.model)
    engines = args.engine.split(",")
    runs = [_measure(args, folder, name, n) for name in engines for n in range(1, args.threads + 1)]
    return {
        "kind": "bench",
        "host": describe_host(),
        "before": heat,
        "after": describe_heat(),
        "model": _describe_model(folder),
        "runs": runs,
    }


def _describe_model(folder: Path) -> dict[str, Any]:
    manifest = load_manifest(folder)
    return {
        "name": manifest.name,
        "checkpoint_sha256": manifest.provenance.parent_checkpoint_sha256,
        "files_sha256": {name: entry.sha256 for name, entry in manifest.files.items()},
    }


def _measure(args: argparse.Namespace, folder: Path, engine: str, threads: int) -> dict[str, Any]:
    from edge_las.audio import read_audio

    recognizer = Recognizer.load(folder, engine, threads, args.beam)
    clips = [read_audio(name, recognizer.sample_rate) for name in args.files]
    times = measure_stages(recognizer, clips, args.repeats)
    engine = recognizer.setup.engine.name
    return {
        "engine": engine,
        "precision": recognizer.manifest.engines[engine].precision,
        "threads": threads,
        "beam": recognizer.setup.search.beam_size,
        "audio_s": round(times.audio_s, 3),
        "rtf": round(times.busy_s / times.audio_s, 6),
        "cpu_s_per_audio_s": round(times.cpu_s / times.audio_s, 6),
        "stages": times.summary(),
        "fresh": _fresh(args, folder, engine, threads),
    }


def _fresh(args: argparse.Namespace, folder: Path, engine: str, threads: int) -> dict[str, Any]:
    """Measure new processes: three with the first file, and one that goes on and on, for its memory."""
    from edge_las.runtime.fresh import run_fresh, versions

    starts = [run_fresh(args.files[:1], folder, args.beam, threads, engine) for _ in range(3)]
    long = run_fresh(args.files * (1 + args.repeats), folder, args.beam, threads, engine)
    return {
        "cold_start_s": round(statistics.median(run.cold_s for run in starts), 3),
        "import_s": round(statistics.median(run.import_s for run in starts), 3),
        "peak_mb": round(max(run.peak_mb for run in (*starts, long)), 1),
        "steady_mb": round(long.steady_mb, 1),
        "versions": versions(),
    }


def read_report(path: str) -> dict[str, Any]:
    """Read the figures of an earlier run.

    Raises: ConfigError naming the file.
    """
    report = read_json(path)
    if not isinstance(report, dict) or report.get("kind") != "bench":
        raise ConfigError(f"{path}: was not written by edge-las bench --json")
    return report


def table(report: Mapping[str, Any]) -> Iterator[str]:
    """Write a report as lines."""
    host = report["host"]
    yield f"{report['model']['name']} on {_board(host)}, {host['cpus']} CPUs"
    if host["governor"]:
        yield f"governor: {host['governor']}"
    yield from _heat(report["before"], report["after"])
    for run in report["runs"]:
        yield from _run_lines(run)


def _board(host: Mapping[str, Any]) -> str:
    return str(host["board"] or host["cpu"] or host["machine"])


def _heat(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Tell what measuring did to the board; throttling makes figures worthless, so it is never left out."""
    for name, what in (("temperature_c", "degrees C"), ("frequency_mhz", "MHz")):
        if after[name] is not None:
            yield f"{before[name]:g} {what} before, {after[name]:g} after"
    if after["throttled"] is not None:
        yield f"throttling: {', '.join(after['throttled']) or 'none'}"


def _run_lines(run: Mapping[str, Any]) -> Iterator[str]:
    yield f"{run['engine']} {run['precision']}, {run['threads']} thread(s), beam {run['beam']}"
    yield f"  {'':16}{'count':>8}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}"
    for name, stage in run["stages"].items():
        figures = "".join(f"{stage[p]:10.3f}" for p in ("p50_ms", "p95_ms", "p99_ms"))
        yield f"  {name:16}{stage['count']:8d}{figures}"
    cpu_s = run["cpu_s_per_audio_s"]
    yield f"  {1.0 / run['rtf']:.0f} times faster than real time; CPU {cpu_s:.4f} s a second"
    fresh = run["fresh"]
    yield f"  new process: first text after {fresh['cold_start_s']:.2f} s (import {fresh['import_s']:.2f} s)"
    yield f"  memory: peak {fresh['peak_mb']:.0f} MB, steady {fresh['steady_mb']:.0f} MB"


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Pair the runs of equal engine, threads and beam; yield each figure's name and ratio new / old."""
    earlier = {_key(run): run for run in old["runs"]}
    for run in new["runs"]:
        before = earlier.get(_key(run))
        for path in _COMPARED if before else ():
            values = [_at(found, path) for found in (before, run)]
            if values[0] and values[1] is not None:
                yield f"{run['engine']} {run['threads']} {' '.join(path)}", values[1] / values[0]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Tell where ratios compare what is not alike."""
    boards = [_board(report["host"]) for report in (old, new)]
    if boards[0] != boards[1]:
        yield f"note: the earlier run was on another machine: {boards[0]}"
    if old["model"]["files_sha256"] != new["model"]["files_sha256"]:
        yield f"note: the earlier run was of another model: {old['model']['name']}"
    missing = {_key(run) for run in old["runs"]} - {_key(run) for run in new["runs"]}
    for engine, precision, threads, beam in sorted(missing):
        yield f"note: not measured this time: {engine} {precision}, {threads} thread(s), beam {beam}"


def comparison(ratios: Mapping[str, float]) -> Iterator[str]:
    """Write ratios as lines, regressions marked."""
    if not ratios:
        yield "nothing to compare: no run of the same engine, precision, threads and beam"
    for name, ratio in ratios.items():
        yield f"{name:44} x {ratio:.2f}{'  WORSE' if ratio > _TOLERATED_RATIO else ''}"


def _key(run: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(run.get(name) for name in ("engine", "precision", "threads", "beam"))


def _at(found: Any, path: tuple[str, ...]) -> float | None:
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
