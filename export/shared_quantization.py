"""Scales and zero points of a TFLite file, stored once: its signatures repeat them, a tenth of the bytes."""

from typing import Any

import numpy as np


def share_quantization(model: Any) -> None:
    """Let equal quantization parameters be written once, and equal zero points of different scales."""
    known: dict[tuple[bytes, bytes, int], _Parameters] = {}
    written: dict[bytes, int] = {}
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            found = tensor.quantization
            if found is not None and found.scale is not None:
                made = _Parameters(found, written)
                tensor.quantization = known.setdefault(made.key, made)


class _Parameters:
    """Packs into a file as the schema's QuantizationParametersT does, but only at the first call."""

    def __init__(self, found: Any, written: dict[bytes, int]) -> None:
        """Take a tensor's parameters; `written` holds where zero points already lie in the file."""
        self._scale = np.asarray(found.scale, dtype=np.float32)
        self._zero_point = np.asarray(found.zeroPoint, dtype=np.int64)
        self._dimension = int(found.quantizedDimension)
        self._written, self._offset = written, 0
        self.key = self._scale.tobytes(), self._zero_point.tobytes(), self._dimension

    def Pack(self, builder: Any) -> int:  # noqa: N802 - what the schema calls
        """Write them unless they are, and give their offset."""
        from ai_edge_litert import schema_py_generated as schema

        if not self._offset:
            scale = builder.CreateNumpyVector(self._scale)
            zeros = self._zero_point.tobytes()
            if zeros not in self._written:
                self._written[zeros] = builder.CreateNumpyVector(self._zero_point)
            schema.QuantizationParametersStart(builder)
            schema.QuantizationParametersAddScale(builder, scale)
            schema.QuantizationParametersAddZeroPoint(builder, self._written[zeros])
            schema.QuantizationParametersAddQuantizedDimension(builder, self._dimension)
            self._offset = schema.QuantizationParametersEnd(builder)
        return self._offset
