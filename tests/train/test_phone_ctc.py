"""The CTC head of phones, and clips that begin late."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_las.errors import ConfigError
from edge_las.lexicon import PHONES, SILENCE
from edge_las.runtime.phones import PhoneJudge
from edge_las.tokens import TokenTable
from edge_las.train.alignment import UNKNOWN, Alignment
from edge_las.train.config import DataConfig, LossConfig, ModelConfig, Recipe
from edge_las.train.corpus import AUDIO_FILE, Corpus, write_index
from edge_las.train.data import BatchDataset
from edge_las.train.loss import LOSSES, JointLoss
from edge_las.train.model import LasModel, without_heads
from edge_las.train.utterances import said_phones
from export.package import save_phone_head
from tests.tiny_artifact import CONFIG

TOKENS = TokenTable.characters()
S, IH, K = (PHONES.index(name) for name in ("S", "IH", "K"))
SIX = Alignment(((SILENCE, 30), (S, 20), (IH, 10), (K, 10), (S, 15), (SILENCE, 15)), ((30, 55),))


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two seconds of samples that count up: "six" aligned, "go" not."""
    np.arange(32_000, dtype=np.int16).tofile(tmp_path / AUDIO_FILE)
    rows = [(f"c{i}", 16_000 * i, 16_000, "w", "s", "train", text) for i, text in enumerate(("six", "go"))]
    write_index(tmp_path, rows)
    phones, words = SIX.columns()
    (tmp_path / "align.tsv").write_text(f"id\tphones\twords\nc0\t{phones}\t{words}\nc1\t\t\n")
    return Corpus([tmp_path])


def model_with_head() -> LasModel:
    torch.manual_seed(0)
    return LasModel(replace(CONFIG, phone_ctc=True), len(TOKENS))


def test_phones_are_listed_once_each_without_silence() -> None:
    frames = np.array([SILENCE, S, S, IH, SILENCE, IH, UNKNOWN, UNKNOWN], np.uint8)
    assert said_phones(frames) == (S, IH, IH)
    assert said_phones(frames[:0]) == said_phones(frames[:1]) == ()


def test_a_batch_tells_the_phones_of_what_is_aligned(corpus: Corpus) -> None:
    batch = BatchDataset(corpus, [[(0,), (1,), (0, 0), (0, 1)]], TOKENS, 0.0, (1, 0))[0]
    assert batch.said_lengths.tolist() == [4, 0, 8, 0]
    assert batch.said[0, :4].tolist() == [S, IH, K, S] and batch.said[2].tolist() == [S, IH, K, S] * 2


def test_late_clips_begin_within_their_first_phone(corpus: Corpus) -> None:
    config, begins = DataConfig(late_start_probability=1.0), set()
    for number in range(40):
        batch = BatchDataset(corpus, [[(0,), (1,)]], TOKENS, 0.0, (1, number), 0, config)[0]
        row, other = batch.texts.index("six"), batch.texts.index("go")
        cut = 100 - int(batch.lengths[row]) // 160
        begins.add(cut)
        # After the softened edge, the samples are those from there on.
        assert int(batch.samples[row, 100]) == cut * 160 + 100
        assert batch.phones[row, : 85 - cut].tolist() == SIX.frame_phones(85)[cut:].tolist()
        assert batch.said[row].tolist() == [S, IH, K, S]
        assert batch.spans[row, 0, 0] == 0 and batch.spans[row, 3, 1] == 85 - cut
        # Nobody knows where the other one begins.
        assert int(batch.lengths[other]) == 16_000
    assert min(begins) >= 30 and max(begins) <= 39 and len(begins) > 5


def test_the_head_learns_from_what_is_known_alone() -> None:
    model = model_with_head().train()
    loss = JointLoss(model, LossConfig(ctc_weight=1.0, inter_ctc_weight=0.0, phone_ctc_weight=0.5))
    heard = (torch.randn(2, 80, 64), torch.tensor([80, 60]), torch.tensor([[5, 6]] * 2), torch.tensor([2, 2]))
    said = torch.tensor([[S, IH, K, S], [0, 0, 0, 0]])
    part = LOSSES.index("phone_ctc")
    value, parts = loss(*heard, None, 0.0, (said, torch.tensor([4, 0])))
    value.backward()
    expected = float(parts[1] + 0.5 * parts[part])
    assert parts[part] > 0 and float(value.detach()) == pytest.approx(expected, rel=1e-4)
    assert model.phone_ctc_head is not None and bool(model.phone_ctc_head.weight.grad.any())
    assert loss(*heard, None, 0.0, (said, torch.tensor([0, 0])))[1][part] == 0.0
    assert loss(*heard)[1][part] == 0.0


def test_what_is_exported_says_what_the_model_says(tmp_path: Path) -> None:
    model = model_with_head()
    assert model.phone_ctc_head is not None
    save_phone_head(tmp_path / "head.npy", model.phone_ctc_head)
    weights = np.load(tmp_path / "head.npy", allow_pickle=False)
    assert weights.dtype == np.float16 and weights.shape == (CONFIG.compact.encoded_dim + 1, len(PHONES))
    encoded = torch.randn(1, 9, CONFIG.compact.encoded_dim)
    with torch.no_grad():
        expected = torch.log_softmax(model.phone_ctc_head(encoded), dim=2)[0]
    found = PhoneJudge(weights.astype(np.float32), None).log_probs(encoded.numpy())
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=5e-3, rtol=1e-3)


def test_a_weight_without_a_head_is_refused() -> None:
    with pytest.raises(ConfigError, match="phone_ctc"):
        Recipe("x", loss=LossConfig(phone_ctc_weight=0.3))
    with_head = ModelConfig(phone_ctc=True)
    assert Recipe("x", model=with_head, loss=LossConfig(phone_ctc_weight=0.3)).model == with_head
    assert without_heads(with_head) == ModelConfig()
