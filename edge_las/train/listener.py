"""The two Listeners behind one interface: log-mel frames in, fewer encoded frames out."""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_las.train.blocks import Affine, SeparableBlock, folded, frame_mask, normalize, subsampled
from edge_las.train.config import CompactListenerConfig, ModelConfig
from edge_las.train.norm import MaskedBatchNorm
from edge_las.train.pyramid import PyramidListener

State = list[Tensor]
TrainingPass = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None, Tensor | None]]


class Listener(Protocol):
    """What the rest of the house knows of a Listener."""

    subsampling: int
    encoded_dim: int
    intermediate: Tensor | None
    middle: Tensor | None

    def __call__(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode whole utterances (N, T, n_mels) of `lengths` (N,) frames: (N, T', encoded_dim), (N,)."""


class CompactListener(nn.Module):
    """The streaming Listener that ships: convolutions only, so every operation can be int8.

    A whole utterance is one long chunk from the zero state: streaming and whole-file run the same code. Time
    is halved twice by stacking frames. All look-ahead is delay: encoded frame j is output j + delay.
    """

    subsampling = 4

    def __init__(self, config: CompactListenerConfig, n_mels: int, silence: float) -> None:
        super().__init__()
        self.encoded_dim, self.n_mels, self.silence = config.encoded_dim, n_mels, silence
        self.inter_ctc_block = config.inter_ctc_block
        self.intermediate: Tensor | None = None
        # What the intermediate block gives, (N, T', channels), where a head hears it, too.
        self.keeps_middle = False
        self.middle: Tensor | None = None
        # What encodes in training instead of `chunk` (edge_las/train/compiled.py).
        self.training_pass: TrainingPass | None = None
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
        self.right_context = right
        self.delay = self._stem_delay // 2 + config.blocks * right
        self.middle_dim = width if config.inter_ctc_block else 0
        self.middle_delay = self._stem_delay // 2 + config.inter_ctc_block * right

    def initial_state(self, batch: int) -> State:
        """Make the zero state: (batch, channels, held frames) for each convolution over time."""
        like = self.stem_in.weight
        sizes = [(self.stem_in.in_channels, 2)]
        sizes += [(b.depthwise.conv.in_channels, b.depthwise.held) for b in (*self.stem, *self.blocks)]
        return [like.new_zeros(batch, channels, held) for channels, held in sizes]

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode whole utterances: features (N, T, n_mels) -> (N, T', encoded_dim), their lengths (N,)."""
        encoded_lengths = subsampled(lengths, self.subsampling)
        frames = (math.ceil(features.shape[1] / self.subsampling) + self.delay) * self.subsampling
        self.intermediate = self.middle = None
        features = F.pad(features, (0, 0, 0, frames - features.shape[1]))
        # What follows an utterance is silence, whatever a batch was padded with: look-ahead reaches into it.
        valid = frame_mask(lengths, frames)[:, 0, :, None] > 0
        features = torch.where(valid, features, self.silence)
        if self.training and self.training_pass is not None:
            encoded, self.intermediate, middle = self.training_pass(features, lengths)
        else:
            state = self.initial_state(features.shape[0])
            encoded, middle, _ = self.chunk_with_middle(features, state, lengths)
        if self.intermediate is not None:
            self.intermediate = self.intermediate[:, self.delay :]
        if self.keeps_middle and middle is not None:
            begin = self.middle_delay
            self.middle = middle[:, begin : begin + encoded.shape[1] - self.delay]
        return encoded[:, self.delay :], encoded_lengths

    def chunk(self, features: Tensor, state: State, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Encode the next frames (N, T, n_mels), T a multiple of 4: (N, T / 4, encoded_dim), next state.

        `lengths` (N,) of feature frames is for the normalisation in training only.
        """
        encoded, _, next_state = self.chunk_with_middle(features, state, lengths)
        return encoded, next_state

    def chunk_with_middle(
        self, features: Tensor, state: State, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, State]:
        """Encode as `chunk` does; between its results, what the intermediate block gives.

        (N, T / 4, channels), None without one; it is late by `middle_delay` only.
        """
        held: Iterator[Tensor] = iter(state)
        masks = _Masks(lengths)
        x = normalize(self.norm_in, features.transpose(1, 2), masks.at(features.shape[1], 1, 0))
        x = torch.cat([next(held), _stack_pairs(x)], dim=2)
        next_state = [x[:, :, -2:]]
        mask = masks.at(x.shape[2] - 2, 2, 0)
        x = F.relu(normalize(self.stem_norm, self.stem_in(x), mask))
        for i, block in enumerate(self.stem):
            x, after = block(x, next(held), masks.at(x.shape[2], 2, (i + 1) * self.right_context))
            next_state.append(after)
        x = _stack_pairs(x)
        middle, delay = None, self._stem_delay // 2
        x = F.relu(normalize(self.down_norm, self.down(x), masks.at(x.shape[2], 4, delay)))
        for i, block in enumerate(self.blocks):
            delay += self.right_context
            x, after = block(x, next(held), masks.at(x.shape[2], 4, delay))
            next_state.append(after)
            if i + 1 == self.inter_ctc_block:
                middle = x.transpose(1, 2)
                if self.training:
                    self.intermediate = self._encode(_delay_by(x, self.delay - delay), masks)
        return self._encode(x, masks), middle, next_state

    def _encode(self, x: Tensor, masks: "_Masks") -> Tensor:
        return normalize(self.out_norm, self.out(x), masks.at(x.shape[2], 4, self.delay)).transpose(1, 2)

    @torch.no_grad()
    def fold_norms(self) -> "CompactListener":
        """Fold all normalisations into the convolutions in place and return self, for evaluation only."""
        self.eval()
        norm = self.norm_in
        if isinstance(norm, MaskedBatchNorm):
            # The input's normalisation can't be folded: the zero state stands for normalised frames.
            self.norm_in = Affine(norm)
        self.stem_in, self.stem_norm = folded(self.stem_in, self.stem_norm)
        self.down, self.down_norm = folded(self.down, self.down_norm)
        self.out, self.out_norm = folded(self.out, self.out_norm)
        for block in (*self.stem, *self.blocks):
            block.fold_norms()
        return self


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
        return frame_mask(subsampled(self._lengths, subsampling), frames, delay)


def _stack_pairs(x: Tensor) -> Tensor:
    """(N, C, T) -> (N, 2 C, T / 2): each pair of frames becomes one."""
    n, c, t = x.shape
    return x.reshape(n, c, t // 2, 2).transpose(2, 3).reshape(n, 2 * c, t // 2)


def _delay_by(x: Tensor, frames: int) -> Tensor:
    return F.pad(x, (frames, 0))[:, :, : x.shape[2]]
