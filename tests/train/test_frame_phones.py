"""The head that names each frame's phone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_las.config import from_dict, to_dict
from edge_las.lexicon import PHONES, SILENCE, Lexicon
from edge_las.runtime.phones import PhoneJudge
from edge_las.tokens import TokenTable
from edge_las.train.alignment import UNKNOWN, Alignment
from edge_las.train.augment import Moved
from edge_las.train.config import LossConfig, ModelConfig, OptimConfig, Recipe
from edge_las.train.corpus import AUDIO_FILE, Corpus, write_index
from edge_las.train.data import BatchDataset
from edge_las.train.loop import Trainer
from edge_las.train.loss import LOSSES, JointLoss
from edge_las.train.model import LasModel, without_heads
from edge_las.train.optim import build_optimizer
from edge_las.train.targets import make_targets
from export.package import save_phone_head
from tests.tiny_artifact import CONFIG

TOKENS = TokenTable.characters()
S, IH, K = (PHONES.index(name) for name in ("S", "IH", "K"))
SIX = Alignment(((SILENCE, 30), (S, 20), (IH, 10), (K, 10), (S, 15), (SILENCE, 15)), ((30, 55),))


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Seconds of samples that count up: "six" aligned, "go" not, and one of dev."""
    np.arange(48_000, dtype=np.uint16).astype(np.int16).tofile(tmp_path / AUDIO_FILE)
    said = (("six", "train"), ("go", "train"), ("go", "dev"))
    rows = [(f"c{i}", 16_000 * i, 16_000, "w", "s", split, text) for i, (text, split) in enumerate(said)]
    write_index(tmp_path, rows)
    phones, words = SIX.columns()
    (tmp_path / "align.tsv").write_text(f"id\tphones\twords\nc0\t{phones}\t{words}\nc1\t\t\n")
    return Corpus([tmp_path])


def model_with_head() -> LasModel:
    torch.manual_seed(0)
    return LasModel(replace(CONFIG, frame_phones=True), len(TOKENS))


def test_pauses_between_clips_teach_silence_beside_aligned_ones_alone(corpus: Corpus) -> None:
    batch = BatchDataset(corpus, [[(0, 0), (1, 1)]], TOKENS, 0.0, (1, 0))[0]
    aligned, unknown = batch.texts.index("six six"), batch.texts.index("go go")
    assert (batch.phones[unknown] == UNKNOWN).all()
    pause = batch.phones[aligned, 100 : int(batch.lengths[aligned]) // 160 - 100]
    assert len(pause) > 0 and (pause == SILENCE).all()


def test_the_head_learns_and_draws_nothing_else() -> None:
    model = model_with_head().train()
    loss = JointLoss(model, LossConfig(ctc_weight=1.0, inter_ctc_weight=0.0))
    heard = (torch.randn(2, 80, 64), torch.tensor([80, 60]), torch.tensor([[5, 6]] * 2), torch.tensor([2, 2]))
    phones = torch.full((2, 80), UNKNOWN, dtype=torch.uint8)
    phones[0] = K
    spans, taught = torch.full((2, 3, 2), -1.0), torch.zeros(2, 0, 0, dtype=torch.int8)
    still = Moved(torch.ones(2), torch.zeros(2, dtype=torch.long))
    part, head = LOSSES.index("frame_phones"), model.frame_phone_head
    assert head is not None
    before = float(head.prior[K])
    value, parts = loss(*heard, make_targets(phones, spans, taught, still, 20, 640, 16_000))
    assert float(value.detach()) == pytest.approx(float(parts[1] + parts[part]), rel=1e-4) and parts[part] > 0
    (own,) = torch.autograd.grad(value, [head.weight], retain_graph=True)
    assert bool(own.any()) and float(head.prior[K]) > before
    assert float(head.prior.sum()) == pytest.approx(1.0, abs=1e-5)
    with_head = torch.autograd.grad(value, [model.listener.out.weight], retain_graph=True)[0]
    plain = torch.autograd.grad(value - parts[part], [model.listener.out.weight])[0]
    assert torch.equal(with_head, plain)
    unknown = make_targets(phones[1:].repeat(2, 1), spans, taught, still, 20, 640, 16_000)
    assert loss(*heard, unknown)[1][part] == 0.0 and loss(*heard)[1][part] == 0.0


def test_what_is_exported_says_how_much_likelier_a_phone_is_than_common(tmp_path: Path) -> None:
    head = model_with_head().frame_phone_head
    assert head is not None
    for _ in range(500):
        head.count(torch.tensor([S, S, S, K]))
    assert float(head.prior[S]) == pytest.approx(0.75, abs=0.1)
    save_phone_head(tmp_path / "head.npy", head)
    weights = np.load(tmp_path / "head.npy", allow_pickle=False)
    assert weights.dtype == np.float16 and weights.shape == (CONFIG.compact.encoded_dim + 1, len(PHONES))
    encoded = torch.randn(1, 9, CONFIG.compact.encoded_dim)
    with torch.no_grad():
        expected = torch.log_softmax(head(encoded) - head.prior.clamp(min=1e-4).log(), dim=2)[0]
    found = PhoneJudge(weights.astype(np.float32), Lexicon("")).log_probs(encoded.numpy())
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=2e-2, rtol=1e-3)


def test_a_base_may_lack_the_head() -> None:
    assert without_heads(ModelConfig(frame_phones=True)) == ModelConfig()
    groups = build_optimizer(model_with_head(), OptimConfig(listener_share=0.1), cuda=False).param_groups
    head = model_with_head().frame_phone_head
    assert head is not None
    shares = {group["share"] for group in groups for p in group["params"] if p.shape == head.weight.shape}
    assert shares == {1.0}


def test_a_head_learns_alone_beside_a_listener_that_stands_still(corpus: Corpus, tmp_path: Path) -> None:
    optim = {"listener_share": 0.0, "max_steps": 6, "learning_rate": 0.01, "warmup_steps": 1}
    values = {
        "name": "head",
        "model": {**to_dict(CONFIG), "frame_phones": True},
        "tokens": {"kind": "characters"},
        "data": {"batch_seconds": 4.0, "max_batch_clips": 1},
        "loss": {"ctc_weight": 1.0},
        "optim": optim,
    }
    trainer = Trainer(from_dict(Recipe, values, "head"), corpus, TOKENS, tmp_path / "run")
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    changed = {name for name, value in trainer.model.state_dict().items() if not value.equal(before[name])}
    assert changed == {f"frame_phone_head.{name}" for name in ("weight", "bias", "prior")}
