"""`python -m benchmarks.scaling RUN...`: what more speech or a larger model would buy, from runs made.

A power law of hours heard and of parameters is fitted to dev WER, with what neither can help (Hoffmann et al.
2022, arXiv:2203.15556). A RUN is a folder of `edge-las train`, or a table of measurements (.tsv: columns
parameters, hours, wer). While the learning rate is high WER is too: ends tell more than middles (--last).
Runs are judged by the Speller's WER; where one was evaluated without it, by CTC's and the Listener's size.
"""

import argparse
import csv
import itertools
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import figures
from benchmarks.command import Results, execute, new_parser
from benchmarks.runs import Run, read_run
from edge_las.errors import ConfigError, system_reason

DoubleArray = npt.NDArray[np.float64]

_COLUMNS = ("parameters", "hours", "wer")
_EXPONENTS = np.arange(0.05, 1.51, 0.05)
_FACTORS = (1.0, 2.0, 4.0, 10.0)
_LEAST_POINTS = 4


@dataclass(frozen=True)
class Point:
    """A measurement: parameters of the model, hours heard, dev WER in percent."""

    parameters: float
    hours: float
    wer: float


@dataclass(frozen=True)
class Law:
    """wer = floor + of_hours * hours^-by_hours + of_parameters * parameters^-by_parameters, in percent."""

    floor: float
    of_hours: float
    by_hours: float
    of_parameters: float = 0.0
    by_parameters: float = 1.0

    def wer(self, parameters: float, hours: float) -> float:
        """Return the WER that the law gives."""
        of_size = self.of_parameters * parameters**-self.by_parameters
        return self.floor + self.of_hours * hours**-self.by_hours + of_size


def fit(points: Sequence[Point]) -> Law:
    """Fit the law by least squares of log WER's kind: relative errors count; parameters only if they differ.

    Raises: ConfigError where there are too few points, or all of the same hours.
    """
    if len(points) < _LEAST_POINTS or len({point.hours for point in points}) < 3:
        raise ConfigError(
            f"{len(points)} measurements: at least {_LEAST_POINTS} are needed, at three different hours"
        )
    size, hours, wer = (np.array([getattr(point, name) for point in points]) for name in _COLUMNS)
    sized = len(set(size)) > 1
    best: tuple[float, Law] = (np.inf, Law(0.0, 0.0, 1.0))
    for by_hours, by_size in itertools.product(_EXPONENTS, _EXPONENTS if sized else (1.0,)):
        columns = [np.ones_like(hours), hours**-by_hours, *([size**-by_size] if sized else [])]
        error, weights = _least_squares(np.stack(columns, axis=1) / wer[:, None])
        if error < best[0]:
            floor, of_hours, *of_size = weights
            law = Law(floor, of_hours, float(by_hours))
            if of_size:
                law = Law(floor, of_hours, float(by_hours), of_size[0], float(by_size))
            best = error, law
    return best[1]


def _least_squares(columns: DoubleArray) -> tuple[float, list[float]]:
    """Fit ones by columns (N, K) with weights that are not negative: the error, and the weights."""
    best: tuple[float, list[float]] = (np.inf, [])
    ones, count = np.ones(len(columns)), columns.shape[1]
    for kept in itertools.chain.from_iterable(
        itertools.combinations(range(count), size) for size in range(1, count + 1)
    ):
        found, *_ = np.linalg.lstsq(columns[:, kept], ones, rcond=None)
        error = float(np.square(columns[:, kept] @ found - ones).sum())
        if (found >= 0).all() and error < best[0]:
            weights = [0.0] * count
            for place, value in zip(kept, found.tolist(), strict=True):
                weights[place] = value
            best = error, weights
    return best


def read_points(paths: Sequence[Path], by: str | None = None) -> tuple[str, list[list[Point]]]:
    """Read the measurements of runs' folders and of tables; tell by whose WER, `by`'s if given.

    Raises: ConfigError naming the file.
    """
    runs = {path: read_run(path) for path in paths if path.is_dir()}
    spells = all(run.spells for run in runs.values())
    if by == "speller" and not spells:
        raise ConfigError("--by speller: a run was not evaluated with its Speller")
    by = by or ("speller" if spells else "ctc")
    return by, [_of_run(runs[path], by) if path in runs else _of_table(path) for path in paths]


def _of_run(run: Run, by: str) -> list[Point]:
    size, tag = (run.spelling, "dev_wer/mean") if by == "speller" else (run.listener, "dev_wer/ctc")
    return [Point(size, hours, wer) for hours, wer in run.curves[tag]]


