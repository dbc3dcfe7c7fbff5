"""Graphs to TFLite files: fixed shapes only, so one signature for each size, all over the same weights."""

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from edge_las.errors import ConfigError
from edge_las.manifest import GraphEntry, TensorSpec
from edge_las.train.model import LasModel
from export.graphs import Graph, speller_graph
from export.shared_quantization import share_quantization

LISTENER_SIGNATURE = "chunk"
# Hypotheses and encoded frames are padded up to the next of these; 64 frames are 2.6 s of speech.
BATCHES = (1, 4, 8)
FRAMES = (64, 128, 256)
# The longest size is a multiple of this, so that rows stay aligned.
_FRAME_STEP = 32


def need_tools() -> None:
    """Raise ConfigError, saying what to install, where the converter is missing."""
    try:
        import ai_edge_quantizer  # noqa: F401
        import litert_torch  # noqa: F401
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"engine tflite needs the export tools: pip install edge-las[export-tflite] ({reason})"
        ) from None


def speller_graphs(model: LasModel, most_frames: int) -> dict[str, Graph]:
    """Describe the Speller's step for each batch and length up to `most_frames`, by signature."""
    longest = -(-most_frames // _FRAME_STEP) * _FRAME_STEP
    lengths = [*(frames for frames in FRAMES if frames < longest), longest]
    graphs = {}
    module = None
    for batch in BATCHES:
        for frames in lengths:
            graph = speller_graph(model, batch, frames)
            module = module or graph.module
            graphs[f"b{batch}_t{frames}"] = Graph(module, graph.inputs, graph.outputs, {})
    return graphs


def export_tflite(graphs: Mapping[str, Graph], path: Path) -> None:
    """Write a float file with a signature for each graph; tensors are named after their module."""
    with _quiet():
        import litert_torch

        conversion: Any = litert_torch
        for name, graph in graphs.items():
            conversion = conversion.signature(name, _Named(graph).eval(), (), dict(graph.inputs))
        conversion.convert().export(str(path))
    _rewrite(path, lambda subgraph, index, name: f"{subgraph}/{index}/{name}")


def shorten_tflite(path: Path) -> None:
    """Remove from a finished file what no engine reads, and what it says twice: long names, notes, scales."""
    _rewrite(path, lambda subgraph, index, name: f"t{index}", share_quantization)


def describe_tflite(path: Path) -> GraphEntry:
    """List the inputs and outputs of a file for the manifest; a size that signatures differ in is dynamic."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    runners = [interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()]
    inputs = _merged([runner.get_input_details() for runner in runners])
    return GraphEntry(path.name, inputs, _merged([runner.get_output_details() for runner in runners]))


def _merged(variants: list[dict[str, dict[str, Any]]]) -> tuple[TensorSpec, ...]:
    names = sorted(variants[0], key=_counted)
    return tuple(_spec(name, [variant[name] for variant in variants]) for name in names)


def _counted(name: str) -> tuple[str, int]:
    """Sort state_2 before state_10: the order in which the runtime keeps the states."""
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if number.isdecimal() else (name, 0)


def _spec(name: str, variants: list[dict[str, Any]]) -> TensorSpec:
    shapes = [tuple(int(size) for size in variant["shape"]) for variant in variants]
    shape = tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True))
    scale, zero_point = variants[0]["quantization"]
    is_float = np.issubdtype(variants[0]["dtype"], np.floating) or not scale
    dtype = np.dtype(variants[0]["dtype"]).name
    return TensorSpec(
        name, dtype, shape, None if is_float else float(scale), None if is_float else zero_point
    )


class _Named(nn.Module):
    """Gives a graph's tensors their names: the converter takes those of keywords and of a dict."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.inner = graph.module
        self._inputs, self._outputs = tuple(graph.inputs), graph.outputs

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        found = self.inner(*(inputs[name] for name in self._inputs))
        return dict(zip(self._outputs, found, strict=True))


def _rewrite(path: Path, named: Any, finish: Any = None) -> None:
    """Rename every tensor: the quantizer's statistics go by name, and the converter repeats some names."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    for number, subgraph in enumerate(model.subgraphs):
        for index, tensor in enumerate(subgraph.tensors):
            tensor.name = named(number, index, tensor.name.decode())
    for entry in model.metadata or ():
        model.buffers[entry.buffer].data = None
    model.metadata, model.description = None, b"edge-las"
    if finish:
        finish(model)
    flatbuffer_utils.write_model(model, str(path))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the converter, whose native part writes to the file descriptors of stdout and stderr."""
    root = logging.getLogger()
    level = root.level
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    null = os.open(os.devnull, os.O_WRONLY)
    root.setLevel(logging.ERROR)
    try:
        for number in (1, 2):
            os.dup2(null, number)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
        for descriptor in (null, *kept):
            os.close(descriptor)
