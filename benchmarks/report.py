"""`python -m benchmarks.report`: writes measurements into the model card and into an artifact's manifest."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.card import render, summary
from benchmarks.command import fail, new_parser
from benchmarks.output import read_json
from edge_las.artifact import load_manifest, write_manifest
from edge_las.errors import ConfigError, EdgeLasError

_OPENING = "<!-- generated:"
_CLOSING = "<!-- end of the generated part -->"


def fill_in(card: str, text: str) -> str:
    """Replace what stands between the marks of a card.

    Raises: ConfigError if a mark is missing.
    """
    before, opening, rest = card.partition(_OPENING)
    comment, ending, _ = rest.partition("-->")
    _, closing, after = rest.partition(_CLOSING)
    if not (opening and ending and closing):
        raise ConfigError(f"the card has no part between {_OPENING!r} and {_CLOSING!r}")
    return f"{before}{opening}{comment}{ending}\n\n{text}\n\n{closing}{after}"


def run(options: argparse.Namespace) -> None:
    """Write what the options ask for."""
    accuracy = read_json(options.accuracy, "accuracy")
    reference = _optional(options.float_accuracy, "accuracy")
    _check_same_model(accuracy, reference)
    memory, latency = _optional(options.memory, "memory"), _optional(options.latency, "latency")
    confidence, live = _optional(options.confidence, "confidence"), _optional(options.live, "live")
    for other in (memory, latency, confidence, live):
        _check_same_model(accuracy, other, graphs=True)
    if options.card:
        card = options.card.read_text(encoding="utf-8")
        filled = fill_in(card, render(accuracy, reference, memory, latency, confidence, live))
        options.card.write_text(filled, encoding="utf-8")
    if options.manifest:
        manifest = load_manifest(options.manifest)
        write_manifest(options.manifest, replace(manifest, accuracy=summary(accuracy, reference)))


def _optional(path: Path | None, kind: str) -> dict[str, Any] | None:
    return read_json(path, kind) if path else None


def _check_same_model(accuracy: dict[str, Any], other: dict[str, Any] | None, graphs: bool = False) -> None:
    """Raise ConfigError where results of two models are about to be put side by side."""
    name = "graph_sha256" if graphs else "parent_checkpoint_sha256"
    if other and other["model"][name] != accuracy["model"][name]:
        raise ConfigError(f"the results of {other['kind']} are of another model: {name} differs")


def main(arguments: list[str] | None = None) -> int:
    """Write, and return the exit code."""
    parser = new_parser("report", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--accuracy", type=Path, required=True, metavar="JSON", help="of benchmarks.accuracy")
    add("--float-accuracy", type=Path, metavar="JSON", help="the same of the float artifact")
    add("--memory", type=Path, metavar="JSON", help="of benchmarks.memory")
    add("--latency", type=Path, metavar="JSON", help="of benchmarks.latency")
    add("--confidence", type=Path, metavar="JSON", help="of benchmarks.confidence")
    add("--live", type=Path, metavar="JSON", help="of benchmarks.live")
    add("--card", type=Path, metavar="FILE", help="the model card whose measured part is replaced")
    add("--manifest", type=Path, metavar="DIR", help="the artifact whose `accuracy` is replaced")
    # fmt: on
    try:
        run(parser.parse_args(arguments))
    except EdgeLasError as error:
        return fail(parser, error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
