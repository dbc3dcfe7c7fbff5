"""The comparison as Markdown with plots, and whether the bars that the project set itself are met."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import markdown
from benchmarks.markdown import megabytes, percent
from benchmarks.output import write_text
from benchmarks.peers import plots

Results = Mapping[str, Any]

_PLOTS = "plots"
_DELAYS = ("delay_ms", "delay_cpu_ms")
# Plots of bars: name, figure, what it is, whether on a logarithmic axis.
_BARS = (
    ("delay", "delay_cpu_ms_p50", "delay after the last sample, CPU ms (p50)", True),
    ("memory", "peak_mb", "peak memory of the process, MB", False),
)
OURS, OURS_HELD = "edge-las", "edge-las-grammar"
# The bars of the project: CPU at least so many times less, memory less than this share.
_CPU_TIMES, _MEMORY_SHARE = 8.0, 0.5
_METHOD = """\
Every system hears the same 16-bit WAV files in a process of its own with one thread, after one recording
that does not count. Samples come in blocks of 0.25 s; delay is from handing over the last block to the
text; what of it the process worked is all of it where nothing else runs. Whisper takes a recording only
whole, at its end. CPU seconds are those of the process while it recognizes, loading not counted; peak
memory is of the whole process, Python with it. Texts are compared in lower case, without punctuation,
numbers and titles spelled out.

Systems were measured one after the other on a machine that did other work too: with a load average above
its CPUs, delays and loading take longer than they would, CPU seconds hardly. Compare those.

Exact: the whole text is right. Snapped: so is the sentence of the grammar with the fewest letters inserted,
deleted or replaced; an empty text stays empty. The grammar is the list of the set's words, or that of the
commands; PocketSphinx gets it as a finite-state grammar, Whisper only by snapping. edge-las, by itself,
gives no text where it doubts that there was speech, or that it was of the grammar, and the bars count that
as wrong; the others always answer. What it hears when made to answer always is in the tables too."""

_AGAIN = """\
## Run it

```bash
make peers SPEECH=DIR [PEERS_ARGS=--fresh]   # a folder with manifest.tsv; writes this page
pip install '.[peers]'
python -m benchmarks.peers --labels DIR --domain ARTIFACT --noise FILE --report OUT.md
```

