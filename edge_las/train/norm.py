"""Batch normalisation that padding, batch splitting and the number of processes don't change."""

from typing import Any

import torch
from torch import Tensor, nn

EPS = 1e-4


class MaskedBatchNorm(nn.Module):
    """Normalise channels of (N, C, T) over the frames a mask marks as valid.

    The running statistics move once for each optimiser step (`commit`), by the mean over all batches of that
    step, so gradient accumulation and several processes give what one large batch gives.
    """

    running_mean: Tensor
    running_var: Tensor
    pending: Tensor

    def __init__(self, channels: int, scale: float = 1.0, momentum: float = 0.02, eps: float = EPS) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.momentum, self.eps = momentum, eps
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        # Sum of mean, sum of variance and number of batches since the last commit.
        self.register_buffer("pending", torch.zeros(2 * channels + 1), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise x (N, C, T); `mask` (N, 1, T), 1 = valid, is needed in training."""
        if self.training and mask is not None:
            y, mean, var = _Normalize.apply(x, mask, self.weight, self.bias, self.eps)
            self.gather(mean, var)
            return y
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        shift = self.bias - self.running_mean * scale
        return x * scale.to(x.dtype)[:, None] + shift.to(x.dtype)[:, None]

    @torch.no_grad()
    def gather(self, mean: Tensor, var: Tensor) -> None:
        """Take in the statistics (C,) of a batch, for the next commit."""
        self.pending += torch.cat([mean, var, mean.new_ones(1)])

    @torch.no_grad()
    def commit(self) -> None:
        """Move the running statistics by what was gathered since the last call."""
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.pending)
        mean, var = (self.pending[:-1] / self.pending[-1].clamp(min=1)).chunk(2)
        moved = self.momentum * (self.pending[-1] > 0).float()
        self.running_mean.lerp_(mean, moved)
        self.running_var.lerp_(var, moved)
        self.pending.zero_()


class _Normalize(torch.autograd.Function):
    """Normalise (N, C, T) by the statistics of its valid frames; returns y, mean, variance.

    By hand, because autograd kept and passed over seven more arrays of the size of x: a third of a CPU's
    training time (docs/notes.md). Sums are in float32 whatever x is.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mask: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(x.device.type, enabled=False):
            valid, count = mask.transpose(1, 2), mask.sum()
            wide = x.float()
            mean = torch.matmul(wide, valid).sum(dim=0)[:, 0] / count
            centred = wide - mean[:, None]
            var = torch.matmul(centred.square(), valid).sum(dim=0)[:, 0] / count
            root = torch.rsqrt(var + eps)
            y = torch.addcmul(bias[:, None], centred, (weight * root)[:, None]).to(x.dtype)
        ctx.save_for_backward(x, mask, weight, mean, root, count)
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, mask, weight, mean, root, count = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            wide = grad.float()
            centred = x.float() - mean[:, None]
            d_bias = wide.sum(dim=(0, 2))
            d_weight = (wide * centred).sum(dim=(0, 2)) * root
            # What comes back through the mean and the variance reaches the valid frames alone.
            through_var = (-weight * d_weight * root.square() / count)[:, None]
            through_mean = (-weight * d_bias * root / count)[:, None]
            back = torch.addcmul(through_mean, centred, through_var).mul_(mask)
            dx = torch.addcmul(back, wide, (weight * root)[:, None]).to(x.dtype)
        return dx, None, d_weight, d_bias, None


def commit_statistics(module: nn.Module) -> None:
    """Commit every MaskedBatchNorm of a module."""
    for part in module.modules():
        if isinstance(part, MaskedBatchNorm):
            part.commit()


@torch.no_grad()
def fold(conv: nn.Conv1d, norm: MaskedBatchNorm) -> nn.Conv1d:
    """Make the convolution that does what `conv` followed by `norm` does in evaluation."""
    folded = nn.Conv1d(
        conv.in_channels, conv.out_channels, conv.kernel_size[0], groups=conv.groups, bias=True
    )
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    folded.weight.copy_(conv.weight * scale[:, None, None])
    bias = conv.bias if conv.bias is not None else torch.zeros_like(norm.bias)
    assert folded.bias is not None
    folded.bias.copy_(norm.bias + (bias - norm.running_mean) * scale)
    return folded
