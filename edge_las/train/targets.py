"""From the alignment of a batch to targets for encoded frames, wherever augmentation moved the speech."""

from dataclasses import dataclass

import torch
from torch import Tensor

from edge_las.train.alignment import FRAME_SAMPLES, UNKNOWN
from edge_las.train.augment import Moved
from edge_las.train.teacher import ROW_SAMPLES, SCALE

IGNORED = -100
# The aligner is a few frames off, and an encoded frame sees its neighbours: so much around a token is right.
TOLERANCE_S = 0.12


@dataclass(frozen=True)
class Targets:
    """What an aligned batch teaches; encoded frames are counted from the utterance's first."""

    phones: Tensor  # (N, T') index in PHONES, or IGNORED
    spans: Tensor  # (N, U + 1, 2) first and last encoded frame the attention may lie on; negative = unknown
    taught: Tensor  # (N, T', D) of mean 0 and variance below 1; zeros = unknown


def make_targets(
    phones: Tensor,
    spans: Tensor,
    taught: Tensor,
    moved: Moved,
    encoded_frames: int,
    hop_samples: int,
    sample_rate: int,
) -> Targets:
    """Move phones (N, F) and spans (N, U + 1, 2), both by 10 ms of the recording, to encoded frames.

    And `taught` (N, F', D) int8, which is by ROW_SAMPLES. `hop_samples` is the distance of encoded frames.
    """
    middle = (torch.arange(encoded_frames, device=phones.device) + 0.5) * hop_samples
    said = (middle[None] - moved.lead_samples[:, None]) * moved.speed[:, None]
    frame = (said / FRAME_SAMPLES).floor().long()
    found = phones.long().gather(1, frame.clamp(0, phones.shape[1] - 1))
    outside = (frame < 0) | (frame >= phones.shape[1])
    # Around an aligned recording is silence; around an unknown one nobody knows where it ends.
    known = (phones != UNKNOWN).any(dim=1, keepdim=True)
    found = torch.where(outside & known, 0, found)
    found = torch.where((found == UNKNOWN) | (outside & ~known), IGNORED, found)
    samples = spans * FRAME_SAMPLES / moved.speed[:, None, None] + moved.lead_samples[:, None, None]
    slack = TOLERANCE_S * sample_rate * torch.tensor([-1.0, 1.0], device=spans.device)
    spans = torch.where(spans < 0, -1.0, ((samples + slack) / hop_samples).clamp(min=0))
    return Targets(found, spans, _between_rows(taught, said / ROW_SAMPLES - 0.5))


def _between_rows(rows: Tensor, position: Tensor) -> Tensor:
    """Interpolate int8 rows (N, F, D) at positions (N, T'): (N, T', D); zeros where a row is unknown."""
    n, frames, dim = rows.shape
    if dim == 0 or frames < 2:
        return rows.new_zeros(n, position.shape[1], dim).float()
    before = position.floor().clamp(0, frames - 2)
    index = before.long()[:, :, None].expand(-1, -1, dim)
    first, second = rows.gather(1, index), rows.gather(1, index + 1)
    known = first.any(dim=2) & second.any(dim=2) & (position >= 0) & (position <= frames - 1)
    share = (position - before)[:, :, None]
    return torch.where(known[:, :, None], torch.lerp(first.float(), second.float(), share) / SCALE, 0.0)


def inside(alignments: Tensor, spans: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the attention (N, U, T') that lies inside spans (N, U, 2): (N, U), and mark the known ones."""
    frame = torch.arange(alignments.shape[2], device=spans.device)
    within = (frame >= spans[:, :, :1].floor()) & (frame <= spans[:, :, 1:])
    return (alignments * within).sum(dim=2), spans[:, :, 1] >= 0
