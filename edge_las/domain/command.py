"""`edge-las domain`: build an artifact from sentence templates, and test it on recordings."""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the commands `build` and `test`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="put the grammar of sentence templates in a model")
    build.add_argument("source", type=Path, metavar="FILE.yaml", help="templates in Home Assistant's format")
    build.add_argument("--out", type=Path, required=True, metavar="DIR", help="the artifact to write")
    build.add_argument("--model", metavar="DIR", help="artifact to build on (default: the bundled model)")
    build.add_argument(
        "--no-train", action="store_true", required=True, help="grammar only, in seconds (training: not yet)"
    )
    test = actions.add_parser("test", help="measure intents and slots on recordings")
    test.add_argument("model", metavar="DIR", help="artifact with a grammar")
    test.add_argument(
        "--recordings", type=Path, required=True, metavar="FILE", help="manifest.tsv or label.json"
    )
    test.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Run `build` or `test`."""
    return _build(args) if args.action == "build" else _test(args)


def _build(args: argparse.Namespace) -> int:
    from edge_las.domain.build import build_domain
    from edge_las.runtime.recognizer import model_folder

    build_domain(args.source, model_folder(args.model), args.out)
    return 0


def _test(args: argparse.Namespace) -> int:
    from edge_las.domain.proof import read_cases, report, understand
    from edge_las.errors import ConfigError
    from edge_las.runtime.recognizer import Recognizer

    recognizer = Recognizer.load(args.model)
    constraint = recognizer.setup.grammar
    if constraint is None:
        raise ConfigError(f"{args.model}: the model has no grammar to test")
    cases = read_cases(args.recordings, constraint.automaton)
    measured = report(cases, understand(recognizer, cases))
    if args.json:
        print(json.dumps(measured, ensure_ascii=False))
        return 0
    for name, value in measured.items():
        if name != "confusions":
            print(f"{name:<16} {'-' if value is None else value}")
    for said, heard, count in measured["confusions"]:
        print(f"confused         {count} x {said} as {heard}")
    return 0
