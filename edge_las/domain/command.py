"""`edge-las domain`: build an artifact from sentence templates, and test it on recordings."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import edge_las
from edge_las.cli_support import above_zero, at_least_one
from edge_las.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the commands `build`, `home` and `test`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_build_arguments(actions.add_parser("build", help="make a model that understands sentence templates"))
    home = actions.add_parser("home", help="write Home Assistant's English sentences as templates to build")
    home.add_argument("file", type=Path, metavar="FILE.yaml", help="the file to write")
    test = actions.add_parser("test", help="measure intents and slots on recordings")
    _add_test_arguments(test)


def _add_build_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    # fmt: off
    add("source", type=Path, metavar="FILE.yaml", help="templates in Home Assistant's format")
    add("--out", type=Path, required=True, metavar="DIR", help="the artifact to write")
    add("--plan", action="store_true", help="say what would be done and how long it takes; write nothing")
    add("--no-train", action="store_true", help="put the grammar in a model as it is, in seconds")
    add("--model", metavar="DIR", help="with --no-train: artifact to build on (default: the bundled model)")
    add("--base", type=Path, metavar="CHECKPOINT", help="checkpoint to train from (default: the bundled one)")
    add("--minutes", type=above_zero, default=55.0, metavar="N", help="for the whole build (default 55)")
    add("--speech", type=Path, action="append", default=[], metavar="DIR",
        help="recordings to hear beside the synthetic speech (manifest.tsv); repeatable")
    add("--noise", type=Path, metavar="DIR", help="recordings of noise (default: noise/ in --speech)")
    add("--voices", metavar="LIST", help="engines or voices, e.g. espeak,flite:slt (default: all found)")
    add("--leave-words-out", action="store_true",
        help="hear no recording of --speech with a word of the domain")
    add("--sentences", type=at_least_one, default=0, metavar="N",
        help="spoken for training (default: as time allows)")
    add("--jobs", type=at_least_one, metavar="N", help="processes that speak (default: one for each CPU)")
    add("--seed", type=int, default=1, help="the same seed gives the same sentences and speech (default 1)")
    add("--work", type=Path, metavar="DIR", help="where finished steps are kept (default: OUT.build)")
    add("--engines", default="onnx", metavar="LIST", help="to export for: onnx, tflite (default onnx)")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="of the recipe `domain`")
    # fmt: on


def _add_test_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    # fmt: off
    add("model", metavar="DIR", help="artifact with a grammar")
    add("--recordings", type=Path, metavar="FILE", help="manifest.tsv or label.json")
    add("--negatives", type=Path, metavar="FILE", help="other speech, to be accepted as no command at all")
    add("--only", action="append", default=[], metavar="COLUMN=VALUE",
        help="of the rows of both, e.g. split=dev; repeatable")
    add("--json", action="store_true", help="print the report as JSON")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Run `build`, `home` or `test`."""
    return {"build": _build, "home": _home, "test": _test}[args.action](args)


def _home(args: argparse.Namespace) -> int:
    from edge_las.domain.home import write_home

    write_home(args.file)
    print(f"{args.file}: written; build it with `edge-las domain build {args.file} --out DIR`")
    return 0


def _build(args: argparse.Namespace) -> int:
    if args.no_train:
        from edge_las.domain.assemble import build_domain
        from edge_las.runtime.recognizer import model_folder

        build_domain(args.source, model_folder(args.model), args.out)
        return 0
    from edge_las.domain.build import Build, BuildConfig

    config = BuildConfig(
        source=args.source, out=args.out, base=args.base or bundled_base(), minutes=args.minutes,
        speech=tuple(args.speech), noise=args.noise, leave_words_out=args.leave_words_out,
        voices=tuple(args.voices.split(",")) if args.voices else (), sentences=args.sentences, seed=args.seed,
        jobs=args.jobs or os.cpu_count() or 1, overrides=tuple(args.set),
        engines=args.engines, work=args.work,
    )  # fmt: skip
    build = Build(config, lambda line: print(line, file=sys.stderr, flush=True))
    print("\n".join(build.describe()))
    if not args.plan:
        _show(build.run())
    return 0


def bundled_base() -> Path:
    """Return the folder of the bundled checkpoint."""
    return Path(edge_las.__file__).parent / "models" / "base"


def _test(args: argparse.Namespace) -> int:
    from edge_las.domain.proof import read_cases, read_negatives, report, understand
    from edge_las.runtime.recognizer import Recognizer

    if not (args.recordings or args.negatives):
        raise ConfigError("domain test: give --recordings, --negatives or both")
    recognizer = Recognizer.load(args.model)
    constraint = recognizer.setup.grammar
    if constraint is None:
        raise ConfigError(f"{args.model}: the model has no grammar to test")
    only = dict(_column(text) for text in args.only)
    cases = read_cases(args.recordings, constraint.automaton, only) if args.recordings else []
    if args.negatives:
        cases += read_negatives(args.negatives, constraint.automaton, only)
    measured = report(cases, understand(recognizer, cases))
    if args.json:
        print(json.dumps(measured, ensure_ascii=False))
    else:
        _show(measured)
    return 0


def _column(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--only {text}: is not COLUMN=VALUE")
    return column, value


def _show(measured: dict[str, Any]) -> None:
    for name, value in measured.items():
        if name != "confusions":
            print(f"{name:<16} {'-' if value is None else value}")
    for said, heard, count in measured.get("confusions", []):
        print(f"confused         {count} x {said} as {heard}")
