"""`python -m benchmarks.ablations RUN...`: what each change of the recipe did, from runs made.

Runs of `edge-las train` side by side: what differs from the first one's recipe, and how well the CTC head
reads the dev split at their ends, by its best path without search or language model.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.ablations_page import PLOTS, render
from benchmarks.command import Results, execute, new_parser
from benchmarks.output import write_text
from benchmarks.runs import Curve, Run, differences, read_run
from edge_las.errors import ConfigError


def read_runs(folders: Sequence[Path], labels: Sequence[str]) -> list[Run]:
    """Read the runs, named as --label says or by their folders.

    Raises: ConfigError for a label of no run, or two runs of one name.
    """
    names = {}
    for text in labels:
        name, _, folder = text.partition("=")
        if not name or Path(folder) not in folders:
            raise ConfigError(f"--label {text}: is not NAME=RUN of one of the runs")
        names[Path(folder)] = name
    runs = [read_run(folder, names.get(folder, "")) for folder in folders]
    called = [run.name for run in runs]
    for name in called:
        if called.count(name) > 1:
            raise ConfigError(f"several runs are called {name}: give them names with --label")
    return runs


def compare(runs: Sequence[Run]) -> Results:
    """Say what differs, and what came of it; means are over the data sets that all runs were measured on.

    Raises: ConfigError where no data set is common to all.
    """
    sets = sorted(set.intersection(*(set(run.ctc_wer) for run in runs)))
    if not sets:
        raise ConfigError("no data set's dev_wer/ctc_NAME is in the logs of all runs")
    return {"kind": "ablations", "sets": sets, "runs": [_summary(run, runs[0], sets) for run in runs]}


def _summary(run: Run, first: Run, sets: Sequence[str]) -> dict[str, Any]:
    changed, losses = differences(run, first), run.by_dataset("dev_loss/ctc_")
    # Of a token: of other tokens it is another number.
    comparable = losses.keys() >= set(sets) and not any(key.startswith("tokens.") for key in changed)
    return {
        "name": run.name,
        "differs": {key: list(pair) for key, pair in changed.items()},
        "parameters": run.listener,
        "wer": {name: round(curve[-1][1], 2) for name, curve in run.ctc_wer.items()},
        "loss": round(_mean(losses, sets)[-1][1], 3) if comparable else None,
        "curve": [[round(hours, 3), round(wer, 2)] for hours, wer in _mean(run.ctc_wer, sets)],
    }


def _mean(curves: Mapping[str, Curve], sets: Sequence[str]) -> Curve:
    """Average curves, all measured at the same hours."""
    measured = zip(*(curves[name] for name in sets), strict=True)
    return [(points[0][0], sum(value for _, value in points) / len(points)) for points in measured]


def draw_hours(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot mean dev WER over hours heard, a line for each run."""
    figure, (axes,) = figures.new_figure(7.0, 4.0)
    for number, run in enumerate(runs):
        axes.plot(*zip(*run["curve"], strict=True), linewidth=1.3, **figures.style(number))
    axes.set(xscale="log", yscale="log", xlabel="speech heard, hours", ylabel="dev WER of CTC's best path, %")
    figures.plain_log(axes.xaxis)
    figures.plain_log(axes.yaxis)
    axes.grid()
    figures.label(axes, [run["curve"][-1] for run in runs], [run["name"] for run in runs], range(len(runs)))
    figures.save(figure, path)


def draw_parameters(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot the runs' last mean dev WER over parameters; a line joins those that differ in the model alone."""
    figure, (axes,) = figures.new_figure(7.0, 4.0)
    points = [(run["parameters"] / 1e6, run["curve"][-1][1]) for run in runs]
    sized = [
        point
        for run, point in zip(runs, points, strict=True)
        if all(key.startswith("model.") for key in run["differs"])
    ]
    axes.plot(*zip(*sorted(sized), strict=True), linewidth=1.0, color=figures.GREY)
    for number, point in enumerate(points):
        axes.plot(*point, linestyle="none", **figures.style(number))
    axes.set(xscale="log", xlabel="parameters of the Listener, millions", ylabel="dev WER at the end, %")
    sizes = sorted({round(size, 1) for size, _ in points})
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.margins(x=0.15)
    axes.grid()
    for size in sizes:
        own = [number for number, (its, _) in enumerate(points) if round(its, 1) == size]
        figures.label(axes, [points[n] for n in own], [runs[n]["name"] for n in own], own)
    figures.save(figure, path)


def run(options: argparse.Namespace) -> Results:
    """Compare, and write the page and the plots."""
    results = compare(read_runs(options.runs, options.label))
    if options.plots:
        for name, draw in zip(PLOTS, (draw_hours, draw_parameters), strict=True):
            draw(results["runs"], options.plots / name)
    if options.markdown:
        write_text(options.markdown, render(results, options.markdown, options.plots))
    return results


def show(results: Results) -> None:
    """Print a line for each run."""
    for one in results["runs"]:
        hours, wer = one["curve"][-1]
        size = f"{one['parameters'] / 1e6:.2f} M parameters, {hours:.1f} h heard"
        print(f"{one['name']}: {size}, mean dev WER {wer:.1f} %, values that differ: {len(one['differs'])}")


def main(arguments: list[str] | None = None) -> int:
    """Compare, print, and return the exit code."""
    parser = new_parser("ablations", __doc__)
    add = parser.add_argument
    # fmt: off
    add("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run; the first is the reference")
    add("--label", action="append", default=[], metavar="NAME=RUN",
        help="what to call a run (default: its folder)")
    add("--markdown", type=Path, metavar="FILE.md", help="write the table, and the plots if there are some")
    add("--plots", type=Path, metavar="DIR", help=f"draw {' and '.join(PLOTS)} there")
    add("--json", type=Path, metavar="OUT", help="write the results here")
    # fmt: on
    return execute(parser, arguments, run, show)


if __name__ == "__main__":
    sys.exit(main())
