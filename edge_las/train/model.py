"""The Listen-Attend-and-Spell model: Listener, Attention, Speller; a CTC head for training and partials."""

import torch
from torch import Tensor, nn

from edge_las.train.blocks import frame_mask
from edge_las.train.config import ModelConfig
from edge_las.train.listener import build_listener
from edge_las.train.speller import Speller


class LasModel(nn.Module):
    """Log-mel features in, token scores out."""

    def __init__(self, config: ModelConfig, num_tokens: int) -> None:
        super().__init__()
        self.config, self.num_tokens = config, num_tokens
        self.listener = build_listener(config)
        self.ctc_head = nn.Linear(self.listener.encoded_dim, num_tokens)
        self.speller = Speller(config.speller, self.listener.encoded_dim, num_tokens)

    @property
    def attention(self) -> nn.Module:
        """The Speller's attention."""
        return self.speller.attention

    def ctc_log_probs(self, encoded: Tensor) -> Tensor:
        """Score tokens for each encoded frame: (N, T, E) -> (N, T, V)."""
        return torch.log_softmax(self.ctc_head(encoded).float(), dim=2)

    def forward(
        self, features: Tensor, lengths: Tensor, tokens: Tensor, sampling: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Teacher forcing: features (N, T, n_mels), their lengths (N,), tokens (N, U) that begin with <sos>.

        Returns Speller logits (N, U, V), CTC log_probs (N, T', V), encoded lengths (N,), and the CTC
        log_probs of an intermediate layer where the Listener has one, in training.
        """
        encoded, encoded_lengths = self.listener(features, lengths)
        mask = frame_mask(encoded_lengths, encoded.shape[1])[:, 0]
        keys = self.speller.attention.precompute(encoded)
        logits = self.speller.teacher_forced(tokens, encoded, keys, mask, sampling)
        middle = self.listener.intermediate
        self.listener.intermediate = None
        inter = None if middle is None else self.ctc_log_probs(middle)
        return logits, self.ctc_log_probs(encoded), encoded_lengths, inter


def count_parameters(module: nn.Module) -> int:
    """Count the trainable numbers of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
