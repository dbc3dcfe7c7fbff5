"""The Listen-Attend-and-Spell model: Listener, Attention, Speller, and heads for training and partials."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_las.lexicon import PHONES
from edge_las.train.blocks import frame_mask
from edge_las.train.config import ModelConfig
from edge_las.train.listener import CompactListener, build_listener
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


_COUNT_MOMENTUM = 0.005
# Of all frames, at least.
_RAREST_PHONE = 1e-4
# Frames, 40 ms each, that a phone is named by.
_PHONE_KERNEL = 7


class FramePhoneHead(nn.Module):
    """Logits of the phone of each frame, from what is encoded, a middle block and a few frames around.

    It also counts how common phones are, which follows which from frame to frame, and which comes first.
    """

    prior: Tensor  # (P,)
    transitions: Tensor  # (P, P) from the phone of a frame to the next one's
    beginnings: Tensor  # (P,)

    def __init__(self, middle_dim: int, encoded_dim: int, hidden: int, channels: int) -> None:
        super().__init__()
        size = middle_dim + encoded_dim
        self.norm = nn.BatchNorm1d(size, affine=False, momentum=0.02)
        self.hidden = nn.Linear(size, hidden)
        self.context = nn.Conv1d(hidden, channels, _PHONE_KERNEL, padding=_PHONE_KERNEL // 2)
        self.out = nn.Linear(channels, len(PHONES))
        self.dropout = nn.Dropout(0.15)
        count = len(PHONES)
        self.register_buffer("prior", torch.full((count,), 1.0 / count))
        self.register_buffer("transitions", torch.full((count, count), 1.0 / count))
        self.register_buffer("beginnings", torch.full((count,), 1.0 / count))

    def forward(self, encoded: Tensor, middle: Tensor, lengths: Tensor) -> Tensor:
        """From encoded (N, T, E), middle (N, T, M) and their lengths (N,) make logits (N, T, P)."""
        valid = frame_mask(lengths, encoded.shape[1])[:, 0] > 0
        heard = torch.cat([middle[valid].float(), encoded[valid].float()], dim=1)
        rows = self.dropout(F.relu(self.hidden(self.norm(heard))))
        # Beyond the end there is nothing to be heard.
        x = rows.new_zeros(*valid.shape, rows.shape[1])
        x[valid] = rows
        x = self.dropout(F.relu(self.context(x.transpose(1, 2))))
        logits: Tensor = self.out(x.transpose(1, 2))
        return logits.float()

    def log_prior(self) -> Tensor:
        """Give the log probabilities (P,) of phones before anything is heard."""
        return self.prior.clamp(min=_RAREST_PHONE).log()

    @torch.no_grad()
    def count(self, phones: Tensor) -> None:
        """Take in the phones (N, T) of a batch's frames; negative = unknown."""
        known = phones >= 0
        if not bool(known.any()):
            return
        count = len(self.prior)
        pairs = (phones[:, :-1] * count + phones[:, 1:])[known[:, :-1] & known[:, 1:]]
        seen = torch.bincount(pairs, minlength=count * count).view(count, count).float()
        left = seen.sum(dim=1)
        # A row moves by how often its phone was there, as if pairs were counted.
        old = (1.0 - _COUNT_MOMENTUM) * self.prior
        new = _COUNT_MOMENTUM * left / left.sum().clamp(min=1.0)
        weight = torch.where(left > 0, new / (old + new), 0.0)
        self.transitions.lerp_(seen / left.clamp(min=1.0)[:, None], weight[:, None])
        for counted, found in ((self.prior, phones[known]), (self.beginnings, phones[:, 0][known[:, 0]])):
            if len(found):
                counted.lerp_(torch.bincount(found, minlength=count) / len(found), _COUNT_MOMENTUM)


class LasModel(nn.Module):
    """Log-mel features in, token scores out."""

    def __init__(self, config: ModelConfig, num_tokens: int) -> None:
        super().__init__()
        self.config, self.num_tokens = config, num_tokens
        self.listener = build_listener(config)
        self.ctc_head = nn.Linear(self.listener.encoded_dim, num_tokens)
        self.phone_head = nn.Linear(self.listener.encoded_dim, len(PHONES)) if config.phone_head else None
        self.frame_phone_head: FramePhoneHead | None = None
        if config.frame_phones and isinstance(self.listener, CompactListener):
            self.listener.keeps_middle = True
            self.frame_phone_head = FramePhoneHead(
                self.listener.middle_dim,
                self.listener.encoded_dim,
                config.frame_phone_hidden,
                config.frame_phone_channels,
            )
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

    def hear(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Encode features (N, T, n_mels), lengths (N,): encoded (N, T', E), middle (N, T', M), lengths (N,).

        Where no head hears it, there is no middle.
        """
        encoded, encoded_lengths = self.listener(features, lengths)
        middle, self.listener.middle = self.listener.middle, None
        return encoded, middle, encoded_lengths

    def forward(
        self,
        features: Tensor,
        lengths: Tensor,
        tokens: Tensor | None,
        sampling: float = 0.0,
        phones_teach: bool = False,
    ) -> Taught:
        """Teacher forcing: features (N, T, n_mels), lengths (N,), tokens (N, U) that begin with <sos>.

        Without tokens only the Listener and its heads are asked. Unless `phones_teach`, the head of each
        frame's phone only listens: nothing else learns by it.
        """
        encoded, middle, encoded_lengths = self.hear(features, lengths)
        logits = alignments = None
        if tokens is not None:
            mask = frame_mask(encoded_lengths, encoded.shape[1])[:, 0]
            keys = self.speller.attention.precompute(encoded)
            logits, alignments = self.speller.teacher_forced(tokens, encoded, keys, mask, sampling)
        intermediate, self.listener.intermediate = self.listener.intermediate, None
        inter = phones = None
        if intermediate is not None:
            inter = self.ctc_log_probs(intermediate)
            phones = None if self.phone_head is None else self.phone_head(intermediate).float()
        frame_phones = None
        if self.training and self.frame_phone_head is not None and middle is not None:
            heard = (encoded, middle) if phones_teach else (encoded.detach(), middle.detach())
            frame_phones = self.frame_phone_head(*heard, encoded_lengths)
        teacher = None
        if self.training and self.teacher_head is not None:
            teacher = self.teacher_head(encoded).float()
        ctc = self.ctc_log_probs(encoded)
        return Taught(ctc, encoded_lengths, logits, alignments, inter, phones, frame_phones, teacher)


def without_heads(config: ModelConfig) -> ModelConfig:
    """What a model is without its TRAINING_HEADS."""
    none = ModelConfig()
    return replace(
        config,
        phone_head=False,
        frame_phones=False,
        frame_phone_hidden=none.frame_phone_hidden,
        frame_phone_channels=none.frame_phone_channels,
        teacher_dim=0,
    )


def count_parameters(module: nn.Module) -> int:
    """Count the trainable numbers of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
