"""The two Listeners behind one interface: log-mel frames in, fewer encoded frames out."""

import math
from collections.abc import Iterator
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_las.train.config import CompactListenerConfig, ModelConfig, PyramidListenerConfig
from edge_las.train.norm import MaskedBatchNorm, fold

State = list[Tensor]


class Listener(Protocol):
    """What the rest of the house knows of a Listener."""

    subsampling: int
    encoded_dim: int
    intermediate: Tensor | None

    def __call__(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode whole utterances (N, T, n_mels) of `lengths` (N,) frames: (N, T', encoded_dim), (N,)."""


def frame_mask(lengths: Tensor, frames: int, delay: int = 0) -> Tensor:
    """Mark the valid frames of delayed sequences: (N, 1, frames), 1.0 where delay <= t < delay + length."""
    t = torch.arange(frames, device=lengths.device) - delay
    return ((t >= 0) & (t < lengths[:, None])).float()[:, None]


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
        self.widen = nn.Conv1d(channels, wide, 1, bias=False)
        self.norm1: nn.Module = MaskedBatchNorm(wide)
        self.narrow = nn.Conv1d(wide, channels, 1, bias=False)
        # Small at first: a deep stack of residual blocks then starts near the identity.
        self.norm2: nn.Module = MaskedBatchNorm(channels, scale=0.3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, state: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """From x (N, C, T), state (N, C, held) and the output's mask make (output, next state)."""
        y, delayed, state = self.depthwise(x, state)
        y = _norm(self.norm0, y, mask)
        y = F.relu(_norm(self.norm1, self.widen(y), mask))
        y = _norm(self.norm2, self.narrow(y), mask)
        return delayed + self.dropout(y), state

    def fold_norms(self) -> None:
        """Fold the normalisations into the convolutions, for evaluation and export only."""
        self.depthwise.conv, self.norm0 = _folded(self.depthwise.conv, self.norm0)
        self.widen, self.norm1 = _folded(self.widen, self.norm1)
        self.narrow, self.norm2 = _folded(self.narrow, self.norm2)


class CompactListener(nn.Module):
    """The streaming Listener that ships: convolutions only, so every operation can be int8.

    A whole utterance is one long chunk from the zero state: streaming and whole-file run the same code. Time is
    halved twice by stacking frames. All look-ahead is delay: encoded frame j comes out as output j + delay.
    """

    subsampling = 4

    def __init__(self, config: CompactListenerConfig, n_mels: int, silence: float) -> None:
        super().__init__()
        self.encoded_dim, self.n_mels, self.silence = config.encoded_dim, n_mels, silence
        self.inter_ctc_block = config.inter_ctc_block
        self.intermediate: Tensor | None = None
        stem, width, right = config.stem_channels, config.channels, config.right_context
        self.norm_in: nn.Module = MaskedBatchNorm(n_mels)
        self.stem_in = nn.Conv1d(2 * n_mels, stem, 3, bias=False)
        self.stem_norm: nn.Module = MaskedBatchNorm(stem)
        self.stem = nn.ModuleList(
            SeparableBlock(stem, config.stem_kernel_size, right, config.expansion, config.dropout)
            for _ in range(config.stem_blocks)
        )
        self.down = nn.Conv1d(2 * stem, width, 1, bias=False)
        self.down_norm: nn.Module = MaskedBatchNorm(width)
        self.blocks = nn.ModuleList(
            SeparableBlock(width, config.kernel_size, right, config.expansion, config.dropout)
            for _ in range(config.blocks)
        )
        self.out = nn.Conv1d(width, config.encoded_dim, 1, bias=False)
        self.out_norm: nn.Module = MaskedBatchNorm(config.encoded_dim)
        self._stem_delay = config.stem_blocks * right
        self._right = right
        self.delay = self._stem_delay // 2 + config.blocks * right

    def initial_state(self, batch: int) -> State:
        """Make the zero state: (batch, channels, held frames) for each convolution over time."""
        like = self.stem_in.weight
        sizes = [(self.stem_in.in_channels, 2)]
        sizes += [(b.depthwise.conv.in_channels, b.depthwise.held) for b in (*self.stem, *self.blocks)]
        return [like.new_zeros(batch, channels, held) for channels, held in sizes]

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode whole utterances: features (N, T, n_mels) -> (N, T', encoded_dim), their lengths (N,)."""
        encoded_lengths = torch.div(lengths + self.subsampling - 1, self.subsampling, rounding_mode="floor")
        frames = (math.ceil(features.shape[1] / self.subsampling) + self.delay) * self.subsampling
        features = F.pad(features, (0, 0, 0, frames - features.shape[1]), value=self.silence)
        encoded, _ = self.chunk(features, self.initial_state(features.shape[0]), lengths)
        if self.intermediate is not None:
            self.intermediate = self.intermediate[:, self.delay :]
        return encoded[:, self.delay :], encoded_lengths

    def chunk(self, features: Tensor, state: State, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Encode the next frames (N, T, n_mels), T a multiple of 4: (N, T / 4, encoded_dim), next state.

        `lengths` (N,) of feature frames is for the normalisation in training only.
        """
        held: Iterator[Tensor] = iter(state)
        masks = _Masks(lengths)
        x = _norm(self.norm_in, features.transpose(1, 2), masks.at(features.shape[1], 1, 0))
        x = torch.cat([next(held), _stack_pairs(x)], dim=2)
        next_state = [x[:, :, -2:]]
        mask = masks.at(x.shape[2] - 2, 2, 0)
        x = F.relu(_norm(self.stem_norm, self.stem_in(x), mask))
        for i, block in enumerate(self.stem):
            x, after = block(x, next(held), masks.at(x.shape[2], 2, (i + 1) * self._right))
            next_state.append(after)
        x = _stack_pairs(x)
        delay = self._stem_delay // 2
        x = F.relu(_norm(self.down_norm, self.down(x), masks.at(x.shape[2], 4, delay)))
        for i, block in enumerate(self.blocks):
            delay += self._right
            x, after = block(x, next(held), masks.at(x.shape[2], 4, delay))
            next_state.append(after)
            if self.training and i + 1 == self.inter_ctc_block:
                self.intermediate = self._encode(_delay_by(x, self.delay - delay), masks)
        return self._encode(x, masks), next_state

    def _encode(self, x: Tensor, masks: "_Masks") -> Tensor:
        return _norm(self.out_norm, self.out(x), masks.at(x.shape[2], 4, self.delay)).transpose(1, 2)

    @torch.no_grad()
    def fold_norms(self) -> "CompactListener":
        """Fold all normalisations into the convolutions in place, and return self; then only for evaluation."""
        self.eval()
        norm = self.norm_in
        if isinstance(norm, MaskedBatchNorm):
            # The input's normalisation can't be folded: the zero state stands for normalised frames.
            self.norm_in = Affine(norm)
        self.stem_in, self.stem_norm = _folded(self.stem_in, self.stem_norm)
        self.down, self.down_norm = _folded(self.down, self.down_norm)
        self.out, self.out_norm = _folded(self.out, self.out_norm)
        for block in (*self.stem, *self.blocks):
            block.fold_norms()
        return self


class Affine(nn.Module):
    """A fixed scale and shift of each channel of (N, C, T)."""

    def __init__(self, norm: MaskedBatchNorm) -> None:
        super().__init__()
        scale = (norm.weight * torch.rsqrt(norm.running_var + norm.eps)).detach()
        self.register_buffer("scale", scale[:, None])
        self.register_buffer("shift", (norm.bias.detach() - norm.running_mean * scale)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class PyramidListener(nn.Module):
    """The paper's pyramidal BLSTM: each further layer reads pairs of frames. Whole utterances only."""

    intermediate: Tensor | None = None

    def __init__(self, config: PyramidListenerConfig, n_mels: int) -> None:
        super().__init__()
        self.subsampling = 2**config.pyramid_layers
        self.encoded_dim = config.encoded_dim
        self.norm_in = MaskedBatchNorm(n_mels)
        sizes = [n_mels] + [4 * config.hidden] * config.pyramid_layers
        self.layers = nn.ModuleList(
            nn.LSTM(size, config.hidden, batch_first=True, bidirectional=True) for size in sizes
        )
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(2 * config.hidden, config.encoded_dim)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode whole utterances: features (N, T, n_mels) -> (N, T', encoded_dim), their lengths (N,)."""
        mask = frame_mask(lengths, features.shape[1])
        x = self.norm_in(features.transpose(1, 2), mask) * mask
        x = x.transpose(1, 2)
        for i, layer in enumerate(self.layers):
            if i > 0:
                x = F.pad(x, (0, 0, 0, x.shape[1] % 2)).reshape(x.shape[0], -1, 2 * x.shape[2])
                lengths = torch.div(lengths + 1, 2, rounding_mode="floor")
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            x, _ = nn.utils.rnn.pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=x.shape[1])
            x = self.dropout(x)
        return self.out(x), lengths


def build_listener(config: ModelConfig) -> CompactListener | PyramidListener:
    """Make the Listener a config names."""
    if config.listener == "pyramid":
        return PyramidListener(config.pyramid, config.features.n_mels)
    silence = math.log(config.features.log_offset)
    return CompactListener(config.compact, config.features.n_mels, silence)


class _Masks:
    """The masks of one batch at every rate and delay."""

    def __init__(self, lengths: Tensor | None) -> None:
        self._lengths = lengths

    def at(self, frames: int, subsampling: int, delay: int) -> Tensor | None:
        if self._lengths is None:
            return None
        lengths = torch.div(self._lengths + subsampling - 1, subsampling, rounding_mode="floor")
        return frame_mask(lengths, frames, delay)


def _norm(norm: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    return norm(x, mask) if isinstance(norm, MaskedBatchNorm) else norm(x)


def _folded(conv: nn.Conv1d, norm: nn.Module) -> tuple[nn.Conv1d, nn.Module]:
    return (fold(conv, norm), nn.Identity()) if isinstance(norm, MaskedBatchNorm) else (conv, norm)


def _stack_pairs(x: Tensor) -> Tensor:
    """(N, C, T) -> (N, 2 C, T / 2): each pair of frames becomes one."""
    n, c, t = x.shape
    return x.reshape(n, c, t // 2, 2).transpose(2, 3).reshape(n, 2 * c, t // 2)


def _delay_by(x: Tensor, frames: int) -> Tensor:
    return F.pad(x, (frames, 0))[:, :, : x.shape[2]]
