"""Graphs to ONNX files that hold the computation and nothing else."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch

from edge_las.manifest import GraphEntry, TensorSpec
from export.graphs import Graph

OPSET = 18
# Bounds of the dynamic sizes; the exporter refuses a graph that would only work for some of them.
_MOST = {"batch": 1024, "frames": 65536}


def export_onnx(graph: Graph, path: Path) -> onnx.ModelProto:
    """Write a float graph and return it; nodes with weights carry the name of their module."""
    sizes = {name: torch.export.Dim(name, min=1, max=most) for name, most in _MOST.items()}
    dynamic = {
        name: {axis: sizes[size] for axis, size in graph.dynamic.get(name, {}).items()}
        for name in graph.inputs
    }
    shapes = tuple(dynamic.values()) if graph.dynamic else None
    with _quiet():
        program = torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            external_data=False,
            dynamic_shapes=shapes,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    strip(model)
    _name_nodes(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return model


def strip(model: onnx.ModelProto) -> None:
    """Remove what no engine reads: stack traces, shapes of inner values, documentation."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        item.ClearField("doc_string")
        if hasattr(item, "metadata_props"):
            item.ClearField("metadata_props")
    del graph.value_info[:]
    model.producer_name, model.producer_version = "edge-las", ""
    graph.name = "edge-las"


def shorten(model: onnx.ModelProto) -> None:
    """Share equal constants and give inner values short names; inputs and outputs keep theirs."""
    graph = model.graph
    renamed = {value.name: value.name for value in (*graph.input, *graph.output)}
    unique: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
    for tensor in graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        content = (array.dtype.str, array.shape, array.tobytes())
        if content not in unique:
            unique[content] = onnx.numpy_helper.from_array(array, f"c{len(unique)}")
        renamed[tensor.name] = unique[content].name
    del graph.initializer[:]
    graph.initializer.extend(unique.values())
    for node in graph.node:
        node.input[:] = [renamed[name] if name else "" for name in node.input]
        for name in node.output:
            renamed.setdefault(name, f"v{len(renamed)}")
        node.output[:] = [renamed[name] for name in node.output]


def describe(path: Path) -> GraphEntry:
    """List the inputs and outputs of a file for the manifest."""
    graph = onnx.load(str(path), load_external_data=False).graph
    return GraphEntry(
        path.name,
        tuple(_spec(value) for value in graph.input),
        tuple(_spec(value) for value in graph.output),
    )


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    return TensorSpec(value.name, dtype, shape, None, None)


def _name_nodes(model: onnx.ModelProto) -> None:
    """Name nodes after the module of their weight, so that reports and exclusions can speak of layers."""
    constants = {tensor.name for tensor in model.graph.initializer}
    taken: set[str] = set()
    for node in model.graph.node:
        owners = [name.rsplit(".", 1)[0] for name in node.input if name in constants and "." in name]
        named = owners[0] if owners else node.name
        node.name = named if named not in taken else f"{named}.{node.op_type}"
        taken.add(node.name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks on packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
