"""Quantization-aware fine-tuning: training computes with the int8 values that the export will.

Weights have a scale for each row, symmetric; activations one range, asymmetric. Gradients go straight
through the rounding. The float weights stay what is trained and saved; nothing of this is exported.
Source: Jacob et al. 2018 (arXiv:1712.05877), section 3.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from edge_las.errors import ConfigError
from edge_las.train.blocks import SeparableBlock
from edge_las.train.listener import CompactListener
from edge_las.train.model import TRAINING_HEADS, LasModel

# How far a step moves the ranges, as in the normalisations; the first steps are averaged.
_MOMENTUM = 0.02
_TINY = 1e-12  # a scale must not be zero

Simulation = Callable[[], contextlib.AbstractContextManager[None]]


def round_weight(weight: Tensor) -> Tensor:
    """Round a weight (rows, ...) to the int8 steps of each row, -127 to 127.

    Folding a normalisation scales rows, and so do their steps: rounding before is rounding after.
    """
    scale = weight.detach().flatten(1).abs().amax(dim=1).div(127).clamp(min=_TINY)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -127, 127)


def round_activation(x: Tensor, bounds: Tensor) -> Tensor:
    """Round to the 256 steps of a range, `bounds` (2,) = lowest, highest; it is widened to hold zero exactly.

    What lies beyond is clipped, and gets no gradient.
    """
    lowest, highest = bounds[0].clamp(max=0.0), bounds[1].clamp(min=0.0)
    scale = ((highest - lowest) / 255).clamp(min=_TINY)
    zero = (-lowest / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x.float(), scale, zero, 0, 255).to(x.dtype)


class Range(nn.Module):
    """The range of one activation; it moves once for each optimiser step, by the mean of its batches' ranges.

    Its buffers are in no state dict: a checkpoint is the same with it and without.
    """

    known: Tensor
    pending: Tensor

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        # Lowest, highest, steps; and sums since the last commit: lowest, highest, batches.
        self.register_buffer("known", torch.zeros(3, device=device), persistent=False)
        self.register_buffer("pending", torch.zeros(3, device=device), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Round x; before the first commit by its own range."""
        own = torch.stack(torch.aminmax(x.detach())).float()
        if self.training:
            self.pending += torch.cat([own, own.new_ones(1)])
        return round_activation(x, torch.where(self.known[2] > 0, self.known[:2], own))


def simulate_int8(model: LasModel, enabled: bool) -> Simulation:
    """Round the Listener's activations from now on, and all weights within the context that is returned.

    In training a context holds all forward and backward passes of a step, but not what the optimiser does.
    Raises: ConfigError if the Listener is not one that is exported.
    """
    if not enabled:
        return contextlib.nullcontext
    if not isinstance(model.listener, CompactListener):
        raise ConfigError(
            f"optim.quantize_aware: listener is {model.config.listener!r}, only the compact one becomes int8"
        )
    _round_activations(model.listener)
    return functools.partial(_simulating, model, _weights(model))


def ranges(model: nn.Module) -> dict[str, Tensor]:
    """Give the range of each activation, (3,) = lowest, highest, steps: what continuing a run needs."""
    return {name: part.known for name, part in model.named_modules() if isinstance(part, Range)}


@torch.no_grad()
def commit_ranges(model: nn.Module) -> None:
    """Move all ranges by what was gathered since the last call."""
    parts = [part for part in model.modules() if isinstance(part, Range)]
    gathered = torch.stack([part.pending for part in parts])
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(gathered)
    for part, (lowest, highest, batches) in zip(parts, gathered.unbind(), strict=True):
        heard = (batches > 0).float()
        mean = torch.stack([lowest, highest]) / batches.clamp(min=1)
        part.known[:2].lerp_(mean, heard * (1 / (part.known[2] + 1)).clamp(min=_MOMENTUM))
        part.known[2] += heard
        part.pending.zero_()


@contextlib.contextmanager
def _simulating(model: LasModel, groups: list[list[Tensor]]) -> Iterator[None]:
    """Exchange the weights: gradients of the rounded ones are taken for those of the float ones."""
    saved = [[weight.detach().clone() for weight in group] for group in groups]
    try:
        with torch.no_grad():
            for group in groups:
                rounded = round_weight(torch.cat([weight.flatten(1) for weight in group], dim=1))
                for weight, part in zip(group, rounded.split([w[0].numel() for w in group], 1), strict=True):
                    weight.copy_(part.view_as(weight))
        yield
    finally:
        with torch.no_grad():
            for group, before in zip(groups, saved, strict=True):
                for weight, value in zip(group, before, strict=True):
                    weight.copy_(value)
    if model.training:
        commit_ranges(model)


def _weights(model: LasModel) -> list[list[Tensor]]:
    """List the weights that become int8; those of a group are one matrix in the exported graph."""
    groups: list[list[Tensor]] = []
    for name, part in model.named_modules():
        if isinstance(part, nn.LSTMCell):
            groups.append([part.weight_ih, part.weight_hh])
        elif isinstance(part, nn.Conv1d | nn.Linear) and name not in TRAINING_HEADS:
            groups.append([part.weight])
    return groups


def _round_activations(listener: CompactListener) -> None:
    """Round where the exported graph does: what enters and leaves a convolution, not sums on their way."""
    for convolution in (listener.stem_in, listener.down, listener.out):
        _round_input(convolution)
    # What begins a residual stream has left a convolution.
    for first in (*listener.stem[:1], listener.blocks[0]):
        _round_input(first)
    for block in (*listener.stem, *listener.blocks):
        assert isinstance(block, SeparableBlock)
        _round_input(block.depthwise.conv)
        _round_input(block.widen)
        _round_input(block.narrow)
        _round_output(block.norm2)
    # Not at out_norm: the intermediate layer passes there too, in training alone.
    _round_output(listener)


def _round_input(module: nn.Module) -> None:
    module.add_module("int8_input", made := Range(next(module.parameters()).device))
    module.register_forward_pre_hook(lambda _, given: (made(given[0]), *given[1:]))


def _round_output(module: nn.Module) -> None:
    module.add_module("int8_output", made := Range(next(module.parameters()).device))

    def hook(_: nn.Module, given: Any, result: Any) -> Any:
        return made(result) if isinstance(result, Tensor) else (made(result[0]), *result[1:])

    module.register_forward_hook(hook)
