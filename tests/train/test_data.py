"""What is heard in an epoch, in which order, and in what batches."""

from collections import Counter
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from edge_las.errors import ConfigError
from edge_las.tokens import TokenTable
from edge_las.train.config import DataConfig, LossConfig, TokensConfig
from edge_las.train.corpus import Clip
from edge_las.train.data import BatchDataset, dev_clips, holds, load_batches, plan_epoch, training_clips
from edge_las.train.loss import LOSSES, JointLoss, teacher_tokens
from edge_las.train.subwords import train_tokens
from tests.tiny_artifact import tiny_model
from tests.train.synthetic import make_corpus

CONFIG = DataConfig(batch_seconds=60.0, max_batch_clips=30)


def clips(count: int = 300) -> list[Clip]:
    rng = np.random.default_rng(0)
    seconds = np.exp(rng.uniform(np.log(0.3), np.log(16), count))
    return [
        Clip(f"c{i}", 0, 0, int(s * 16000), "few" if i % 10 == 0 else "many", "s", "train", "a b")
        for i, s in enumerate(seconds)
    ]


def heard(plan: list[list[tuple[int, ...]]]) -> Counter:
    return Counter(i for batch in plan for item in batch for i in item)


def test_an_epoch_hears_each_clip_once_in_an_order_of_its_own() -> None:
    listed = clips()
    chosen = range(0, 300, 2)
    plan = plan_epoch(listed, chosen, CONFIG, 1, 0)
    assert heard(plan) == Counter(chosen)
    assert plan == plan_epoch(listed, chosen, CONFIG, 1, 0)
    others = [plan_epoch(listed, chosen, CONFIG, *seeds) for seeds in ((1, 1), (2, 0))]
    assert all(other != plan and heard(other) == heard(plan) for other in others)


def test_batches_keep_to_their_limits_and_hold_clips_of_like_length() -> None:
    listed = clips()
    waste = []
    for batch in plan_epoch(listed, range(300), CONFIG, 1, 0):
        seconds = [sum(listed[i].seconds for i in item) for item in batch]
        assert len(batch) <= 30 and (len(batch) == 1 or max(seconds) * len(batch) <= 60.0)
        waste.append(max(seconds) * len(seconds) - sum(seconds))
    assert sum(waste) < 0.2 * sum(clip.seconds for clip in listed)


def test_repeats_count_and_may_be_fractions() -> None:
    config = replace(CONFIG, repeat={"few": 3.0, "many": 0.5})
    counts = heard(plan_epoch(clips(), range(300), config, 1, 0))
    assert all(counts[i] == 3 for i in range(0, 300, 10))
    assert 100 < sum(counts[i] for i in range(300) if i % 10) < 170


def test_only_short_clips_are_joined() -> None:
    listed = clips()
    items = [item for batch in plan_epoch(listed, range(300), CONFIG, 1, 0) for item in batch]
    joined = [item for item in items if len(item) > 1]
    assert joined and all(len(item) <= CONFIG.join_max_clips for item in joined)
    assert all(listed[i].seconds < CONFIG.join_below_seconds for item in joined for i in item)
    alone = plan_epoch(listed, range(300), replace(CONFIG, join_probability=0.0), 1, 0)
    assert all(len(item) == 1 for batch in alone for item in batch)


def test_easy_epochs_hear_short_clips_alone() -> None:
    listed, config = clips(), replace(CONFIG, easy_epochs=1)
    easy = plan_epoch(listed, range(300), config, 1, 0)
    assert set(heard(easy)) == {i for i in range(300) if listed[i].seconds < 1.2}
    assert all(len(item) == 1 for batch in easy for item in batch)
    assert set(heard(plan_epoch(listed, range(300), config, 1, 1))) == set(range(300))
    assert plan_epoch(listed, range(300), replace(config, easy_below_seconds=0.1), 1, 0) == []


def test_splits_and_exclusions(tmp_path) -> None:
    corpus = make_corpus(tmp_path, 24)
    assert {corpus.clips[i].split for i in training_clips(corpus, DataConfig())} == {"train"}
    assert training_clips(corpus, DataConfig(exclude=("tones",))) == []
    word = corpus.clips[0].text.split()[0]
    left = training_clips(corpus, DataConfig(exclude_words=(word,)))
    assert left and all(word not in corpus.clips[i].text.split() for i in left)
    assert holds("that is one's own", {"one"}) and not holds("seventeen ones", {"one", "seven"})
    assert holds("what's that", {"what's"}) and not holds("what is that", {"what's"})
    assert len(dev_clips(corpus, DataConfig())) == 4
    assert len(dev_clips(corpus, DataConfig(dev_clips=2))) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_workers_or_order(tmp_path, workers: int) -> None:
    corpus, tokens = make_corpus(tmp_path, 24), TokenTable.characters()
    config = DataConfig(batch_seconds=4.0)
    plan = plan_epoch(corpus.clips, training_clips(corpus, config), config, 1, 0)
    dataset = BatchDataset(corpus, plan, tokens, 0.5, (1, 0))
    assert len(dataset) == len(plan) > 3
    numbers = [3, 0, 2]
    for number, batch in zip(numbers, load_batches(dataset, numbers, workers), strict=True):
        again = dataset[number]
        assert torch.equal(batch.samples, again.samples) and batch.texts == again.texts
        assert torch.equal(batch.tokens, again.tokens)
        for row, (item, text) in enumerate(zip(plan[number], batch.texts, strict=True)):
            assert text == " ".join(corpus.clips[i].text for i in item)
            length = int(batch.token_lengths[row])
            assert tokens.decode(batch.tokens[row, :length].tolist()) == text
            assert not batch.tokens[row, length:].any()
            assert int(batch.lengths[row]) >= sum(corpus.clips[i].num_samples for i in item)
            assert not batch.samples[row, int(batch.lengths[row]) :].any()
        assert batch.seconds == pytest.approx(float(batch.lengths.sum()) / 16000)


