"""Joint CTC/attention loss (Kim et al. 2017, arXiv:1609.06773)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_las.tokens import TokenTable
from edge_las.train.config import LossConfig
from edge_las.train.model import LasModel

_IGNORED = -100


class JointLoss(nn.Module):
    """The model with its loss: what distributed training wraps."""

    def __init__(self, model: LasModel, config: LossConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(
        self, features: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score a batch: features (N, T, n_mels), lengths (N,), tokens (N, U), token_lengths (N,).

        Returns the loss per token, and (attention, CTC, intermediate CTC) losses per token, (3,), detached.
        """
        config = self.config
        heard, wanted = teacher_tokens(tokens, token_lengths)
        logits, ctc, encoded_lengths, inter = self.model(features, lengths, heard, config.scheduled_sampling)
        attention = F.cross_entropy(
            logits.float().flatten(0, 1), wanted.flatten(),
            ignore_index=_IGNORED, label_smoothing=config.label_smoothing,
        )  # fmt: skip
        first = self._ctc(ctc, encoded_lengths, tokens, token_lengths)
        second = torch.zeros_like(first)
        if inter is not None and config.inter_ctc_weight > 0.0:
            second = self._ctc(inter, encoded_lengths, tokens, token_lengths)
        loss = (1.0 - config.ctc_weight) * attention + config.ctc_weight * first
        loss = loss + config.ctc_weight * config.inter_ctc_weight * second
        return loss, torch.stack([attention, first, second]).detach()

    def _ctc(self, log_probs: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: Tensor) -> Tensor:
        total = F.ctc_loss(
            log_probs.transpose(0, 1), tokens, lengths, token_lengths,
            blank=TokenTable.blank_id, reduction="sum", zero_infinity=True,
        )  # fmt: skip
        return total / token_lengths.sum()


def teacher_tokens(tokens: Tensor, token_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """From tokens (N, U) make what the Speller hears and what it is to say, each (N, U + 1)."""
    valid = torch.arange(tokens.shape[1] + 1, device=tokens.device)[None] - token_lengths[:, None]
    heard = F.pad(tokens, (1, 0), value=TokenTable.sos_id)
    wanted = F.pad(tokens, (0, 1))
    wanted = torch.where(valid < 0, wanted, torch.where(valid == 0, TokenTable.eos_id, _IGNORED))
    return heard, wanted
