"""The head that names each frame's phone."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edge_las.artifact import describe_files
from edge_las.config import from_dict, to_dict
from edge_las.errors import ConfigError
from edge_las.lexicon import LEXICON_NAME, PHONE_HEAD_NAME, PHONES, SILENCE, Lexicon, save_lexicon
from edge_las.runtime.phones import load_phone_judge
from edge_las.tokens import TokenTable
from edge_las.train.alignment import UNKNOWN, Alignment
from edge_las.train.augment import Moved
from edge_las.train.checkpoint import load_checkpoint
from edge_las.train.config import LossConfig, ModelConfig, OptimConfig, Recipe
from edge_las.train.corpus import AUDIO_FILE, Corpus, write_index
from edge_las.train.data import BatchDataset
from edge_las.train.loop import Trainer
from edge_las.train.loss import LOSSES, JointLoss
from edge_las.train.model import FramePhoneHead, LasModel, without_heads
from edge_las.train.optim import build_optimizer
from edge_las.train.targets import make_targets
from export.phone_head import save_phone_head
from tests.tiny_artifact import CONFIG

TOKENS = TokenTable.characters()
MIDDLE, ENCODED = CONFIG.compact.channels, CONFIG.compact.encoded_dim
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
    (own,) = torch.autograd.grad(value, [head.hidden.weight], retain_graph=True)
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
        head.count(torch.tensor([[S, S, S, K]]))
    assert float(head.prior[S]) == pytest.approx(0.75, abs=0.1)
    warm(head)
    for name in ("again", PHONE_HEAD_NAME):
        save_phone_head(tmp_path / name, head)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / PHONE_HEAD_NAME).read_bytes()
    save_lexicon(tmp_path / LEXICON_NAME, Lexicon("a AH"))
    sizes = SimpleNamespace(middle_dim=MIDDLE, encoded_dim=ENCODED)
    files = describe_files(tmp_path, (PHONE_HEAD_NAME, LEXICON_NAME))
    judge = load_phone_judge(tmp_path, SimpleNamespace(files=files, listener=sizes))
    assert judge is not None and judge.frames_around == 3
    for frames in (1, 2, 3, 9):
        encoded, middle = torch.randn(1, frames, ENCODED), 3.0 * torch.randn(1, frames, MIDDLE)
        with torch.no_grad():
            logits = head(encoded, middle, torch.tensor([frames]))
            expected = torch.log_softmax(logits - head.prior.clamp(min=1e-4).log(), dim=2)[0]
        found = judge.log_probs(encoded.numpy(), middle.numpy())
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=3e-2, rtol=1e-2)


def warm(head: FramePhoneHead) -> None:
    """Give the normalisation statistics, and leave the head as it is evaluated."""
    head.norm.running_mean.normal_()
    head.norm.running_var.uniform_(0.5, 4.0)
    head.eval()


def test_the_head_hears_the_middle_the_encoded_and_three_frames_around() -> None:
    head = FramePhoneHead(MIDDLE, ENCODED, 16, 12)
    warm(head)
    encoded, middle = torch.randn(2, 12, ENCODED), torch.randn(2, 12, MIDDLE)
    lengths = torch.tensor([12, 8])
    norm = head.norm
    with torch.no_grad():
        heard = (torch.cat([middle, encoded], dim=2) - norm.running_mean) / (
            norm.running_var + norm.eps
        ).sqrt()
        hidden = F.relu(head.hidden(heard))
        hidden[1, 8:] = 0.0
        around = F.pad(hidden, (0, 0, 3, 3))
        for n, t in ((0, 0), (0, 7), (0, 11), (1, 7)):
            window = torch.einsum("ocK,Kc->o", head.context.weight, around[n, t : t + 7]) + head.context.bias
            expected = head.out(F.relu(window))
            torch.testing.assert_close(head(encoded, middle, lengths)[n, t], expected)
        encoded[1, 8:], middle[1, 8:] = 50.0, 50.0
        alone = head(encoded[1:, :8], middle[1:, :8], torch.tensor([8]))
        torch.testing.assert_close(head(encoded, middle, lengths)[1, :8], alone[0])


def test_padding_leaves_no_trace_in_the_normalisation() -> None:
    found = []
    for padded in (0.0, 100.0):
        torch.manual_seed(0)
        head = FramePhoneHead(MIDDLE, ENCODED, 16, 12).train()
        encoded, middle = torch.randn(2, 12, ENCODED), torch.randn(2, 12, MIDDLE)
        encoded[1, 5:], middle[1, 5:] = padded, padded
        logits = head(encoded, middle, torch.tensor([12, 5]))
        found.append((logits[0], logits[1, :5], head.norm.running_mean, head.norm.running_var))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    heard = torch.cat([middle, encoded], dim=2)
    valid = torch.cat([heard[0], heard[1, :5]])
    torch.testing.assert_close(head.norm.running_mean, 0.02 * valid.mean(dim=0))


def test_the_middle_is_the_blocks_output_frame_by_frame() -> None:
    model = model_with_head().eval()
    listener, seen = model.listener, []
    block = listener.blocks[CONFIG.compact.inter_ctc_block - 1]
    block.register_forward_hook(lambda _, given, result: seen.append(result[0].transpose(1, 2)))
    features, lengths = torch.randn(2, 80, 64), torch.tensor([80, 61])
    with torch.no_grad():
        encoded, middle, frames = model.hear(features, lengths)
    assert middle is not None and middle.shape == (2, 20, MIDDLE) and encoded.shape == (2, 20, ENCODED)
    assert listener.middle_delay == 2 and torch.equal(middle, seen[0][:, 2:22])
    assert frames.tolist() == [20, 16] and listener.middle is None
    # Without a head nothing is kept.
    assert LasModel(CONFIG, len(TOKENS)).eval().hear(features, lengths)[1] is None


def test_a_head_without_a_middle_is_refused() -> None:
    for config in (
        {"listener": "pyramid"},
        {"compact": replace(CONFIG.compact, inter_ctc_block=0)},
    ):
        with pytest.raises(
            ConfigError, match="frame_phones needs the compact Listener, with inter_ctc_block"
        ):
            replace(CONFIG, frame_phones=True, **config)
    with pytest.raises(ConfigError, match="frame_phone_hidden is 0, must be at least 1"):
        ModelConfig(frame_phone_hidden=0)


def test_a_base_may_lack_the_head() -> None:
    config = ModelConfig(frame_phones=True, frame_phone_hidden=96, frame_phone_channels=64)
    assert without_heads(config) == ModelConfig()
    groups = build_optimizer(model_with_head(), OptimConfig(listener_share=0.1), cuda=False).param_groups
    head = model_with_head().frame_phone_head
    assert head is not None
    shapes = {head.hidden.weight.shape, head.context.weight.shape, head.out.weight.shape}
    shares = {group["share"] for group in groups for p in group["params"] if p.shape in shapes}
    assert shares == {1.0}


def test_a_head_learns_alone_beside_a_listener_that_stands_still(corpus: Corpus, tmp_path: Path) -> None:
    optim = {"listener_share": 0.0, "max_steps": 6, "learning_rate": 0.01, "warmup_steps": 1}
    values = {
        "name": "head",
        "model": {**to_dict(CONFIG), "frame_phones": True},
        "tokens": {"kind": "characters"},
        "data": {"batch_seconds": 4.0, "max_batch_clips": 1},
        "loss": {"ctc_weight": 1.0, "phone_mmi_weight": 1.0},
        "optim": optim,
    }
    recipe = from_dict(Recipe, values, "head")
    trainer = Trainer(recipe, corpus, TOKENS, tmp_path / "run")
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    changed = {name for name, value in trainer.model.state_dict().items() if not value.equal(before[name])}
    layers = {f"{layer}.{part}" for layer in ("hidden", "context", "out") for part in ("weight", "bias")}
    statistics = {f"norm.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    counted = {"prior", "transitions", "beginnings", *statistics}
    assert changed == {f"frame_phone_head.{name}" for name in layers | counted}
    resumed = Trainer(recipe, corpus, TOKENS, tmp_path / "run").model.state_dict()
    assert all(value.equal(resumed[name]) for name, value in trainer.model.state_dict().items())
    saved, _ = load_checkpoint(tmp_path / "run" / "last")
    head = saved.frame_phone_head
    assert head is not None and head.norm.num_batches_tracked.dtype == torch.int64