def test_teacher_tokens_shift_by_one() -> None:
    wanted_of = [[5, 6, 7, 3], [8, 3, -100, -100]]
    said, wanted = teacher_tokens(torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([3, 1]))
    assert said.tolist() == [[2, 5, 6, 7], [2, 8, 0, 0]] and wanted.tolist() == wanted_of


@torch.no_grad()
def test_loss_ignores_padding() -> None:
    model, _ = tiny_model()
    loss = JointLoss(model, LossConfig(scheduled_sampling=0.0)).eval()
    torch.manual_seed(0)
    features, lengths = torch.randn(3, 80, 64), torch.tensor([80, 50, 64])
    tokens, token_lengths = torch.randint(4, 30, (3, 6)), torch.tensor([6, 2, 4])
    value, parts = loss(features, lengths, tokens, token_lengths)
    wider = torch.cat([features, torch.randn(3, 21, 64)], dim=1)
    wider[1, 50:] = 9.0
    longer = torch.cat([tokens, torch.full((3, 5), 9)], dim=1)
    longer[1, 2:] = 11
    again, again_parts = loss(wider, lengths, longer, token_lengths)
    torch.testing.assert_close(again, value, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(again_parts, parts, atol=1e-4, rtol=1e-5)
    singles = [
        loss(features[i : i + 1], lengths[i : i + 1], tokens[i : i + 1, :n], token_lengths[i : i + 1])[1]
        for i, n in enumerate(token_lengths.tolist())
    ]
    said = token_lengths + 1  # <eos> too
    mean = sum(float(part[0]) * int(n) for part, n in zip(singles, said, strict=True)) / int(said.sum())
    assert float(parts[0]) == pytest.approx(mean, abs=1e-4)


def test_tokens_are_trained_from_texts() -> None:
    words = ["turn", "on", "the", "light", "kitchen", "lamp", "off", "timer", "minutes", "seven", "it's"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 5)) for _ in range(300)]
    table = train_tokens(texts, TokensConfig(size=42))
    assert len(table) == 42
    ids = table.encode("turn on the kitchen lamp")
    assert table.decode(ids) == "turn on the kitchen lamp" and len(ids) < 20
    assert table.decode(table.encode("zebra quiz")) == "zebra quiz"  # every letter has a piece
    with pytest.raises(ConfigError, match=r"tokens\.size is 3000"):
        train_tokens(texts, TokensConfig(size=3000))
    assert len(train_tokens([], TokensConfig(kind="characters"))) == len(TokenTable.characters())


def test_the_listener_trains_alone() -> None:
    torch.manual_seed(0)
    model, _ = tiny_model()
    features, lengths = torch.randn(2, 80, 64), torch.tensor([80, 70])
    tokens, token_lengths = torch.tensor([[5, 6], [7, 4]]), torch.tensor([2, 2])
    value, parts = JointLoss(model, LossConfig(ctc_weight=1.0)).train()(
        features, lengths, tokens, token_lengths
    )
    value.backward()
    assert parts[0] == 0 and parts[1] > 0
    assert all(weight.grad is None for weight in model.speller.parameters())
    assert any(weight.grad is not None and weight.grad.any() for weight in model.listener.parameters())


def test_a_larger_models_posteriors_draw_only_what_differs() -> None:
    model, _ = tiny_model()
    same, other = deepcopy(model), deepcopy(model)
    with torch.no_grad():
        other.ctc_head.bias[5] += 2.0
    torch.manual_seed(0)
    heard = (
        torch.randn(2, 80, 64),
        torch.tensor([80, 60]),
        torch.tensor([[5, 6], [7, 4]]),
        torch.tensor([2, 2]),
    )
    config = LossConfig(ctc_weight=1.0, larger_weight=1.0)
    gradients = []
    for larger in (None, same, other):
        loss = JointLoss(model, config, larger)
        assert len(list(loss.parameters())) == len(list(model.parameters()))
        model.zero_grad()
        value, parts = loss(*heard)
        assert (parts[LOSSES.index("larger")] > 0.0) == (larger is not None)
        value.backward()
        gradients.append(model.ctc_head.bias.grad.clone())
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=0.0)
    # To give the token that the larger model hears more of is to lose less.
    assert (gradients[2] - gradients[0])[5] < -0.1
