"""What each layer costs in int8: all stays float but one, and the gate's yardsticks tell."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from edge_las.manifest import EngineEntry
from edge_las.metrics import wer
from edge_las.runtime.listener_stream import Heard
from edge_las.search.config import BeamConfig
from export.build_onnx import LISTENER, SPELLER
from export.gate import Built
from export.parity import Form, lead, snr_db
from export.quantize import Observer, quantize_nodes
from export.recordings import FloatArray
from export.to_onnx import describe

# Operators with weights; what lies between them is only looked at all together.
_LAYERS = ("Conv", "Gemm", "Gather")
EVERYTHING = "all of it"


@dataclass(frozen=True)
class LayerCost:
    """What int8 costs in one layer: the SNR of what its network gives, and the tokens that change."""

    network: str
    layer: str
    snr_db: float
    token_error_rate: float


@dataclass(frozen=True)
class _Spoken:
    """What the float form makes of one recording."""

    samples: FloatArray
    heard: Heard
    tokens: tuple[int, ...]


def measure_layers(
    reference: Built, observers: dict[str, Observer], clips: Sequence[FloatArray],
    progress: Callable[[str], None] = lambda line: None,
) -> list[LayerCost]:  # fmt: skip
    """Quantize each layer of the float ONNX graphs alone, then each network whole; the worst SNR first."""
    form = reference.form("onnx")
    spoken = []
    for samples in clips:
        heard = form.listen(samples)
        spoken.append(_Spoken(samples, heard, form.spell(heard, BeamConfig())))
    costs = []
    with tempfile.TemporaryDirectory() as scratch:
        for network, observer in observers.items():
            for layer, quantized in _variants(observer):
                other = _with_graph(reference, network, quantized, Path(scratch))
                costs.append(_cost(network, layer, form, other, spoken))
                progress(f"{network} {layer}: {costs[-1].snr_db:.1f} dB")
    return sorted(costs, key=lambda cost: cost.snr_db)


def report_lines(costs: Sequence[LayerCost], clips: int) -> list[str]:
    """Write the costs as a Markdown table."""
    lines = [
        "# What int8 costs, layer by layer",
        "",
        f"Each layer of the ONNX graphs quantized alone, all else in float, on {clips} dev recordings. SNR:",
        "of the encoded frames (Listener), of the log-probabilities along the float form's tokens (Speller).",
        "",
        "| network | layer | SNR dB | tokens that change |",
        "|---|---|---|---|",
    ]
    return lines + [
        f"| {cost.network} | {cost.layer} | {cost.snr_db:.1f} | {cost.token_error_rate:.2%} |"
        for cost in costs
    ]


def _variants(observer: Observer) -> Iterator[tuple[str, onnx.ModelProto]]:
    ranges = observer.ranges()
    yield EVERYTHING, quantize_nodes(observer.model, observer.nodes, ranges)
    for node in observer.nodes:
        if node.op_type in _LAYERS:
            yield node.name, quantize_nodes(observer.model, [node], ranges)


def _with_graph(reference: Built, network: str, graph: onnx.ModelProto, folder: Path) -> Form:
    """Give the float form with one graph in the place of its own."""
    entry = reference.manifest.engines["onnx"]
    for name in (entry.listener.file, entry.speller.file):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(reference.folder / name)
    path = folder / getattr(entry, network).file
    path.unlink()
    onnx.save(graph, str(path))
    graphs = {LISTENER: entry.listener, SPELLER: entry.speller, network: describe(path)}
    engines = {"onnx": EngineEntry(entry.precision, graphs[LISTENER], graphs[SPELLER])}
    return Built(folder, replace(reference.manifest, engines=engines)).form("onnx")


def _cost(network: str, layer: str, form: Form, other: Form, spoken: Sequence[_Spoken]) -> LayerCost:
    expected, got, tokens = [], [], []
    for one in spoken:
        if network == LISTENER:
            heard = other.listen(one.samples)
            pairs = [(one.heard.encoded[0], heard.encoded[0])]
        else:
            heard, pairs = one.heard, list(lead(form, other, one.heard, one.tokens))
        expected += [pair[0] for pair in pairs]
        got += [pair[1] for pair in pairs]
        tokens.append(other.spell(heard, BeamConfig()))
    ratio = snr_db(np.concatenate(expected), np.concatenate(got))
    return LayerCost(network, layer, ratio, token_error_rate([one.tokens for one in spoken], tokens))


def token_error_rate(expected: Sequence[tuple[int, ...]], got: Sequence[tuple[int, ...]]) -> float:
    """Count the tokens to change from one list of recordings to the other, as a share of the first's."""
    # The mark keeps a recording without tokens from being an empty reference.
    before, after = ([" ".join(["s", *map(str, row)]) for row in rows] for rows in (expected, got))
    return wer(before, after)
