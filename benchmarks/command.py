"""What the benchmarks' commands share: the arguments of most, progress, the results file, the error line."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.output import write_json
from edge_las.errors import EdgeLasError

Progress = Callable[[str], None]
Results = dict[str, Any]


def new_parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """Make the parser of `python -m benchmarks.NAME`."""
    return argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)


def measuring_parser(name: str, about: str | None, needs_speech: bool = True) -> argparse.ArgumentParser:
    """Make the parser of a command that measures a model on recordings."""
    parser = new_parser(name, about)
    add = parser.add_argument
    # fmt: off
    add("--model", metavar="DIR", help="artifact folder (default: the bundled model)")
    add("--speech", type=Path, required=needs_speech, metavar="DIR",
        help="has manifest.tsv, or is a flat corpus")
    add("--engine", default="auto", help="auto (default), onnx, tflite")
    add("--json", type=Path, metavar="OUT", help="write the results here")
    # fmt: on
    return parser


def add_limits(parser: argparse.ArgumentParser, limit: int | None = None) -> None:
    """Declare --limit, by default `limit`, and --beam."""
    told = "all" if limit is None else str(limit)
    add = parser.add_argument
    add("--limit", type=int, default=limit, metavar="N", help=f"recordings of each data set ({told})")
    add("--beam", type=int, metavar="N", help="hypotheses kept (default: the model's)")


def add_fitting_arguments(parser: argparse.ArgumentParser, most_lost: float, worthy: str = "right") -> None:
    """Declare what commands share that fit a model's thresholds: --noise, --most-lost and --write."""
    add = parser.add_argument
    # fmt: off
    add("--noise", type=Path, required=True, metavar="DIR", help="folder of noise recordings")
    add("--most-lost", type=float, default=most_lost, metavar="SHARE",
        help=f"of {worthy} texts that may be refused ({most_lost:g})")
    add("--write", action="store_true", help="write what was fitted into the model's manifest")
    # fmt: on


def execute(
    parser: argparse.ArgumentParser,
    arguments: list[str] | None,
    run: Callable[[argparse.Namespace], Results],
    show: Callable[[Results], None],
) -> int:
    """Parse, measure, write --json, print; return the exit code: 2 after an error, told in one line."""
    options = parser.parse_args(arguments)
    try:
        results = run(options)
        if options.json:
            write_json(options.json, results)
    except EdgeLasError as error:
        return fail(parser, error)
    show(results)
    return 0


def fail(parser: argparse.ArgumentParser, error: EdgeLasError) -> int:
    """Print an error as the line of its command; return the exit code for it."""
    print(f"{parser.prog.removeprefix('python -m ')}: error: {error}", file=sys.stderr)
    return 2


def stopwatch() -> Progress:
    """Make the function that tells of progress, with the seconds since now."""
    started = time.monotonic()

    def progress(line: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {line}", file=sys.stderr, flush=True)

    return progress
