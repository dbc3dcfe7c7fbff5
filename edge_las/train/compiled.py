"""The compact Listener's compiled training pass: the same sums as `listener.py`, in half the time on a CPU.

Frames lie (N, T, C), so that pointwise convolutions are matrix products without reordering; what lies between
them is fused by TorchInductor (needs a C++ compiler); a depthwise convolution's gradients are a second
depthwise convolution and one reduction, where the library's own took ten times as long (docs/notes.md).
"""

import functools
import os
import shutil
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_las.errors import ConfigError
from edge_las.train import compiled_speller
from edge_las.train.blocks import SeparableBlock, frame_mask, subsampled
from edge_las.train.listener import CompactListener
from edge_las.train.model import LasModel
from edge_las.train.norm import EPS, MaskedBatchNorm


class CompiledPass:
    """What `CompactListener.forward` computes in training."""

    def __init__(self, listener: CompactListener) -> None:
        """Take a Listener whose parts are used as they are."""
        self._listener = listener

    def __call__(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Encode features (N, T, n_mels), T a multiple of 4: (N, T / 4, E) still delayed.

        Also the intermediate layer, encoded and delayed alike, and as it is, at its own delay.
        """
        listener, right = self._listener, self._listener.right_context
        masks = _Masks(lengths, features.shape[1])
        x = _normalized(listener.norm_in, features, masks.at(1, 0))
        x = F.pad(_stack_pairs(x), (0, 0, 2, 0))
        x = torch.cat([x[:, :-2], x[:, 1:-1], x[:, 2:]], dim=2)
        weight = listener.stem_in.weight.transpose(1, 2).flatten(1)
        x = _rectified(listener.stem_norm, x, weight, masks.at(2, 0))
        delay = 0
        for block in _blocks(listener.stem):
            delay += right
            x = _block(block, x, masks.at(2, delay))
        delay //= 2
        x = _rectified(listener.down_norm, _stack_pairs(x), listener.down.weight[:, :, 0], masks.at(4, delay))
        intermediate = middle = None
        for i, block in enumerate(_blocks(listener.blocks)):
            delay += right
            x = _block(block, x, masks.at(4, delay))
            if i + 1 == listener.inter_ctc_block:
                late = listener.delay - delay
                intermediate, middle = self._encode(F.pad(x, (0, 0, late, -late)), masks), x
        return self._encode(x, masks), intermediate, middle

    def _encode(self, x: Tensor, masks: "_Masks") -> Tensor:
        listener = self._listener
        out = F.linear(x, listener.out.weight[:, :, 0].to(x.dtype))
        return _normalized(listener.out_norm, out, masks.at(4, listener.delay))


def compile_training(model: LasModel) -> None:
    """Let a model's Listener and Speller train by compiled passes.

    Raises: ConfigError where the Listener or the machine can't.
    """
    if not isinstance(model.listener, CompactListener):
        raise ConfigError("optim.compiled is for the compact Listener only")
    if next(model.parameters()).device.type == "cpu":
        _need_compiler()
    model.listener.training_pass = CompiledPass(model.listener)
    model.speller.training_pass = functools.partial(compiled_speller.teacher_forced, model.speller)


def _need_compiler() -> None:
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise ConfigError("optim.compiled needs a C++ compiler: install g++, or set CXX to yours")
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        raise ConfigError("optim.compiled needs Python's headers: install python3-dev")


class _Masks:
    """The valid frames of a batch at every rate and delay, (N, T, 1), and their count."""

    def __init__(self, lengths: Tensor, frames: int) -> None:
        self._lengths, self._frames = lengths, frames

    def at(self, subsampling: int, delay: int) -> tuple[Tensor, Tensor]:
        lengths = subsampled(self._lengths, subsampling)
        mask = frame_mask(lengths, self._frames // subsampling, delay).transpose(1, 2).contiguous()
        return mask, mask.sum()


def _blocks(modules: Iterable[nn.Module]) -> Iterator[SeparableBlock]:
    for block in modules:
        assert isinstance(block, SeparableBlock)
        yield block


def _stack_pairs(x: Tensor) -> Tensor:
    """(N, T, C) -> (N, T / 2, 2 C), channels in the order of `listener.py`."""
    n, t, c = x.shape
    return x.reshape(n, t // 2, 2, c).transpose(2, 3).reshape(n, t // 2, 2 * c)


def _normalized(norm: nn.Module, x: Tensor, mask: tuple[Tensor, Tensor]) -> Tensor:
    assert isinstance(norm, MaskedBatchNorm)
    y, mean, var = _normalize(x, *mask, norm.weight, norm.bias)
    norm.gather(mean, var)
    return y.to(x.dtype)


def _rectified(norm: nn.Module, x: Tensor, weight: Tensor, mask: tuple[Tensor, Tensor]) -> Tensor:
    return F.relu(_normalized(norm, F.linear(x.bfloat16(), weight.bfloat16()), mask))


def _block(block: SeparableBlock, x: Tensor, mask: tuple[Tensor, Tensor]) -> Tensor:
    depthwise = block.depthwise
    x = F.pad(x.bfloat16(), (0, 0, depthwise.held, 0))
    y = _Depthwise.apply(x, depthwise.conv.weight)
    norms = [norm for norm in (block.norm0, block.norm1, block.norm2) if isinstance(norm, MaskedBatchNorm)]
    begin = depthwise.held - depthwise.right
    delayed = x[:, begin : begin + y.shape[1]]
    for frames in (y, delayed, mask[0]):
        _vary(frames)
    parameters = [p for norm in norms for p in (norm.weight, norm.bias)]
    weights = (block.widen.weight, block.narrow.weight)
    x, *statistics = _fused(block.dropout.p, y, delayed, *mask, *weights, *parameters)
    for norm, mean, var in zip(norms, statistics[::2], statistics[1::2], strict=True):
        norm.gather(mean, var)
    return x


def _vary(x: Tensor) -> None:
    """Tell the compiler what changes from batch to batch."""
    torch._dynamo.mark_dynamic(x, 0)
    torch._dynamo.mark_dynamic(x, 1)
    torch._dynamo.mark_static(x, 2)


def _normalize(
    x: Tensor, mask: Tensor, count: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    x = x.float()
    mean = (x * mask).sum((0, 1)) / count
    centred = x - mean
    var = (centred.square() * mask).sum((0, 1)) / count
    return centred * (torch.rsqrt(var + EPS) * weight) + bias, mean.detach(), var.detach()


@torch.compile
def _fused(
    dropout: float,
    y: Tensor,
    delayed: Tensor,
    mask: Tensor,
    count: Tensor,
    widen: Tensor,
    narrow: Tensor,
    *norms: Tensor,
) -> tuple[Tensor, ...]:
    """All of a block after its depthwise convolution; also the statistics of its normalisations."""
    y, *first = _normalize(y, mask, count, *norms[:2])
    y = F.linear(y.bfloat16(), widen[:, :, 0].bfloat16())
    y, *second = _normalize(y, mask, count, *norms[2:4])
    y = F.linear(F.relu(y).bfloat16(), narrow[:, :, 0].bfloat16())
    y, *third = _normalize(y, mask, count, *norms[4:])
    y = F.dropout(y, dropout)
    return (delayed + y).bfloat16(), *first, *second, *third


class _Depthwise(torch.autograd.Function):
    """Each channel of (N, T + K - 1, C) convolved with its own kernel (C, 1, K): (N, T, C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(x, kernel)
        return _convolve(x, kernel)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, kernel = ctx.saved_tensors
        held = kernel.shape[2] - 1
        grad = grad.contiguous()
        for frames in (x, grad):
            _vary(frames)
        return _convolve(F.pad(grad, (0, 0, held, held)), kernel.flip(2)), _kernel_gradient(x, grad, held + 1)


def _convolve(x: Tensor, kernel: Tensor) -> Tensor:
    if x.device.type == "cuda":
        return _convolve_by_sums(x, kernel)
    # As an image of one row with channels last, which has the fast path.
    image = x.transpose(1, 2)[:, :, None]
    y = F.conv2d(image, kernel[:, :, None].to(x.dtype), groups=kernel.shape[0])
    return y[:, :, 0].transpose(1, 2)


@torch.compile
def _convolve_by_sums(x: Tensor, kernel: Tensor) -> Tensor:
    # The compiler makes one pass of it.
    size = kernel.shape[2]
    frames = x.shape[1] - size + 1
    wide = sum(x[:, k : k + frames].float() * kernel[:, 0, k] for k in range(size))
    return torch.as_tensor(wide).to(x.dtype)


@torch.compile
def _kernel_gradient(x: Tensor, grad: Tensor, size: int) -> Tensor:
    wide, frames = grad.float(), grad.shape[1]
    return torch.stack([(x[:, k : k + frames].float() * wide).sum((0, 1)) for k in range(size)], 1)[:, None]
