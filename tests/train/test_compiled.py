"""The compiled training pass computes what the Listener computes, and the steps of Muon are orthogonal."""

import shutil
import sys
import sysconfig
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from edge_las.errors import ConfigError
from edge_las.tokens import TokenTable
from edge_las.train.blocks import frame_mask
from edge_las.train.compiled import compile_training
from edge_las.train.compiled_speller import teacher_forced
from edge_las.train.config import CompactListenerConfig, ModelConfig, OptimConfig, SpellerConfig
from edge_las.train.data import ahead
from edge_las.train.loop import Trainer
from edge_las.train.model import LasModel
from edge_las.train.norm import MaskedBatchNorm
from edge_las.train.optim import build_optimizer, orthogonal
from tests.train.synthetic import MODEL as TINY
from tests.train.synthetic import make_corpus, recipe
from tests.train.test_resume import assert_same_weights, trained

MODEL = ModelConfig(
    compact=CompactListenerConfig(
        stem_channels=16, channels=64, blocks=3, encoded_dim=32, inter_ctc_block=2, dropout=0.0
    ),
    speller=SpellerConfig(embedding_dim=8, hidden=16, attention_dim=8),
)
HEADERS = Path(sysconfig.get_paths()["include"]) / "Python.h"
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None or not HEADERS.exists(),
    reason="no g++ or no Python.h: TorchInductor can't compile",
)


def taught(model: LasModel, features: Tensor, lengths: Tensor, precise: bool) -> tuple[Tensor, ...]:
    """Both encodings and the raw middle, all gradients, the statistics that the normalisations gathered."""
    model.train().zero_grad()
    norms = [part for part in model.modules() if isinstance(part, MaskedBatchNorm)]
    for norm in norms:
        norm.pending.zero_()
    with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
        encoded, _ = model.listener(features, lengths)
        middle, raw = model.listener.intermediate, model.listener.middle
    weights = torch.randn(encoded.shape, generator=torch.Generator().manual_seed(1))
    ((encoded.float() + 0.5 * middle.float()) * weights).mean().backward()
    gradients = [p.grad.flatten() for p in model.listener.parameters() if p.grad is not None]
    heard = (encoded.float(), middle.float(), raw.float())
    return *heard, torch.cat(gradients), torch.cat([n.pending for n in norms])


def distance(a: Tensor, b: Tensor) -> float:
    return float((a.detach() - b.detach()).norm() / b.detach().norm())


@needs_compiler
@pytest.mark.parametrize("frames", [(120, 101, 60), (203, 203)])
def test_compiled_pass_is_as_near_to_float32_as_the_plain_one(frames: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = LasModel(replace(MODEL, frame_phones=True), 28)
    features = torch.randn(len(frames), max(frames), MODEL.features.n_mels) - 5
    lengths = torch.tensor(frames)
    exact = taught(model, features, lengths, precise=True)
    plain = taught(model, features, lengths, precise=False)
    compile_training(model)
    compiled = taught(model, features, lengths, precise=False)
    for name, a, b, c in zip(
        ("encoded", "intermediate", "middle", "gradients", "pending"), compiled, plain, exact, strict=True
    ):
        assert distance(a, c) < 1.3 * distance(b, c) + 1e-3, name
        assert distance(a, c) < 0.2, name


@needs_compiler
def test_compiled_pass_drops_out_by_the_seed() -> None:
    torch.manual_seed(0)
    model = LasModel(replace(MODEL, compact=replace(MODEL.compact, dropout=0.5)), 28)
    compile_training(model)
    model.listener.keeps_middle = True
    features, lengths = torch.randn(2, 80, MODEL.features.n_mels), torch.tensor([80, 60])
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(taught(model, features, lengths, precise=False)[0])
    assert torch.equal(found[0], found[1])
    assert distance(found[2], found[0]) > 0.1


@needs_compiler
def test_compiled_speller_spells_and_learns_as_the_plain_one() -> None:
    torch.manual_seed(0)
    speller = LasModel(MODEL, 28).train().speller
    speller.dropout.p = 0.0
    passes = {"plain": speller.teacher_forced, "compiled": partial(teacher_forced, speller)}
    found = {}
    for name, spell in passes.items():
        speller.zero_grad()
        rng = torch.Generator().manual_seed(1)
        encoded = torch.randn(3, 20, 32, generator=rng).requires_grad_()
        tokens = torch.randint(3, 28, (3, 7), generator=rng)
        keys = speller.attention.precompute(encoded)
        mask = frame_mask(torch.tensor([20, 14, 9]), 20)[:, 0]
        logits, alignments = spell(tokens, encoded, keys, mask, 0.0)
        ((logits * torch.randn(logits.shape, generator=rng)).mean() + alignments[:, :, 2].mean()).backward()
        gradients = [p.grad.flatten() for p in (*speller.parameters(), encoded) if p.grad is not None]
        found[name] = (logits, alignments, torch.cat(gradients))
    for plain, compiled in zip(found["plain"], found["compiled"], strict=True):
        assert distance(compiled, plain) < 0.02  # the cell's products are of bf16


def test_what_the_compiled_pass_cannot_do_is_said(monkeypatch) -> None:
    with pytest.raises(ConfigError, match="compact Listener only"):
        compile_training(LasModel(replace(MODEL, listener="pyramid"), 28))
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": "nowhere"})
    monkeypatch.setenv("CXX", sys.executable)  # a program that is there
    with pytest.raises(ConfigError, match="headers"):
        compile_training(LasModel(MODEL, 28))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match="C\\+\\+ compiler"):
        compile_training(LasModel(MODEL, 28))


