"""The parts of the compact Listener: convolutions that answer later instead of looking ahead."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_las.train.norm import MaskedBatchNorm, fold


def frame_mask(lengths: Tensor, frames: int, delay: int = 0) -> Tensor:
    """Mark the valid frames of delayed sequences: (N, 1, frames), 1.0 where delay <= t < delay + length."""
    t = torch.arange(frames, device=lengths.device) - delay
    return ((t >= 0) & (t < lengths[:, None])).float()[:, None]


def subsampled(lengths: Tensor, subsampling: int) -> Tensor:
    """Count the frames that lengths (N,) of feature frames become, the last one perhaps not full."""
    return torch.div(lengths + subsampling - 1, subsampling, rounding_mode="floor")


class DelayedConv(nn.Module):
    """A depthwise convolution that looks ahead by answering later: output t belongs to input t - right."""

    def __init__(self, channels: int, kernel_size: int, right: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, kernel_size, groups=channels, bias=False)
        self.held = kernel_size - 1
        self.right = right

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From x (N, C, T) and state (N, C, held) make (output, x delayed alike, next state)."""
        x = torch.cat([state, x], dim=2)
        delayed = x[:, :, self.held - self.right : x.shape[2] - self.right]
        return self.conv(x), delayed, x[:, :, x.shape[2] - self.held :]


class SeparableBlock(nn.Module):
    """Residual block: depthwise convolution over time, then a widening and a narrowing pointwise one."""

    def __init__(self, channels: int, kernel_size: int, right: int, expansion: int, dropout: float) -> None:
        super().__init__()
        wide = channels * expansion
        self.depthwise = DelayedConv(channels, kernel_size, right)
        self.norm0: nn.Module = MaskedBatchNorm(channels)
        # norm1 takes this bias out again: its gradient is rounding noise, and Adam would make steps of it.
        self.norm0.bias.requires_grad_(False)
        self.widen = nn.Conv1d(channels, wide, 1, bias=False)
        self.norm1: nn.Module = MaskedBatchNorm(wide)
        self.narrow = nn.Conv1d(wide, channels, 1, bias=False)
        # Small at first: a deep stack of residual blocks then starts near the identity.
        self.norm2: nn.Module = MaskedBatchNorm(channels, scale=0.3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, state: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """From x (N, C, T), state (N, C, held) and the output's mask make (output, next state)."""
        y, delayed, state = self.depthwise(x, state)
        y = normalize(self.norm0, y, mask)
        y = F.relu(normalize(self.norm1, self.widen(y), mask))
        y = normalize(self.norm2, self.narrow(y), mask)
        return delayed + self.dropout(y), state

    def fold_norms(self) -> None:
        """Fold the normalisations into the convolutions, for evaluation and export only."""
        self.depthwise.conv, self.norm0 = folded(self.depthwise.conv, self.norm0)
        self.widen, self.norm1 = folded(self.widen, self.norm1)
        self.narrow, self.norm2 = folded(self.narrow, self.norm2)


class Affine(nn.Module):
    """A fixed scale and shift of each channel of (N, C, T)."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: MaskedBatchNorm) -> None:
        super().__init__()
        scale = (norm.weight * torch.rsqrt(norm.running_var + norm.eps)).detach()
        self.register_buffer("scale", scale[:, None])
        self.register_buffer("shift", (norm.bias.detach() - norm.running_mean * scale)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def normalize(norm: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """Normalise x (N, C, T), where the normalisation isn't folded yet."""
    return norm(x, mask) if isinstance(norm, MaskedBatchNorm) else norm(x)


def folded(conv: nn.Conv1d, norm: nn.Module) -> tuple[nn.Conv1d, nn.Module]:
    """Give the convolution that does both, and a normalisation that does nothing."""
    return (fold(conv, norm), nn.Identity()) if isinstance(norm, MaskedBatchNorm) else (conv, norm)
