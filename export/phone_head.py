"""The head of phones as the runtime reads it: three layers of int8 weights, 150 kB."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge_las.train.model import FramePhoneHead

_LEAST_SCALE = float(np.finfo(np.float16).smallest_normal)


@torch.no_grad()
def save_phone_head(path: Path, head: FramePhoneHead) -> None:
    """Write what `edge_las.runtime.phones` reads: how much likelier phones are than they commonly are.

    The normalisation is folded into the layer after it, the prior into the last bias.
    """
    norm = head.norm
    assert norm.running_mean is not None and norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    hidden = head.hidden.weight * scale
    context, out = head.context, head.out
    assert context.bias is not None
    layers = {
        "hidden": (hidden, head.hidden.bias - hidden @ norm.running_mean),
        "context": (context.weight, context.bias),
        "out": (out.weight, out.bias - head.log_prior()),
    }
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, (weight, bias) in layers.items():
        arrays[f"{name}_weight"], arrays[f"{name}_scale"] = round_rows(weight)
        arrays[f"{name}_bias"] = bias.numpy().astype(np.float16)
    np.savez(path, **arrays)  # type: ignore[arg-type]


def round_rows(weight: Tensor) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float16]]:
    """Round weight (rows, ...) to int8 steps of a scale for each row: both."""
    values = weight.numpy()
    flat = values.reshape(len(values), -1)
    scale = np.maximum(np.abs(flat).max(axis=1) / 127.0, _LEAST_SCALE).astype(np.float16)
    steps = np.clip(np.rint(flat / scale[:, None].astype(np.float32)), -127, 127).astype(np.int8)
    return steps.reshape(values.shape), scale