@pytest.mark.parametrize("shape", [(64, 192), (192, 64), (96, 96)])
def test_orthogonal_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.max() < 1.3 and values.median() > 0.6


def test_muon_steps_matrices_by_its_rule_and_the_rest_by_adamw() -> None:
    torch.manual_seed(0)
    model = LasModel(MODEL, 28)
    rate = 0.01
    optimizer = build_optimizer(model, OptimConfig(optimizer="muon", learning_rate=rate), cuda=False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    optimizer.step()
    states = {name: set(optimizer.state[p]) for name, p in model.named_parameters()}
    assert states["listener.blocks.0.widen.weight"] == {"momentum"}
    assert states["listener.blocks.0.depthwise.conv.weight"] == {"step", "exp_avg", "exp_avg_sq"}
    moved = model.listener.blocks[0].widen.weight.detach() - before["listener.blocks.0.widen.weight"]
    assert moved.square().mean().sqrt() == pytest.approx(0.2 * rate, rel=0.15)


def test_muon_resumes_as_if_not_interrupted(tmp_path) -> None:
    corpus = make_corpus(tmp_path / "corpus", 24)
    wide = {**TINY, "compact": {**TINY["compact"], "channels": 64, "encoded_dim": 64}}
    made = recipe(model=wide, optim={"max_steps": 6, "optimizer": "muon"}, data={"batch_seconds": 3.0})
    whole = trained(made, corpus, tmp_path / "whole")
    assert "momentum" in whole.optimizer.state[whole.model.listener.blocks[0].widen.weight]
    assert trained(made, corpus, tmp_path / "cut", stop_at=3).interrupted
    trained(made, corpus, tmp_path / "cut")
    assert_same_weights(tmp_path / "cut/last", tmp_path / "whole/last")


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_listener_without_a_share_of_the_rate_stays(tmp_path, kind: str) -> None:
    wide = {**TINY, "compact": {**TINY["compact"], "channels": 64, "encoded_dim": 64}}
    optim = {"max_steps": 2, "optimizer": kind, "listener_share": 0.0}
    made = recipe(model=wide, optim=optim, data={"batch_seconds": 3.0})
    trainer = Trainer(made, make_corpus(tmp_path / "corpus", 24), TokenTable.characters(), tmp_path / "run")
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.run()
    moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert "speller.cell.weight_hh" in moved
    assert all(name.startswith("speller.") for name in moved)


def test_ahead_keeps_order_ends_and_passes_errors_on() -> None:
    assert list(ahead(range(1, 6))) == [1, 2, 3, 4, 5]

    def broken():
        yield 1
        raise ValueError("broken")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)
