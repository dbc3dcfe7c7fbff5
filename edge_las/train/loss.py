"""Joint CTC/attention loss (Kim et al. 2017, arXiv:1609.06773)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_las.tokens import TokenTable
from edge_las.train.blocks import frame_mask
from edge_las.train.config import LossConfig
from edge_las.train.mmi import mmi_loss
from edge_las.train.model import LasModel, Taught
from edge_las.train.targets import IGNORED, Targets, inside

LOSSES = (
    "attention", "ctc", "inter_ctc", "phones", "aligned", "frame_phones", "phone_mmi", "teacher", "larger",
)  # fmt: skip


class JointLoss(nn.Module):
    """The model with its loss: what distributed training wraps."""

    def __init__(self, model: LasModel, config: LossConfig, larger: LasModel | None = None) -> None:
        super().__init__()
        self.model, self.config = model, config
        # In a tuple, so that it is neither trained nor put into training mode.
        self._larger = () if larger is None else (larger.eval().requires_grad_(False),)

    def forward(
        self,
        features: Tensor,
        lengths: Tensor,
        tokens: Tensor,
        token_lengths: Tensor,
        targets: Targets | None = None,
        aligned: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Score a batch: features (N, T, n_mels), lengths (N,), tokens (N, U), token_lengths (N,).

        `aligned` is what is left of the weights of the aligned losses. Returns the loss per token, and the
        parts named by LOSSES, (9,), detached.
        """
        config = self.config
        heard, wanted = teacher_tokens(tokens, token_lengths)
        spells = config.ctc_weight < 1.0
        spoken = heard if spells else None
        taught = self.model(
            features, lengths, spoken, config.scheduled_sampling, config.phones_teach_listener
        )
        attention = self._attention(taught, wanted)
        first = self._ctc(taught.ctc, taught.encoded_lengths, tokens, token_lengths)
        second = phones = looking = frames = paths = teacher = larger = torch.zeros_like(first)
        if taught.inter_ctc is not None and config.inter_ctc_weight > 0.0:
            second = self._ctc(taught.inter_ctc, taught.encoded_lengths, tokens, token_lengths)
        loss = (1.0 - config.ctc_weight) * attention + config.ctc_weight * first
        loss = loss + config.ctc_weight * config.inter_ctc_weight * second
        if targets is not None and aligned > 0.0:
            phones = _phones(taught.phones, taught, targets)
            looking = _looking(taught, targets)
            loss = loss + aligned * (config.phone_weight * phones + config.attention_weight * looking)
        head = self.model.frame_phone_head
        if targets is not None and taught.frame_phones is not None and head is not None:
            frames = _phones(taught.frame_phones, taught, targets)
            loss = loss + config.frame_phone_weight * frames
            said = _known_phones(taught, targets)
            if config.phone_mmi_weight > 0.0:
                paths = mmi_loss(
                    taught.frame_phones - head.log_prior(), said, taught.encoded_lengths,
                    head.transitions, head.beginnings,
                )  # fmt: skip
                loss = loss + config.phone_mmi_weight * paths
            head.count(said)
        if targets is not None and config.teacher_weight > 0.0:
            teacher = _unlike_teacher(taught, targets)
            loss = loss + config.teacher_weight * teacher
        for model in self._larger:
            larger = _unlike_larger(taught, model, features, lengths, token_lengths)
            loss = loss + config.larger_weight * larger
        parts = [attention, first, second, phones, looking, frames, paths, teacher, larger]
        return loss, torch.stack(parts).detach()

    def _attention(self, taught: Taught, wanted: Tensor) -> Tensor:
        if taught.logits is None:
            return taught.ctc.new_zeros(())
        return F.cross_entropy(
            taught.logits.float().flatten(0, 1), wanted.flatten(),
            ignore_index=IGNORED, label_smoothing=self.config.label_smoothing,
        )  # fmt: skip

    def _ctc(self, log_probs: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: Tensor) -> Tensor:
        total = F.ctc_loss(
            log_probs.transpose(0, 1), tokens, lengths, token_lengths,
            blank=TokenTable.blank_id, reduction="sum", zero_infinity=True,
        )  # fmt: skip
        return total / token_lengths.sum()


def aligned_share(config: LossConfig, step: int) -> float:
    """What is left at a step of the weights of the aligned losses: 1 falling to 0."""
    return max(0.0, 1.0 - step / config.aligned_steps) if config.aligned_steps > 0 else 0.0


def _phones(logits: Tensor | None, taught: Taught, targets: Targets) -> Tensor:
    """Cross entropy of the phone of each known frame, by logits (N, T', P)."""
    wanted = _known_phones(taught, targets)
    if logits is None or not bool((wanted != IGNORED).any()):
        return taught.ctc.new_zeros(())
    return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)


def _known_phones(taught: Taught, targets: Targets) -> Tensor:
    """Phones (N, T') of frames; IGNORED where unknown or beyond the end."""
    frames = torch.arange(targets.phones.shape[1], device=targets.phones.device)
    return torch.where(frames < taught.encoded_lengths[:, None], targets.phones, IGNORED)


def _looking(taught: Taught, targets: Targets) -> Tensor:
    """Cross entropy of the attention lying where each token is said."""
    if taught.alignments is None:
        return taught.ctc.new_zeros(())
    share, known = inside(taught.alignments, targets.spans)
    return -(share.clamp(min=1e-4).log() * known).sum() / known.sum().clamp(min=1)


def _unlike_larger(
    taught: Taught, larger: LasModel, features: Tensor, lengths: Tensor, token_lengths: Tensor
) -> Tensor:
    """Cross entropy a token to a larger model's CTC posteriors (Hinton et al. 2015, arXiv:1503.02531)."""
    with torch.no_grad():
        wanted = larger.ctc_log_probs(larger.listener(features, lengths)[0]).exp()
    entropies = -(wanted * taught.ctc).sum(dim=2)
    valid = frame_mask(taught.encoded_lengths, entropies.shape[1])[:, 0]
    return (entropies * valid).sum() / token_lengths.sum()


def _unlike_teacher(taught: Taught, targets: Targets) -> Tensor:
    """Mean squared distance to what the teacher made of each frame it heard, per dimension."""
    if taught.teacher is None or targets.taught.shape[2] == 0:
        return taught.ctc.new_zeros(())
    frames = torch.arange(taught.teacher.shape[1], device=targets.taught.device)
    known = targets.taught.any(dim=2) & (frames < taught.encoded_lengths[:, None])
    distance = (taught.teacher - targets.taught).square().mean(dim=2)
    return (distance * known).sum() / known.sum().clamp(min=1)


def teacher_tokens(tokens: Tensor, token_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """From tokens (N, U) make what the Speller hears and what it is to say, each (N, U + 1)."""
    valid = torch.arange(tokens.shape[1] + 1, device=tokens.device)[None] - token_lengths[:, None]
    heard = F.pad(tokens, (1, 0), value=TokenTable.sos_id)
    wanted = F.pad(tokens, (0, 1))
    wanted = torch.where(valid < 0, wanted, torch.where(valid == 0, TokenTable.eos_id, IGNORED))
    return heard, wanted
