"""Quantization-aware fine-tuning: training computes with the int8 values that the export will.

Weights have a scale for each row, symmetric; activations one range, asymmetric. What the export leaves in
float (`export/quantize.py`, its plans) is float here. Gradients go straight through the rounding. The float
weights stay what is trained and saved; nothing of this is exported.
Source: Jacob et al. 2018 (arXiv:1712.05877), section 3.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_las.errors import ConfigError
from edge_las.train.attention import Attention
from edge_las.train.blocks import SeparableBlock
from edge_las.train.listener import CompactListener
from edge_las.train.model import TRAINING_HEADS, LasModel
from edge_las.train.speller import Speller

# How far a step moves the ranges, as in the normalisations; the first steps are averaged.
_MOMENTUM = 0.02
# As the export bounds them.
_GATES_BOUND = 8.0
_FLOAT_LAYERS = ("ctc_head", "speller.out", *TRAINING_HEADS)
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
    """The range of one activation; it moves once for each optimiser step, by all that passed since the last.

    Its buffers are in no state dict: a checkpoint is the same with it and without.
    """

    known: Tensor
    pending: Tensor
    _outward: Tensor

    def __init__(self, like: Tensor, bound: float = math.inf) -> None:
        """Make one on the device of `like`, that never reaches further from zero than `bound`."""
        super().__init__()
        self._bound = bound
        # Lowest, highest, steps; and since the last commit: the depth below zero, the highest, 1 if anything.
        self.register_buffer("known", like.new_zeros(3, dtype=torch.float32), persistent=False)
        self.register_buffer("pending", like.new_zeros(3, dtype=torch.float32), persistent=False)
        self.register_buffer("_outward", like.new_tensor([-1.0, 1.0]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Round x; before the first commit by its own range."""
        own = torch.stack(torch.aminmax(x.detach())).float().clamp(-self._bound, self._bound)
        if self.training:
            torch.maximum(self.pending, torch.cat([own * self._outward, own.new_ones(1)]), out=self.pending)
        return round_activation(x, torch.where(self.known[2] > 0, self.known[:2], own))


def simulate_int8(model: LasModel, enabled: bool) -> Simulation:
    """Round activations from now on, and weights within the context that is returned.

    In training a context holds all forward and backward passes of a step, but not what the optimiser does.
    Raises: ConfigError if the Listener is not one that is exported.
    """
    if not enabled:
        return contextlib.nullcontext
    if not isinstance(model.listener, CompactListener):
        raise ConfigError(
            f"optim.quantize_aware: listener is {model.config.listener!r}, only the compact one becomes int8"
        )
    _round_listener(model.listener)
    _round_speller(model.speller)
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
        torch.distributed.all_reduce(gathered, torch.distributed.ReduceOp.MAX)
    for part, (depth, highest, heard) in zip(parts, gathered.unbind(), strict=True):
        seen = torch.stack([-depth, highest])
        part.known[:2].lerp_(seen, heard * (1 / (part.known[2] + 1)).clamp(min=_MOMENTUM))
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
        elif isinstance(part, nn.Conv1d | nn.Linear) and not _is_float(name):
            groups.append([part.weight])
    return groups


def _is_float(name: str) -> bool:
    return any(name == layer or name.startswith(f"{layer}.") for layer in _FLOAT_LAYERS)


class RoundedCell(nn.LSTMCell):
    """An LSTM cell whose gates are one int8 layer."""

    def __init__(self, plain: nn.LSTMCell) -> None:
        """Take the parameters of `plain`."""
        super().__init__(plain.input_size, plain.hidden_size, device="meta")
        for name, parameter in plain.named_parameters():
            setattr(self, name, parameter)
        self.int8_input = Range(plain.weight_hh)
        self.int8_output = Range(plain.weight_hh, _GATES_BOUND)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """From x (B, D), hidden and cell (B, H) make the next hidden and cell."""
        assert state is not None
        hidden, cell = state
        weight = torch.cat([self.weight_ih, self.weight_hh], dim=1)
        taken = self.int8_input(torch.cat([x, hidden], dim=1))
        i, f, g, o = self.int8_output(F.linear(taken, weight, self.bias_ih + self.bias_hh)).chunk(4, dim=1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(cell), cell


class RoundedAttention(Attention):
    """The attention with int8 layers; tanh, softmax and the sum of encoded frames are float."""

    def __init__(self, plain: Attention) -> None:
        """Take the layers of `plain`."""
        nn.Module.__init__(self)
        for name, layer in plain.named_children():
            self.add_module(name, layer)
        # The key takes encoded frames, which the Listener has rounded.
        _round_output(self.key)
        _round_input(self.query)
        _round_output(self.query)
        names = ("alignment", "located", "summed", "energies")
        self.int8 = nn.ModuleDict({name: Range(plain.energy.weight) for name in names})

    def forward(
        self, hidden: Tensor, alignment: Tensor, encoded: Tensor, keys: Tensor, bias: Tensor, filters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Look once, as the plain attention does."""
        size = filters.shape[0]
        windows = F.pad(self.int8["alignment"](alignment), (size // 2, size // 2)).unfold(1, size, 1)
        # What passes between the location's two layers, here one, is not rounded: it moves least of all.
        located = self.int8["located"](windows @ filters)
        summed = self.int8["summed"](torch.tanh(keys + located + self.query(hidden).unsqueeze(1)))
        energies = self.int8["energies"](torch.matmul(summed, self.energy.weight[0]))
        weights = torch.softmax(energies + bias, dim=1)
        return torch.matmul(weights.unsqueeze(1), encoded).squeeze(1), weights


def _round_speller(speller: Speller) -> None:
    """Exchange what the Speller hears and looks with; its parameters stay."""
    speller.cell = RoundedCell(speller.cell)
    speller.attention = RoundedAttention(speller.attention)


def _round_listener(listener: CompactListener) -> None:
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
    module.add_module("int8_input", made := Range(next(module.parameters())))
    module.register_forward_pre_hook(lambda _, given: (made(given[0]), *given[1:]))


def _round_output(module: nn.Module) -> None:
    module.add_module("int8_output", made := Range(next(module.parameters())))

    def hook(_: nn.Module, given: Any, result: Any) -> Any:
        return made(result) if isinstance(result, Tensor) else (made(result[0]), *result[1:])

    module.register_forward_hook(hook)
