"""Maximum mutual information of the phones of frames, and what it counts."""

import itertools
from dataclasses import replace

import pytest
import torch

from edge_las.errors import ConfigError
from edge_las.lexicon import PHONES
from edge_las.train.config import LossConfig, ModelConfig, Recipe
from edge_las.train.loss import LOSSES, JointLoss
from edge_las.train.mmi import mmi_loss
from edge_las.train.model import FramePhoneHead, LasModel
from edge_las.train.targets import IGNORED, Targets
from tests.tiny_artifact import CONFIG

P = 3


def chain(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Transitions and beginnings, some of them rare."""
    torch.manual_seed(seed)
    return torch.softmax(2 * torch.randn(P, P), dim=1), torch.softmax(2 * torch.randn(P), dim=0)


def by_enumeration(
    scores: torch.Tensor, targets: torch.Tensor, transitions: torch.Tensor, beginnings: torch.Tensor
) -> torch.Tensor:
    """One clip (T, P), all frames valid: log of all paths' sum, less the path as far as known."""
    frames = len(targets)
    heard = [scores[t] if targets[t] != IGNORED else torch.zeros(P) for t in range(frames)]
    every = torch.stack(
        [
            beginnings[path[0]].log()
            + sum(heard[t][path[t]] for t in range(frames))
            + sum(transitions[a, b].log() for a, b in itertools.pairwise(path))
            for path in itertools.product(range(P), repeat=frames)
        ]
    )
    said = scores.new_zeros(())
    for t, phone in enumerate(targets.tolist()):
        if phone != IGNORED:
            said = said + scores[t, phone]
            if t == 0:
                said = said + beginnings[phone].log()
            elif targets[t - 1] != IGNORED:
                said = said + transitions[targets[t - 1], phone].log()
    return torch.logsumexp(every, dim=0) - said


def test_it_is_the_sum_over_all_paths() -> None:
    transitions, beginnings = chain()
    lengths = torch.tensor([5, 3, 4, 2])
    targets = torch.randint(0, P, (4, 5))
    targets[1, 1] = targets[2, 0] = targets[2, 3] = targets[3] = IGNORED
    scores = (4 * torch.randn(4, 5, P)).requires_grad_()
    found = mmi_loss(scores, targets, lengths, transitions, beginnings)
    known = sum(int((targets[n, :length] != IGNORED).sum()) for n, length in enumerate(lengths))
    expected = sum(
        by_enumeration(scores[n, :length], targets[n, :length], transitions, beginnings)
        for n, length in enumerate(lengths.tolist())
        if n < 3
    )
    assert isinstance(expected, torch.Tensor)
    # The clip of which nothing is known weighs nothing: all its paths sum to 1.
    torch.testing.assert_close(found, expected / known)
    gradients = [torch.autograd.grad(value, [scores])[0] for value in (found, expected / known)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)
    unknown = (targets == IGNORED) | (torch.arange(5) >= lengths[:, None])
    assert not gradients[0][unknown].any() and gradients[0][~unknown].any()


def test_long_clips_of_certain_scores_neither_vanish_nor_overflow() -> None:
    transitions, beginnings = chain()
    transitions[0, 1] = 0.0
    targets = torch.randint(0, P, (2, 500))
    scores = (300 * torch.randn(2, 500, P)).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = mmi_loss(scores, targets, torch.tensor([500, 400]), transitions, beginnings)
    found.backward()
    assert torch.isfinite(found) and torch.isfinite(scores.grad).all() and found.dtype == torch.float32


def test_nothing_known_is_no_loss() -> None:
    none = torch.full((2, 4), IGNORED)
    assert mmi_loss(torch.randn(2, 4, P), none, torch.tensor([4, 2]), *chain()) == 0.0
    # A phone beyond the end is not known.
    beyond = none.clone()
    beyond[1, 2:] = 1
    assert mmi_loss(torch.randn(2, 4, P), beyond, torch.tensor([4, 2]), *chain()) == 0.0
    assert mmi_loss(torch.randn(0, 4, P), none[:0], torch.zeros(0, dtype=torch.long), *chain()) == 0.0


def test_a_head_that_is_sure_of_the_path_has_nothing_left_to_learn() -> None:
    transitions, beginnings = chain()
    targets, lengths = torch.randint(0, P, (3, 20)), torch.tensor([20, 20, 7])
    sure = 50.0 * torch.nn.functional.one_hot(targets, P)
    assert mmi_loss(sure, targets, lengths, transitions, beginnings) == pytest.approx(0.0, abs=1e-4)
    # One that hears nothing leaves what the bigram does not tell.
    deaf = mmi_loss(torch.zeros(3, 20, P), targets, lengths, transitions, beginnings)
    paths = [beginnings.log()[row[0]] + transitions.log()[row[:-1], row[1:]].sum() for row in (
        targets[0], targets[1], targets[2, :7]
    )]  # fmt: skip
    assert float(deaf) == pytest.approx(-float(sum(paths)) / 47, rel=1e-4)


def test_the_head_counts_what_follows_what() -> None:
    head = FramePhoneHead(4, 4, 4, 4)
    # Of phone 5 a third stays; 7 always goes to 5, which comes first in three of four clips.
    batch = torch.tensor(
        [[5, 5, 7, 5, 7], [5, 7, 5, 7, -100], [-100, 9, -100, 7, 5], [5, 5, 5, 7, -100], [7] + [-100] * 4]
    )
    for _ in range(1500):
        head.count(batch)
    stays = 3 / 8
    torch.testing.assert_close(
        head.transitions[5, [5, 7]], torch.tensor([stays, 1 - stays]), atol=2e-3, rtol=0
    )
    assert float(head.transitions[7, 5]) == pytest.approx(1.0, abs=2e-3)
    assert float(head.beginnings[5]) == pytest.approx(0.75, abs=2e-3)
    torch.testing.assert_close(head.transitions.sum(dim=1), torch.ones(len(PHONES)))
    # Nobody knows what comes after 9.
    assert torch.equal(head.transitions[9], torch.full((len(PHONES),), 1 / len(PHONES)))
    before = {name: value.clone() for name, value in head.state_dict().items()}
    head.count(torch.full((2, 5), -100))
    head.count(torch.zeros(0, 5, dtype=torch.long))
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


def test_only_the_head_learns_from_it() -> None:
    torch.manual_seed(0)
    model = LasModel(replace(CONFIG, frame_phones=True), 28).train()
    head = model.frame_phone_head
    assert head is not None
    heard = (torch.randn(2, 80, 64), torch.tensor([80, 60]), torch.tensor([[5, 6]] * 2), torch.tensor([2, 2]))
    phones = torch.randint(0, len(PHONES), (2, 20))
    # Beyond the second clip's end, where nothing is counted.
    phones[1, 15:] = 3
    phones[:, :15][phones[:, :15] == 3] = 4
    phones[0, 15:] = 4
    targets = Targets(phones, torch.full((2, 3, 2), -1.0), torch.zeros(2, 20, 0))
    ctc, frames, mmi = (LOSSES.index(name) for name in ("ctc", "frame_phones", "phone_mmi"))
    config = LossConfig(ctc_weight=1.0, inter_ctc_weight=0.0, frame_phone_weight=0.2, phone_mmi_weight=2.0)
    value, parts = JointLoss(model, config)(*heard, targets)
    assert len(parts) == len(LOSSES) and parts[mmi] > 0
    expected = parts[ctc] + 0.2 * parts[frames] + 2.0 * parts[mmi]
    assert float(value.detach()) == pytest.approx(float(expected), rel=1e-5)
    assert float(head.prior[3]) < 1 / len(PHONES)
    only = LossConfig(ctc_weight=1.0, inter_ctc_weight=0.0, frame_phone_weight=0.0, phone_mmi_weight=1.0)
    value, parts = JointLoss(model, only)(*heard, targets)
    drawn = torch.autograd.grad(value, [head.out.weight, model.listener.out.weight], retain_graph=True)
    alone = torch.autograd.grad(value - parts[mmi], [model.listener.out.weight])
    assert bool(drawn[0].any()) and torch.equal(drawn[1], alone[0])
    plain = LossConfig(ctc_weight=1.0)
    assert JointLoss(model, plain)(*heard, targets)[1][mmi] == 0.0


def test_the_listener_learns_from_it_where_it_is_told_to() -> None:
    torch.manual_seed(0)
    model = LasModel(replace(CONFIG, frame_phones=True), 28).train()
    heard = (torch.randn(2, 80, 64), torch.tensor([80, 60]), torch.tensor([[5, 6]] * 2), torch.tensor([2, 2]))
    targets = Targets(
        torch.randint(0, len(PHONES), (2, 20)), torch.full((2, 3, 2), -1.0), torch.zeros(2, 20, 0)
    )
    config = LossConfig(
        ctc_weight=0.0, inter_ctc_weight=0.0, frame_phone_weight=0.0, phone_mmi_weight=1.0,
        phones_teach_listener=True,
    )  # fmt: skip
    learning = [model.listener.out.weight, model.listener.stem_in.weight]
    taught, _ = JointLoss(model, config)(*heard, targets)
    alone, _ = JointLoss(model, replace(config, phones_teach_listener=False))(*heard, targets)
    assert float(taught.detach()) == pytest.approx(float(alone.detach()), rel=0.5)
    for with_phones, without in zip(
        torch.autograd.grad(taught, learning), torch.autograd.grad(alone, learning), strict=True
    ):
        assert not torch.allclose(with_phones, without, rtol=0.1)


def test_weights_are_checked() -> None:
    with pytest.raises(ConfigError, match="phone_mmi_weight is -1.0, must be at least 0"):
        LossConfig(phone_mmi_weight=-1.0)
    with pytest.raises(ConfigError, match="frame_phone_weight is nan"):
        LossConfig(frame_phone_weight=float("nan"))
    wanted = LossConfig(phone_mmi_weight=1.0)
    with pytest.raises(ConfigError, match=r"phone_mmi_weight is above 0, but model\.frame_phones is false"):
        Recipe("r", loss=wanted)
    Recipe("r", loss=wanted, model=ModelConfig(frame_phones=True))
