"""Ranges of activations, measured once: both engines round by the same steps, so they hear the same."""

import math
from collections.abc import Mapping

import numpy as np

from edge_las.errors import ArtifactError

Range = tuple[float, float]  # lowest, highest
Ranges = Mapping[str, Range]  # by value of the float ONNX graph

STEPS = 255
_A_LITTLE = 2.0**-20


def whole_steps(lowest: float, highest: float) -> Range:
    """Widen a range to hold zero, and move it by half a step at most: its ends are whole steps from zero.

    Each engine's quantizer works out scale and zero point for itself, one in 32 bits and one in 64: of this
    range both make the same. Where the last bit differed, 0.02 % of the Speller's probability
    moved; now a tenth of that.
    Raises: ArtifactError if the graph gave what is no number.
    """
    if not math.isfinite(lowest + highest):
        raise ArtifactError(f"the float graph gave values from {lowest} to {highest}: they can't be rounded")
    lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    if lowest == highest:
        return 0.0, 0.0
    step = (highest - lowest) / STEPS
    below = round(-lowest / step)
    while True:
        ends = np.float32(-below * step), np.float32((STEPS - below) * step)
        if _scale(ends, np.float32) == _scale(ends, np.float64):
            return float(ends[0]), float(ends[1])
        step *= 1.0 + _A_LITTLE


def bounded(found: Range, bound: float) -> Range:
    """Cut a range off at -bound and bound."""
    return max(found[0], -bound), min(found[1], bound)


def _scale(ends: tuple[np.float32, np.float32], kind: type[np.float32] | type[np.float64]) -> np.float32:
    return np.float32((kind(ends[1]) - kind(ends[0])) / kind(STEPS))
