"""The page of `benchmarks.ablations`: a table of runs, what the table leaves out, and plots."""

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.command import Results
from benchmarks.markdown import table

PLOTS = {
    "ablations_hours.svg": "dev WER against hours heard",
    "ablations_parameters.svg": "dev WER against parameters",
}
_SETS = {
    "librispeech": "LibriSpeech",
    "speechocean762": "speechocean",
    "speech_commands": "Speech Commands",
    "fsdd": "FSDD",
}
_HEADS = ("run", "what differs", "Listener", "hours heard", *_SETS.values(), "mean", "CTC loss")
# Where more of a section differs, the table tells how much, and the list below it what.
_MOST_IN_A_CELL = 3


def render(results: Results, page: Path, plots: Path | None) -> str:
    """Write the page as it will stand at `page`, with links to what lies in `plots`."""
    runs = results["runs"]
    lines = ["# Ablations", "", *_introduction(results["sets"]), "", *table(_HEADS, map(_row, runs), 2)]
    listed = [line for run in runs for line in _in_full(run)]
    if listed:
        lines += ["", "What differs, where it is much:", "", *listed]
    if plots:
        folder = Path(os.path.relpath(plots, page.parent)).as_posix()
        lines += ["", *(f"![{what}]({folder}/{name})" for name, what in PLOTS.items())]
    return "\n".join(lines) + "\n"


def _introduction(sets: Sequence[str]) -> Iterator[str]:
    yield "<!-- written by `python -m benchmarks.ablations` -->"
    yield ""
    text = f"""WER in percent of the CTC head's best path, without search or language model, on dev clips at
        each run's end. `mean` and the CTC loss (nats a token) are means over {", ".join(sets)}. What differs
        is told against the first run, whose values stand in brackets."""
    yield from textwrap.wrap(" ".join(text.split()), 120)


def _row(run: Mapping[str, Any]) -> list[str]:
    hours, mean = run["curve"][-1]
    rates = [f"{run['wer'][name]:.1f}" if name in run["wer"] else "" for name in _SETS]
    loss = "" if run["loss"] is None else f"{run['loss']:.2f}"
    cells = [_brief(section, items) for section, items in _sections(run).items()]
    size = f"{run['parameters'] / 1e6:.2f} M"
    return [run["name"], "; ".join(cells), size, f"{hours:.1f}", *rates, f"{mean:.1f}", loss]


def _brief(section: str, items: Sequence[str]) -> str:
    return ", ".join(items) if len(items) <= _MOST_IN_A_CELL else f"{len(items)} of `{section}`"


def _in_full(run: Mapping[str, Any]) -> Iterator[str]:
    for items in _sections(run).values():
        if len(items) > _MOST_IN_A_CELL:
            yield f"- {run['name']}: {', '.join(items)}"


def _sections(run: Mapping[str, Any]) -> dict[str, list[str]]:
    """Tell what differs, by the recipe's sections."""
    sections: dict[str, list[str]] = {}
    for key, (its, first) in run["differs"].items():
        sections.setdefault(key.partition(".")[0], []).extend(_told(key, its, first))
    return sections


def _told(key: str, its: Any, first: Any) -> Iterator[str]:
    if isinstance(its, list) and isinstance(first, list):
        yield from (f"with {item}" for item in its if item not in first)
        yield from (f"without {item}" for item in first if item not in its)
    else:
        yield f"`{key}` {_shown(its)} ({_shown(first)})"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