The second takes any recordings of commands: `label.json` in their folder is `{"a.wav": {"intent": "Order",
"slots": {"count": 2}}}`, an intent of `null` meaning that it is no command, and the artifact has their
grammar (`edge-las domain build`). Intents are counted clean and with the noise mixed in at 24 to 6 dB
(`--snr`). Results are kept in `build/peers`, so that a run goes on where it was interrupted."""


def write_report(results: Results, path: Path) -> None:
    """Write the report, and its plots in a folder beside it."""
    folder = path.parent / _PLOTS
    _draw(results, folder, path.stem)
    write_text(path, "\n".join(_lines(results, path.stem)) + "\n")


def right(scores: Mapping[str, Any]) -> float:
    """Take the one figure that says how much was right: snapped where there is a grammar, else 1 - WER."""
    for name in ("snapped_intent_accuracy", "snapped"):
        if name in scores:
            return float(scores[name])
    return max(0.0, 1.0 - scores["wer"])


def _lines(results: Results, stem: str) -> Iterator[str]:
    model, machine = results["model"], results["measured_on"]
    yield "# Beside other recognizers"
    yield ""
    yield "<!-- Written by `python -m benchmarks.peers --report`: change it there. -->"
    yield ""
    yield (
        f"`{model['name']}` (checkpoint `{model['parent_checkpoint_sha256'][:12]}`, {model['precision']}) on "
        f"{machine['machine']} ({machine['cpu']}, {machine['cpus']} CPUs, shared with other work), one "
        f"thread, Python {machine['python']}. No figure here is of a board."
    )
    yield ""
    yield from _bars(results)
    for name, found in results["sets"].items():
        yield f"## {name}"
        yield ""
        yield from _set_table(found, results["titles"])
        yield ""
    yield f"![Accuracy against CPU]({_PLOTS}/{stem}_cpu.svg)"
    yield ""
    yield f"![Delay]({_PLOTS}/{stem}_delay.svg)"
    yield ""
    yield f"![Memory]({_PLOTS}/{stem}_memory.svg)"
    yield ""
    if _curves(results):
        yield f"![In noise]({_PLOTS}/{stem}_noise.svg)"
        yield ""
    yield from _systems(results)
    yield "## How it is measured"
    yield ""
    yield _METHOD
    yield ""
    yield _AGAIN


def _bars(results: Results) -> Iterator[str]:
    yield "## Bars"
    yield ""
    rows = [
        [bar, figure, {True: "met", False: "missed", None: ""}[met]]
        for bar, figure, met in check_bars(results)
    ]
    yield from markdown.table(["bar", "figure", ""], rows, text_columns=3)
    yield ""


def check_bars(results: Results) -> Iterator[tuple[str, str, bool]]:
    """Compare with what the project demands of itself: bar, figure, and whether it is met."""
    titles = results["titles"]
    own_mb = _most(results, OURS, "peak_mb")
    for peer in ("whisper-greedy", "whisper", "pocketsphinx"):
        costs = _costs(results, peer)
        if costs:
            times = costs[1] / costs[0]
            bar = f"at least {_CPU_TIMES:g} times fewer CPU seconds than {titles[peer]}"
            yield bar, f"{times:.1f} times, {costs[0]:.1f} against {costs[1]:.1f} s", times >= _CPU_TIMES
    whisper_mb = _most(results, "whisper-greedy", "peak_mb")
    if own_mb and whisper_mb:
        figure = f"{own_mb:.0f} against {whisper_mb:.0f} MB"
        yield "less than half the memory of Whisper", figure, own_mb < _MEMORY_SHARE * whisper_mb
    for name, found in results["sets"].items():
        systems = found["systems"]
        peers = {system: right(scores) for system, scores in systems.items() if not system.startswith(OURS)}
        if found["commands"] and peers and OURS_HELD in systems:
            best = max(peers, key=lambda system: peers[system])
            own = right(systems[OURS_HELD])
            figure = f"{percent(own)} against {percent(peers[best])} ({titles[best]})"
            yield f"{name}: better than every peer with the same grammar", figure, own > peers[best]


def _costs(results: Results, peer: str) -> tuple[float, float] | None:
    """Add up the CPU seconds of edge-las and a peer over the sets that both heard."""
    both = [found["systems"] for found in results["sets"].values() if {OURS, peer} <= found["systems"].keys()]
    if not both:
        return None
    ours, theirs = (sum(systems[name]["cpu_s"] for systems in both) for name in (OURS, peer))
    return ours, theirs


def _most(results: Results, system: str, figure: str) -> float:
    rows = [found["systems"].get(system, {}) for found in results["sets"].values()]
    return max((row[figure] for row in rows if row), default=0.0)


def _set_table(found: Mapping[str, Any], titles: Mapping[str, str]) -> Iterator[str]:
    systems = found["systems"]
    any_scores = next(iter(systems.values()))
    yield f"{any_scores['clips']} recordings, {any_scores['audio_s']:.0f} s."
    yield ""
    names = ["intent_accuracy", "exact", "snapped_intent_accuracy", "snapped_exact", "wer", "snapped"]
    shown = [name for name in names if name in any_scores]
    heads = [name.replace("_", " ").replace("wer", "WER") for name in shown]
    rows = [
        [
            titles[system],
            *(percent(scores[name]) for name in shown),
            f"{scores['cpu_s_per_audio_s']:.4f}",
            *(f"{scores[f'{name}_p50']:.0f} / {scores[f'{name}_p95']:.0f}" for name in _DELAYS),
            f"{scores['peak_mb']:.0f}",
        ]
        for system, scores in systems.items()
    ]
    costs = ["CPU s for 1 s", "delay ms, p50 / p95", "of it CPU", "peak MB"]
    yield from markdown.table(["system", *heads, *costs], rows)
    for system, scores in systems.items():
        if scores["unknown_words"]:
            yield ""
            yield f"{titles[system]} has no pronunciation of: {', '.join(scores['unknown_words'])}."


def _systems(results: Results) -> Iterator[str]:
    """Tell versions and what each takes on disk, as of the first set it heard."""
    yield "## Systems"
    yield ""
    rows = []
    for system, title in results["titles"].items():
        heard = (found["systems"].get(system) for found in results["sets"].values())
        scores = next((scores for scores in heard if scores), None)
        if scores:
            disk = scores["disk"]
            versions = ", ".join(f"{name} {version}" for name, version in disk["packages"].items())
            sizes = [megabytes(disk[name]) for name in ("model_bytes", "all_bytes")]
            loaded = [f"{scores['load_s']:.2f}", f"{scores['load_cpu_s']:.2f}"]
            rows.append([title, versions, *sizes, *loaded, scores["date"], f"{scores['load_1min']:.1f}"])
    heads = ["system", "packages", "model", "installed, all", "load s", "CPU s", "measured", "load average"]
    yield from markdown.table(heads, rows, text_columns=2)
    yield ""


def _draw(results: Results, folder: Path, stem: str) -> None:
    titles = results["titles"]
    clean = {name: found["systems"] for name, found in results["sets"].items() if found["snr_db"] is None}
    panels = {
        name: {system: {**scores, "accuracy": right(scores)} for system, scores in systems.items()}
        for name, systems in clean.items()
    }
    plots.accuracy_against_cost(folder / f"{stem}_cpu.svg", panels, titles)
    for name, figure, what, log in _BARS:
        values = {
            set_name: {system: scores[figure] for system, scores in systems.items()}
            for set_name, systems in clean.items()
        }
        plots.bars(folder / f"{stem}_{name}.svg", values, titles, what, log)
    curves = _curves(results)
    if curves:
        plots.over_noise(folder / f"{stem}_noise.svg", curves, titles)


def _curves(results: Results) -> dict[str, list[tuple[str, float]]]:
    """Give each system's intent accuracy over the ratios, clean first."""
    curves: dict[str, list[tuple[str, float]]] = {}
    sets = [found for found in results["sets"].values() if found["of_intents"]]
    if len(sets) < 2:
        return curves
    for found in sets:
        label = "clean" if found["snr_db"] is None else f"{found['snr_db']:g}"
        for system, scores in found["systems"].items():
            curves.setdefault(system, []).append((label, right(scores)))
    return curves
