"""Lattice-free maximum mutual information of the phones of frames.

Cross entropy judges each frame by itself. This judges the whole path against all paths through a bigram of
phones. Sources: Vesely et al. 2013, Sequence-discriminative training of deep neural networks; Povey et al.
2016, Purely sequence-trained neural networks for ASR based on lattice-free MMI.
"""

import torch
from torch import Tensor

from edge_las.train.targets import IGNORED

# Of a transition that was never counted.
_LEAST = 1e-6


def mmi_loss(
    scores: Tensor, targets: Tensor, lengths: Tensor, transitions: Tensor, beginnings: Tensor
) -> Tensor:
    """Tell how much likelier all paths together are than the one that was said, in nats a known frame.

    `scores` (N, T, P) are log likelihoods of frames up to a constant, targets (N, T) phones or IGNORED,
    transitions (P, P) the probabilities of the next frame's phone given this one's, beginnings (P,) those of
    the first. Frames whose phone is unknown speak for no path, and the said one has no transitions there.
    """
    frames = torch.arange(targets.shape[1], device=targets.device)
    valid = frames < lengths[:, None]
    known = valid & (targets != IGNORED)
    if not bool(known.any()):
        return scores.new_zeros(())
    with torch.autocast(scores.device.type, enabled=False):
        scores = torch.where(known[:, :, None], scores.float(), 0.0)
        transitions, beginnings = (p.float().clamp(min=_LEAST) for p in (transitions, beginnings))
        said = _score_of_path(scores, targets, known, transitions, beginnings)
        every = _score_of_all(scores, valid, transitions, beginnings)
        return (every - said).sum() / known.sum()


def _score_of_path(
    scores: Tensor, targets: Tensor, known: Tensor, transitions: Tensor, beginnings: Tensor
) -> Tensor:
    """Log score (N,) of the path that was said, as far as it is known."""
    path = torch.where(known, targets, 0)
    frames = scores.gather(2, path[:, :, None])[:, :, 0] * known
    steps = transitions.log()[path[:, :-1], path[:, 1:]] * (known[:, :-1] & known[:, 1:])
    return frames.sum(dim=1) + steps.sum(dim=1) + beginnings.log()[path[:, 0]] * known[:, 0]


def _score_of_all(scores: Tensor, valid: Tensor, transitions: Tensor, beginnings: Tensor) -> Tensor:
    """Log score (N,) of all paths: the forward algorithm in probabilities, rescaled at each frame."""
    best = scores.detach().amax(dim=2, keepdim=True)
    ahead = beginnings.expand(len(scores), -1)
    totals = []
    # Unbound at once: the gradient of each frame's slice would be as long as the utterance.
    for likelihood in (scores - best).exp().unbind(dim=1):
        reached = ahead * likelihood
        total = reached.sum(dim=1, keepdim=True)
        totals.append(total)
        ahead = (reached / total) @ transitions
    grown = torch.cat(totals, dim=1).log() + best[:, :, 0]
    return (grown * valid).sum(dim=1)
