"""The file of a grammar: JSON, compressed, the same bytes for the same grammar."""

import gzip
import json
from pathlib import Path
from typing import Any

from edge_las.arcs import pack
from edge_las.errors import ArtifactError
from edge_las.grammar import Grammar
from edge_las.textfiles import read_gzipped

# Format 1 wrote every node by itself; most do nothing but lead to the next, and are written as text now.
FORMAT = 2
_READ = (1, FORMAT)
_MAX_BYTES = 64 << 20


def save_grammar(path: str | Path, grammar: Grammar) -> None:
    """Write a grammar, the same bytes for the same grammar."""
    values = {
        "format": FORMAT,
        "language": grammar.language,
        "blocks": grammar.blocks,
        "starts": grammar.starts,
        "nodes": grammar.arcs.runs(),
        "ends": [[node, value] for node, value in grammar.ends.items()],
    }
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    Path(path).write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))


def load_grammar(path: str | Path) -> Grammar:
    """Read a grammar.

    Raises: ArtifactError naming the file.
    """
    try:
        grammar = _grammar(json.loads(read_gzipped(path, _MAX_BYTES)))
        _check(grammar)
    except (OSError, EOFError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ArtifactError(f"{path}: not a grammar that can be read: {error}") from None
    return grammar


def _grammar(values: dict[str, Any]) -> Grammar:
    if values["format"] not in _READ:
        raise ValueError(f"format {values['format']}, this edge-las reads {_READ[0]} to {FORMAT}")
    return Grammar(
        language=str(values["language"]),
        blocks=tuple(values["blocks"]),
        starts=tuple(values["starts"]),
        arcs=pack(values["nodes"]),
        ends=dict(values["ends"]),
    )


def _check(grammar: Grammar) -> None:
    """Raise ValueError unless everything that is referred to is there."""
    arcs, networks = grammar.arcs, len(grammar.starts)
    nodes = range(len(arcs))
    if not networks or any(start not in nodes for start in grammar.starts):
        raise ValueError("a start is not a node")
    if any(node not in nodes for node in grammar.ends):
        raise ValueError("an end is not a node")
    if arcs.codes and min(arcs.codes) < -networks:
        raise ValueError("an arc leads through a network that is not there")
    if arcs.targets and not (min(arcs.targets) in nodes and max(arcs.targets) in nodes):
        raise ValueError("an arc leads nowhere")
    for block in grammar.blocks:
        if not isinstance(block["intent"], str) or not isinstance(block["slots"], dict):
            raise ValueError("an intent has no name or no slots")
