"""The networks: stepping, batching, padding and streaming are four ways to one result."""

import itertools

import numpy as np
import pytest
import torch

from edge_las.config import from_dict
from edge_las.features import FeatureConfig, log_mel
from edge_las.tokens import TokenTable
from edge_las.train.blocks import frame_mask
from edge_las.train.config import ModelConfig
from edge_las.train.evaluate import best_path, greedy
from edge_las.train.frontend import LogMel
from edge_las.train.listener import CompactListener
from edge_las.train.model import LasModel, count_parameters
from edge_las.train.norm import MaskedBatchNorm, commit_statistics
from tests.tiny_artifact import chirps, tiny_model
from tests.train.synthetic import MODEL

SECONDS = (0.43, 1.71, 1.0, 0.9, 2.3)


def model_of(listener: str) -> LasModel:
    if listener == "compact":
        return tiny_model()[0]
    torch.manual_seed(0)
    layers = {**MODEL, "pyramid": {"hidden": 8, "encoded_dim": 12, "pyramid_layers": 3}}
    return LasModel(from_dict(ModelConfig, {**layers, "listener": "pyramid"}, "test"), 30).eval()


def batch(extra: int = 0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of chirps of several lengths; what follows each is noise, to be ignored."""
    torch.manual_seed(seed)
    heard = [torch.from_numpy(log_mel(chirps(i, s), FeatureConfig())) for i, s in enumerate(SECONDS)]
    lengths = torch.tensor([len(features) for features in heard])
    padded = torch.randn(len(heard), int(lengths.max()) + extra, 64) * 5
    for row, features in enumerate(heard):
        padded[row, : len(features)] = features
    return padded, lengths


@pytest.mark.parametrize("listener", ["compact", "pyramid"])
@torch.no_grad()
def test_listener_batched_equals_single(listener: str) -> None:
    encode = model_of(listener).listener
    features, lengths = batch(extra=13)
    together, encoded_lengths = encode(features, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, count = encode(features[row : row + 1, :length], lengths[row : row + 1])
        assert count == encoded_lengths[row] == -(-length // encode.subsampling)
        torch.testing.assert_close(together[row, : int(count)], alone[0, : int(count)], atol=1e-5, rtol=0)


@pytest.mark.parametrize("listener", ["compact", "pyramid"])
def test_padding_changes_nothing_in_training(listener: str) -> None:
    tokens, results = torch.tensor([[2, 5, 6, 7]] * len(SECONDS)), []
    for extra in (0, 57):
        model = model_of(listener)
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        taught = model.train()(*batch(extra, seed=extra), tokens)
        commit_statistics(model)
        state = [value for name, value in model.state_dict().items() if "running" in name]
        valid = frame_mask(taught.encoded_lengths, taught.ctc.shape[1])[:, 0].bool()
        hidden = [] if taught.inter_ctc is None else [taught.inter_ctc[valid]]
        results.append([taught.logits, taught.ctc[valid], taught.encoded_lengths, *hidden, *state])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_compact_listener_streamed_equals_whole_file() -> None:
    listener = tiny_model()[0].listener
    assert isinstance(listener, CompactListener)
    features = torch.from_numpy(log_mel(chirps(3, 6.0), FeatureConfig()))[None]
    features = features[:, : features.shape[1] // 4 * 4]
    whole, lengths = listener(features, torch.tensor([features.shape[1]]))
    flush = torch.full((1, 4 * listener.delay, 64), listener.silence)
    waiting = torch.cat([features, flush], dim=1)
    sizes = itertools.cycle((4, 52, 8, 100, 32, 4, 4, 16, 64, 28, 12))
    state, outputs = listener.initial_state(1), []
    while waiting.shape[1] > 0:
        size = next(sizes)
        encoded, state = listener.chunk(waiting[:, :size], state)
        waiting = waiting[:, size:]
        outputs.append(encoded)
    assert len(outputs) > 10
    streamed = torch.cat(outputs, dim=1)[:, listener.delay :]
    assert streamed.shape[1] == int(lengths[0])
    torch.testing.assert_close(streamed, whole, atol=1e-4, rtol=0)


@torch.no_grad()
def test_folded_normalisations_give_the_same_output() -> None:
    listener = tiny_model()[0].listener
    features, lengths = batch()
    before, count = listener(features, lengths)
    listener.fold_norms()
    assert not any(isinstance(part, MaskedBatchNorm) for part in listener.modules())
    after, _ = listener(features, lengths)
    valid = frame_mask(count, before.shape[1])[:, 0].bool()
    torch.testing.assert_close(after[valid], before[valid], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_speller_stepping_equals_teacher_forcing() -> None:
    model, _ = tiny_model()
    encoded, lengths = model.listener(*batch())
    mask = frame_mask(lengths, encoded.shape[1])[:, 0]
    keys = model.speller.attention.precompute(encoded)
    tokens = torch.cat([torch.full((5, 1), TokenTable.sos_id), torch.randint(4, 30, (5, 12))], dim=1)
    forced = torch.log_softmax(model.speller.teacher_forced(tokens, encoded, keys, mask)[0], dim=2)
    state = model.speller.initial_state(5, encoded.shape[1])
    for u in range(tokens.shape[1]):
        stepped, state = model.speller.step(tokens[:, u], state, encoded, keys, mask)
        torch.testing.assert_close(stepped, forced[:, u], atol=1e-5, rtol=0)
        torch.testing.assert_close(state["alignment"].sum(dim=1), torch.ones(5))
        assert float((state["alignment"] * (1 - mask)).max()) < 1e-6


@torch.no_grad()
def test_greedy_search_batched_equals_single() -> None:
    model, _ = tiny_model()
    features, lengths = batch(extra=30)

    def ctc(model: LasModel, encoded: torch.Tensor, lengths: torch.Tensor) -> list[list[int]]:
        return best_path(model.ctc_log_probs(encoded), lengths)

    for search in (greedy, ctc):
        together = search(model, *model.listener(features, lengths))
        for row, length in enumerate(lengths.tolist()):
            alone = model.listener(features[row : row + 1, :length], lengths[row : row + 1])
            assert search(model, *alone) == [together[row]]


def test_torch_log_mel_equals_numpy() -> None:
    config = FeatureConfig()
    sounds = [chirps(i, s) for i, s in enumerate((0.025, 0.51, 2.0))]
    lengths = torch.tensor([len(sound) for sound in sounds])
    samples = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(s) for s in sounds], batch_first=True)
    features, counts = LogMel(config)(samples, lengths)
    for row, sound in enumerate(sounds):
        expected = log_mel(sound, config)
        assert int(counts[row]) == len(expected) > 0
        np.testing.assert_allclose(features[row, : len(expected)].numpy(), expected, atol=1e-4)


def test_statistics_of_batches_are_gathered_until_commit() -> None:
    norm = MaskedBatchNorm(3, momentum=0.5)
    mask = torch.ones(1, 1, 4)
    norm(torch.full((1, 3, 4), 1.0), mask)
    norm(torch.full((1, 3, 4), 3.0), mask)
    assert norm.running_mean.tolist() == [0, 0, 0]
    norm.commit()
    assert norm.running_mean.tolist() == [1, 1, 1]  # half of the way to the mean of both batches
    norm.commit()
    assert norm.running_mean.tolist() == [1, 1, 1]  # nothing new was heard


def test_parameters_are_counted() -> None:
    assert count_parameters(torch.nn.Linear(3, 2)) == 8
