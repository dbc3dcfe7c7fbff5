"""`edge-las bench`: how fast this device recognizes, stage by stage, and what a fresh process costs."""

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_las.cli_support import at_least_one

# A figure that grew by more than this since an earlier run counts as a regression.
_TOLERATED_RATIO = 1.10
# Those that --compare looks at: the path of names to each, all of them better when smaller.
_COMPARED = (
    *(("stages", stage, "p50_ms")
      for stage in ("features", "listener_chunk", "speller_step", "search", "delay")),
    ("rtf",), ("cpu_s_per_audio_s",), ("fresh", "cold_start_s"), ("fresh", "import_s"), ("fresh", "peak_mb"),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    # fmt: off
    add("files", nargs="+", metavar="FILE", help="recordings of single utterances to measure with")
    add("--model", metavar="DIR", help="artifact folder (default: the bundled model)")
    add("--engine", default="auto", help="auto (default), onnx, tflite")
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
    from edge_las.runtime.host import describe_heat, describe_host

    earlier = read_report(args.compare) if args.compare else None
    heat = describe_heat()
    runs = [_measure(args, threads) for threads in range(1, args.threads + 1)]
    report = {
        "kind": "bench",
        "host": describe_host(),
        "before": heat,
        "after": describe_heat(),
        "model": runs[0].pop("model"),
        "runs": runs,
    }
    print("\n".join(table(report)))
    if args.json:
        text = json.dumps(report, indent=2, ensure_ascii=False)
        Path(args.json).write_text(text + "\n", encoding="utf-8")
    if earlier is None:
        return 0
    ratios = dict(compare(earlier, report))
    print("\n".join(comparison(ratios)))
    return int(any(ratio > _TOLERATED_RATIO for ratio in ratios.values()))


def _measure(args: argparse.Namespace, threads: int) -> dict[str, Any]:
    from edge_las.audio import read_audio
    from edge_las.runtime.recognizer import Recognizer, model_folder
    from edge_las.runtime.stages import measure_stages

    folder = model_folder(args.model)
    recognizer = Recognizer.load(folder, args.engine, threads, args.beam)
    clips = [read_audio(name, recognizer.sample_rate) for name in args.files]
    times = measure_stages(recognizer, clips, args.repeats)
    manifest, engine = recognizer.manifest, recognizer.setup.engine.name
    return {
        "model": {
            "name": manifest.name,
            "checkpoint_sha256": manifest.provenance.parent_checkpoint_sha256,
            "files_sha256": {name: entry.sha256 for name, entry in manifest.files.items()},
        },
        "engine": engine,
        "precision": manifest.engines[engine].precision,
        "threads": threads,
        "beam": recognizer.setup.search.beam_size,
        "audio_s": round(times.audio_s, 3),
        "rtf": round(times.busy_s / times.audio_s, 6),
        "cpu_s_per_audio_s": round(times.cpu_s / times.audio_s, 6),
        "stages": times.summary(),
        "fresh": _fresh(args, folder, threads),
    }


def _fresh(args: argparse.Namespace, folder: Path, threads: int) -> dict[str, Any]:
    from edge_las.runtime.fresh import run_fresh, versions

    runs = [run_fresh(args.files[:1], folder, args.beam, threads) for _ in range(3)]
    return {
        "cold_start_s": round(statistics.median(run.cold_s for run in runs), 3),
        "import_s": round(statistics.median(run.import_s for run in runs), 3),
        "peak_mb": round(max(run.peak_mb for run in runs), 1),
        "versions": versions(),
    }


def read_report(path: str) -> dict[str, Any]:
    """Read the figures of an earlier run.

    Raises: ConfigError naming the file.
    """
    from edge_las.errors import ConfigError

    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(report, dict) or report.get("kind") != "bench":
        raise ConfigError(f"{path}: was not written by edge-las bench --json")
    return report


def table(report: Mapping[str, Any]) -> Iterator[str]:
    """Write a report as lines."""
    host, after = report["host"], report["after"]
    board = host["board"] or host["cpu"] or host["machine"]
    yield f"{report['model']['name']} on {board}, {host['cpus']} CPUs"
    for what in ("governor", "temperature_c", "throttled"):
        value = host.get(what, after.get(what))
        if value is not None:
            yield f"{what}: {value}"
    for run in report["runs"]:
        yield f"{run['engine']} {run['precision']}, {run['threads']} thread(s), beam {run['beam']}"
        yield f"  {'':16}{'count':>8}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}"
        for name, stage in run["stages"].items():
            figures = "".join(f"{stage[p]:10.3f}" for p in ("p50_ms", "p95_ms", "p99_ms"))
            yield f"  {name:16}{stage['count']:8d}{figures}"
        speed = 1.0 / run["rtf"]
        yield f"  {speed:.0f} times faster than real time; CPU {run['cpu_s_per_audio_s']:.4f} s a second"
        fresh = run["fresh"]
        yield (
            f"  fresh process: first text after {fresh['cold_start_s']:.2f} s "
            f"(import {fresh['import_s']:.2f} s), peak memory {fresh['peak_mb']:.0f} MB"
        )


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Pair the runs of equal engine, threads and beam; yield each figure's name and ratio new / old."""
    earlier = {_key(run): run for run in old["runs"]}
    for run in new["runs"]:
        before = earlier.get(_key(run))
        for path in _COMPARED if before else ():
            values = [_at(found, path) for found in (before, run)]
            if values[0] and values[1] is not None:
                yield f"{run['engine']} {run['threads']} {' '.join(path)}", values[1] / values[0]


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
