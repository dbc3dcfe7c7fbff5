"""Batch normalisation that padding, batch splitting and the number of processes don't change."""

import torch
from torch import Tensor, nn


class MaskedBatchNorm(nn.Module):
    """Normalise channels of (N, C, T) over the frames a mask marks as valid.

    The running statistics move once for each optimiser step (`commit`), by the mean over all batches of that
    step, so gradient accumulation and several processes give what one large batch gives.
    """

    running_mean: Tensor
    running_var: Tensor
    pending: Tensor

    def __init__(self, channels: int, scale: float = 1.0, momentum: float = 0.02, eps: float = 1e-4) -> None:
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
        if not self.training or mask is None:
            mean, var = self.running_mean, self.running_var
        else:
            mean, var = self._batch_statistics(x.float(), mask)
        scale = self.weight * torch.rsqrt(var + self.eps)
        shift = self.bias - mean * scale
        return x * scale.to(x.dtype)[:, None] + shift.to(x.dtype)[:, None]

    def _batch_statistics(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        count = mask.sum()
        mean = (x * mask).sum(dim=(0, 2)) / count
        var = ((x - mean[:, None]).square() * mask).sum(dim=(0, 2)) / count
        with torch.no_grad():
            self.pending += torch.cat([mean, var, mean.new_ones(1)])
        return mean, var

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
