"""The Listen-Attend-and-Spell model: Listener, Attention, Speller, and heads for training and partials."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from edge_las.lexicon import PHONES
from edge_las.train.blocks import frame_mask
from edge_las.train.config import ModelConfig
from edge_las.train.listener import build_listener
from edge_las.train.speller import Speller

# The Listener and the Speller do without these: a run may have other ones than the checkpoint it starts from.
TRAINING_HEADS = ("phone_head", "frame_phone_head", "teacher_head")


@dataclass(frozen=True)
class Taught:
    """What the model says of a batch under teacher forcing: all that the loss judges."""

    ctc: Tensor  # (N, T', V) log_probs
    encoded_lengths: Tensor  # (N,)
    # Of the Speller and its attention, if it was to spell.
    logits: Tensor | None  # (N, U, V)
    alignments: Tensor | None  # (N, U, T')
    # Of an intermediate layer, where the Listener has one, in training.
    inter_ctc: Tensor | None  # (N, T', V) log_probs
    phones: Tensor | None  # (N, T', P) logits
    frame_phones: Tensor | None  # (N, T', P) logits of the last layer's phones
    teacher: Tensor | None  # (N, T', D) what the teacher would make of it, where there is a head for it


class FramePhoneHead(nn.Linear):
    """Logits of the phone of each encoded frame, (N, T, E) -> (N, T, P); it counts how common phones are."""

    prior: Tensor

    def __init__(self, encoded_dim: int) -> None:
        super().__init__(encoded_dim, len(PHONES))
        self.register_buffer("prior", torch.full((len(PHONES),), 1.0 / len(PHONES)))

    @torch.no_grad()
    def count(self, phones: Tensor) -> None:
        """Take in the phones (F,) of a batch's known frames."""
        if len(phones):
            shares = torch.bincount(phones, minlength=len(self.prior)) / len(phones)
            self.prior.lerp_(shares, _PRIOR_MOMENTUM)


_PRIOR_MOMENTUM = 0.005


class LasModel(nn.Module):
    """Log-mel features in, token scores out."""

    def __init__(self, config: ModelConfig, num_tokens: int) -> None:
        super().__init__()
        self.config, self.num_tokens = config, num_tokens
        self.listener = build_listener(config)
        self.ctc_head = nn.Linear(self.listener.encoded_dim, num_tokens)
        self.phone_head = nn.Linear(self.listener.encoded_dim, len(PHONES)) if config.phone_head else None
        self.frame_phone_head = FramePhoneHead(self.listener.encoded_dim) if config.frame_phones else None
        dim = config.teacher_dim
        self.teacher_head = nn.Linear(self.listener.encoded_dim, dim) if dim else None
        self.speller = Speller(config.speller, self.listener.encoded_dim, num_tokens)

    @property
    def attention(self) -> nn.Module:
        """The Speller's attention."""
        return self.speller.attention

    def ctc_log_probs(self, encoded: Tensor) -> Tensor:
        """Score tokens for each encoded frame: (N, T, E) -> (N, T, V)."""
        return torch.log_softmax(self.ctc_head(encoded).float(), dim=2)

    def forward(
        self, features: Tensor, lengths: Tensor, tokens: Tensor | None, sampling: float = 0.0
    ) -> Taught:
        """Teacher forcing: features (N, T, n_mels), lengths (N,), tokens (N, U) that begin with <sos>.

        Without tokens only the Listener and its heads are asked.
        """
        encoded, encoded_lengths = self.listener(features, lengths)
        logits = alignments = None
        if tokens is not None:
            mask = frame_mask(encoded_lengths, encoded.shape[1])[:, 0]
            keys = self.speller.attention.precompute(encoded)
            logits, alignments = self.speller.teacher_forced(tokens, encoded, keys, mask, sampling)
        middle = self.listener.intermediate
        self.listener.intermediate = None
        inter = phones = None
        if middle is not None:
            inter = self.ctc_log_probs(middle)
            phones = None if self.phone_head is None else self.phone_head(middle).float()
        frame_phones = None
        if self.training and self.frame_phone_head is not None:
            # Drawn to phones, the Listener heard letters worse (docs/notes.md).
            frame_phones = self.frame_phone_head(encoded.detach()).float()
        teacher = None
        if self.training and self.teacher_head is not None:
            teacher = self.teacher_head(encoded).float()
        ctc = self.ctc_log_probs(encoded)
        return Taught(ctc, encoded_lengths, logits, alignments, inter, phones, frame_phones, teacher)


def without_heads(config: ModelConfig) -> ModelConfig:
    """What a model is without its TRAINING_HEADS."""
    return replace(config, phone_head=False, frame_phones=False, teacher_dim=0)


def count_parameters(module: nn.Module) -> int:
    """Count the trainable numbers of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
