"""Figures as SVG: the same bytes for the same values, no ground of their own, read on light and on dark."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from edge_las.errors import ConfigError

# Of middling lightness; where the colours run out the markers change.
_COLOURS = ("#3b82f6", "#e2711d", "#22a35a", "#c026d3", "#d9423b", "#8a7a1f", "#0d9aa8", "#8b6cf0")
_MARKERS = ("o", "s", "^", "D")
GREY = "#7d8590"
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "edge-las",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY),
}
_LABEL_POINTS = 8


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Any, Sequence[Any]]:
    """Make a row of panels with the same axes; sizes in inches.

    Raises: ConfigError without matplotlib.
    """
    try:
        import matplotlib
    except ImportError:
        raise ConfigError("plots need matplotlib: pip install matplotlib") from None
    matplotlib.use("svg")
    matplotlib.rcParams |= _SETTINGS
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, columns, figsize=(width, height), squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    return figure, list(axes[0])


def save(figure: Any, path: Path) -> None:
    """Write a figure and let go of it; folders are made."""
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, transparent=True)
    pyplot.close(figure)


def style(number: int) -> dict[str, Any]:
    """Give the colour and marker of the line with this number."""
    colour, marker = number % len(_COLOURS), number // len(_COLOURS) % len(_MARKERS)
    return {"color": _COLOURS[colour], "marker": _MARKERS[marker], "markersize": 4}


def plain_log(axis: Any) -> None:
    """Write the numbers of a logarithmic axis as they are: 20, not 2 x 10^1."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0, 7.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def label(
    axes: Any, points: Sequence[tuple[float, float]], names: Sequence[str], lines: Sequence[int]
) -> None:
    """Write each name beside its point (x, y), in its line's colour; higher or lower where two would overlap.

    The panel's limits must be as they will stay.
    """
    axes.figure.canvas.draw()
    pixels = axes.figure.dpi / 72.0
    heights = [float(axes.transData.transform(point)[1]) / pixels for point in points]
    places = spread(heights, 1.2 * _LABEL_POINTS)
    for point, name, line, height, place in zip(points, names, lines, heights, places, strict=True):
        axes.annotate(
            name, point, (7, place - height), textcoords="offset points", va="center",
            color=style(line)["color"], fontsize=_LABEL_POINTS, annotation_clip=False,
        )  # fmt: skip


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move places, in all as little as can be (least squares), so that no two are closer than `gap`."""
    order = sorted(range(len(places)), key=places.__getitem__)
    # Less a gap for each that is lower, they must not fall: pools of adjacent violators.
    pools: list[list[float]] = []
    for rank, number in enumerate(order):
        pools.append([places[number] - rank * gap])
        while len(pools) > 1 and fmean(pools[-2]) >= fmean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    level = [fmean(pool) for pool in pools for _ in pool]
    rank_of = {number: rank for rank, number in enumerate(order)}
    return [level[rank_of[number]] + rank_of[number] * gap for number in range(len(places))]