def _of_table(path: Path) -> list[Point]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except OSError as error:
        raise ConfigError(f"{path}: {system_reason(error)}") from None
    try:
        return [Point(*(float(row[name]) for name in _COLUMNS)) for row in rows]
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"{path}: every row needs numbers in the columns {', '.join(_COLUMNS)}") from None


def run(options: argparse.Namespace) -> Results:
    """Fit, and say what the law promises."""
    by, measured = read_points(options.runs, options.by)
    rows = (row[-1:] if options.last else row for row in measured)
    points = [point for row in rows for point in row if point.hours >= options.from_hours]
    law = fit(points)
    here = max(points, key=lambda point: (point.hours, point.parameters))
    errors = [law.wer(point.parameters, point.hours) / point.wer - 1.0 for point in points]
    results: Results = {
        "kind": "scaling",
        "by": by,
        "points": [asdict(point) for point in points],
        "law": asdict(law),
        "relative_error": round(float(np.sqrt(np.mean(np.square(errors)))), 4),
        "here": asdict(here),
        "hours": {f"{k:g}x": round(law.wer(here.parameters, k * here.hours), 2) for k in _FACTORS},
    }
    if law.of_parameters:
        sizes = {f"{k:g}x": round(law.wer(k * here.parameters, here.hours), 2) for k in _FACTORS}
        results |= {"parameters": sizes}
    if options.plot:
        draw(points, law, options.plot)
    return results


def draw(points: Sequence[Point], law: Law, path: Path) -> None:
    """Plot measurements and law, a colour for each size of model."""
    figure, (axes,) = figures.new_figure(6.0, 4.0)
    sizes = sorted({point.parameters for point in points})
    most = 10 * max(point.hours for point in points)
    for number, size in enumerate(sizes):
        own, style = [point for point in points if point.parameters == size], figures.style(number)
        hours = np.geomspace(min(point.hours for point in own), most, 60)
        axes.plot(hours, [law.wer(size, h) for h in hours], color=style["color"], linewidth=1)
        axes.plot([point.hours for point in own], [point.wer for point in own], linestyle="none", **style)
    axes.set(xscale="log", yscale="log", xlabel="speech heard, hours", ylabel="dev WER, %")
    figures.plain_log(axes.xaxis)
    figures.plain_log(axes.yaxis)
    axes.grid()
    ends = [(most, law.wer(size, most)) for size in sizes]
    figures.label(axes, ends, [f"{size / 1e6:.1f} M" for size in sizes], range(len(sizes)))
    figures.save(figure, path)


def show(results: Results) -> None:
    """Print the law and what it promises."""
    law, here = Law(**results["law"]), results["here"]
    measured = f"{len(results['points'])} measurements, of runs by {results['by']}"
    print(f"{measured}; the law is off by {results['relative_error']:.1%}")
    size = f" + {law.of_parameters:.3g} parameters^-{law.by_parameters:.2f}" if law.of_parameters else ""
    print(f"WER = {law.floor:.1f} + {law.of_hours:.3g} hours^-{law.by_hours:.2f}{size}")
    print(
        f"now: {here['parameters'] / 1e6:.1f} M parameters, {here['hours']:.0f} hours, WER {here['wer']:.1f}"
    )
    for name in ("hours", "parameters"):
        if name in results:
            print(f"{name}: " + ", ".join(f"{k} {wer:.1f}" for k, wer in results[name].items()))
    if not law.of_parameters:
        sizes = len({point["parameters"] for point in results["points"]})
        print(f"parameters: {'of no use here' if sizes > 1 else 'all measurements are of one size of model'}")


def main(arguments: list[str] | None = None) -> int:
    """Fit, print, and return the exit code."""
    parser = new_parser("scaling", __doc__)
    add = parser.add_argument
    # fmt: off
    add("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run, or a .tsv of measurements")
    add("--from-hours", type=float, default=0.0, metavar="H", help="leave measurements out before these (0)")
    add("--by", choices=("speller", "ctc"), help="whose WER (the Speller's, where all runs have it)")
    add("--last", action="store_true", help="only the last measurement of each run")
    add("--plot", type=Path, metavar="FILE.svg", help="draw measurements and law")
    add("--json", type=Path, metavar="OUT", help="write the results here")
    # fmt: on
    return execute(parser, arguments, run, show)


if __name__ == "__main__":
    sys.exit(main())
