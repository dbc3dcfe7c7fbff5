"""The report's plots, as SVG: the same bytes for the same figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures

Scores = Mapping[str, Mapping[str, Any]]

_COLOURS = {
    "edge-las": "#d62728",
    "edge-las-grammar": "#ff7f0e",
    "edge-las-forced": "#bcbd22",
    "pocketsphinx": "#1f77b4",
    "pocketsphinx-grammar": "#17becf",
    "whisper": "#2ca02c",
    "whisper-greedy": "#8c564b",
}


def accuracy_against_cost(path: Path, panels: Mapping[str, Scores], titles: Mapping[str, str]) -> None:
    """Draw a panel for each set: `accuracy` over CPU seconds for a second of audio."""
    figure, axes = figures.new_figure(1.5 + 3.6 * len(panels), 3.8, len(panels))
    for axis, (name, systems) in zip(axes, panels.items(), strict=True):
        for system, scores in systems.items():
            cost, right = scores["cpu_s_per_audio_s"], 100.0 * scores["accuracy"]
            axis.scatter(cost, right, s=60, color=_COLOURS[system], label=titles[system], zorder=3)
        axis.set(xscale="log", ylim=(-3, 103), title=name)
        axis.set_xlabel("CPU seconds for a second of audio")
        axis.grid()
    axes[0].set_ylabel("right, %")
    shown = [axis.get_legend_handles_labels() for axis in axes]
    handles = {label: handle for drawn, labels in shown for handle, label in zip(drawn, labels, strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    figures.save(figure, path)


def bars(
    path: Path,
    values: Mapping[str, Mapping[str, float]],
    titles: Mapping[str, str],
    what: str,
    log: bool = False,
) -> None:
    """Draw a panel of horizontal bars for each set, a bar for each system that heard it."""
    figure, axes = figures.new_figure(1.5 + 3.6 * len(values), 2.8, len(values))
    systems = list(titles)[::-1]
    for axis, (name, found) in zip(axes, values.items(), strict=True):
        drawn = axis.barh(
            [titles[system] for system in systems],
            [found.get(system, 0.0) for system in systems],
            color=[_COLOURS[system] for system in systems],
        )
        labels = [f"{found[system]:.3g}" if system in found else "" for system in systems]
        axis.bar_label(drawn, labels, padding=2, fontsize=8)
        axis.set(xscale="log" if log else "linear", title=name)
        axis.margins(x=0.2)
    figure.supxlabel(what, fontsize=9)
    figures.save(figure, path)


def over_noise(
    path: Path, curves: Mapping[str, Sequence[tuple[str, float]]], titles: Mapping[str, str]
) -> None:
    """Draw intent accuracy over the ratio of speech to noise, a line for each system."""
    figure, (axis,) = figures.new_figure(8.5, 4.2)
    for system, points in curves.items():
        axis.plot(
            [label for label, _ in points], [100.0 * right for _, right in points],
            marker="o", color=_COLOURS[system], label=titles[system],
        )  # fmt: skip
    axis.set(ylim=(-3, 103))
    axis.set_xlabel("speech to noise, dB")
    axis.set_ylabel("intents right, %")
    axis.grid()
    axis.legend(frameon=False)
    figures.save(figure, path)
