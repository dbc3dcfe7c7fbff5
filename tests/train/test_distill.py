"""Learning from a teacher: its rows follow the speech wherever a corpus, a batch and augmentation put it."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from edge_las.cli import main
from edge_las.errors import ConfigError, DeviceError
from edge_las.tokens import TokenTable
from edge_las.train import distill
from edge_las.train.alignment import Alignment
from edge_las.train.augment import Moved
from edge_las.train.config import DataConfig, LossConfig, Recipe
from edge_las.train.corpus import AUDIO_FILE, Corpus, write_index
from edge_las.train.data import BatchDataset, plan_epoch
from edge_las.train.discriminant import Discriminant
from edge_las.train.loss import LOSSES, JointLoss
from edge_las.train.model import LasModel
from edge_las.train.targets import make_targets
from edge_las.train.teacher import ROW_SAMPLES, SCALE, TEACHER_FILE
from tests.tiny_artifact import CONFIG

# The second clip begins in the middle of a row.
OFFSETS, LENGTHS = (0, 16_160), (16_000, 12_000)


class Ramp:
    """A teacher that says how loud each frame is, in the rising PCM of the corpus: its time in the file."""

    def __init__(self) -> None:
        self.heard = 0

    def hear(self, waves):
        frames = max(map(len, waves)) // ROW_SAMPLES + 2
        self.heard += len(waves)
        out = np.zeros((len(waves), frames, 2), np.float32)
        for row, wave in zip(out, waves, strict=True):
            row[:, 0] = wave[0] * 32768 + np.arange(frames) * ROW_SAMPLES
            row[:, 1] = 1.0
        return out


@pytest.fixture
def folder(tmp_path):
    np.arange(28_160, dtype=np.int16).tofile(tmp_path / AUDIO_FILE)
    rows = [
        (f"c{i}", offset, length, "words", "s", "train", text)
        for i, (offset, length, text) in enumerate(zip(OFFSETS, LENGTHS, ("off", "go"), strict=True))
    ]
    write_index(tmp_path, rows)
    project = Discriminant(np.array([14_000.0, 0.0]), np.diag([1e-4, 1.0]))
    project.save(tmp_path / distill.DISCRIMINANT_FILE)
    return tmp_path


def times(rows):
    """What the ramp's numbers say: at which sample of the file each frame begins."""
    return rows[..., 0] / SCALE * 10_000 + 14_000


def test_a_teachers_frames_lie_where_the_audio_lies(folder) -> None:
    teacher = Ramp()
    assert distill.distill_corpus(folder, teacher, folder) == 2
    rows = np.load(folder / TEACHER_FILE).astype(float)
    assert rows.shape == (88, 2)
    heard = np.r_[0:50, 51:88]
    assert np.abs(times(rows[heard]) - heard * ROW_SAMPLES).max() <= 210.0  # what int8 rounds away
    assert not rows[50].any()
    assert distill.distill_corpus(folder, teacher, folder) == 2 and teacher.heard == 2


def test_an_interrupted_teacher_goes_on(folder, monkeypatch) -> None:
    class Tires(Ramp):
        def hear(self, waves):
            if self.heard:
                raise KeyboardInterrupt
            return super().hear(waves)

    monkeypatch.setattr(distill, "_BATCH_SAMPLES", 1)
    with pytest.raises(KeyboardInterrupt):
        distill.distill_corpus(folder, Tires(), folder)
    assert not (folder / TEACHER_FILE).exists()
    teacher = Ramp()
    distill.distill_corpus(folder, teacher, folder)
    assert teacher.heard == 1 and np.load(folder / TEACHER_FILE)[[0, 60], 1].tolist() == [25, 25]


class Listens:
    """A teacher of three numbers: noise, the level of what it hears, noise."""

    def hear(self, waves):
        rng = np.random.default_rng(len(waves[0]))
        frames = len(waves[0]) // ROW_SAMPLES
        out = rng.normal(scale=5.0, size=(len(waves), frames, 3)).astype(np.float32)
        for row, wave in zip(out, waves, strict=True):
            row[:, 1] = np.abs(wave[: frames * ROW_SAMPLES]).reshape(frames, -1).mean(axis=1)
        return out


def test_directions_are_those_that_tell_phones_apart(tmp_path) -> None:
    loud, soft = Alignment(((1, 100),), ((0, 100),)), Alignment(((2, 60), (3, 40)), ((0, 100),))
    levels = np.tile(np.repeat([9000, 100, 3000], [16_000, 9600, 6400]), 6).astype(np.int16)
    levels.tofile(tmp_path / AUDIO_FILE)
    write_index(tmp_path, [(f"c{i}", 16_000 * i, 16_000, "words", "s", "train", "a") for i in range(12)])
    lines = ["\t".join((f"c{i}", *(soft if i % 2 else loud).columns())) for i in range(12)]
    (tmp_path / "align.tsv").write_text("id\tphones\twords\n" + "\n".join(lines) + "\n")
    distill.distill_corpus(tmp_path, Listens(), tmp_path, dim=2)
    found = Discriminant.load(tmp_path / distill.DISCRIMINANT_FILE)
    best, next_best = np.abs(found.projection * [[5.0], [0.1], [5.0]]).T
    assert best.argmax() == 1 and best[1] > 20 * best[[0, 2]].max()
    assert np.abs(next_best).max() < 0.2
    rows = np.load(tmp_path / TEACHER_FILE) / SCALE
    assert rows[:, 0].std() == pytest.approx(1.0, abs=0.05) and rows[:, 1].std() < 0.3


def batch_of(folder, item):
    distill.distill_corpus(folder, Ramp(), folder)
    return BatchDataset(Corpus([folder]), [[item]], TokenTable.characters(), 0.0, (1, 0), 2)[0]


def test_joined_clips_keep_what_was_taught(folder) -> None:
    batch = batch_of(folder, (1, 0))
    said, rows = batch.samples[0].float(), batch.taught[0].float()
    known = rows.any(dim=1).nonzero()[:, 0]
    middle = said[known * ROW_SAMPLES + ROW_SAMPLES // 2]
    assert (times(rows[known]) - middle + ROW_SAMPLES // 2).abs().max() < 420.0
    assert 86 <= len(known) <= 88 and len(rows) > len(known)


def test_without_a_teacher_nothing_is_taught(folder) -> None:
    corpus = Corpus([folder])
    plan = plan_epoch(corpus.clips, [0, 1], DataConfig(join_probability=0.0), 1, 0)
    batch = BatchDataset(corpus, plan, TokenTable.characters(), 0.0, (1, 0), 2)[0]
    assert batch.taught.shape[0] == 2 and not batch.taught.any()


def test_targets_follow_speed_and_lead(folder) -> None:
    batch = batch_of(folder, (0,))
    moved = Moved(torch.tensor([0.8]), torch.tensor([3200]))
    args = (batch.phones, batch.spans, batch.taught, moved, 60, 640, 16_000)
    taught = make_targets(*args).taught[0]
    said = (torch.arange(60) * 640 + 320 - 3200) * 0.8  # where in the clip the middle of a frame is
    known = taught.any(dim=1)
    assert (times(taught[known] * SCALE) + ROW_SAMPLES / 2 - said[known]).abs().max() < 420.0
    assert torch.equal(known, (said >= 160) & (said <= 16_000 - 160))


def test_the_loss_sees_only_what_was_heard_and_teaches(folder) -> None:
    torch.manual_seed(0)
    config = LossConfig(ctc_weight=1.0, teacher_weight=1.0)
    model = LasModel(replace(CONFIG, teacher_dim=2), 30).train()
    loss = JointLoss(model, config)
    batch = batch_of(folder, (0,))
    moved = Moved(torch.ones(1), torch.zeros(1))
    targets = make_targets(batch.phones, batch.spans, batch.taught, moved, 25, 640, 16_000)
    features = torch.randn(1, 100, CONFIG.features.n_mels)
    heard = (features, torch.tensor([100]), batch.tokens, batch.token_lengths)
    optimizer = torch.optim.Adam(model.teacher_head.parameters(), 0.05)
    seen = []
    for _ in range(60):
        total, parts = loss(*heard, targets)
        seen.append(float(parts[LOSSES.index("teacher")]))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert seen[-1] < 0.3 * seen[0]
    nothing = make_targets(batch.phones, batch.spans, torch.zeros_like(batch.taught), moved, 25, 640, 16_000)
    assert loss(*heard, nothing)[1][LOSSES.index("teacher")] == 0.0


def test_a_teacher_that_does_not_fit_is_named(folder) -> None:
    class Other(Ramp):
        def hear(self, waves):
            return np.zeros((len(waves), 60, 3), np.float32)

    with pytest.raises(ConfigError, match=r"teacher_discriminant\.npz: is of a teacher of 2 dimensions"):
        distill.distill_corpus(folder, Other(), folder)
    distill.distill_corpus(folder, Ramp(), folder)
    corpus = Corpus([folder])
    corpus.check_teachers(2)
    with pytest.raises(ConfigError, match="its teacher has 2 dimensions, model.teacher_dim is 96"):
        corpus.check_teachers(96)
    with pytest.raises(ConfigError, match=r"teacher_weight is above 0, but model\.teacher_dim is 0"):
        Recipe("r", loss=LossConfig(teacher_weight=1.0))


def test_what_is_missing_is_named(folder, monkeypatch, capsys) -> None:
    (folder / distill.DISCRIMINANT_FILE).unlink()
    with pytest.raises(ConfigError, match="no clip is aligned: edge-las align"):
        distill.distill_corpus(folder, Ramp(), folder)
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(DeviceError, match=r"pip install edge-las\[distill\]"):
        distill.WhisperEncoder("tiny.en")
    assert main(["distill", str(folder), "--teacher", "tiny.en"]) == 2
    assert "distilling needs faster-whisper" in capsys.readouterr().err

    class Module:
        @staticmethod
        def WhisperModel(*_args, **_options):
            raise ValueError("Invalid model size 'tinny.en'")

    monkeypatch.setitem(sys.modules, "faster_whisper", Module)
    with pytest.raises(ConfigError, match=r"--teacher tinny.en: Invalid model size"):
        distill.WhisperEncoder("tinny.en")
    Module.WhisperModel = staticmethod(lambda *_args, **_options: None)
    assert main(["distill", str(folder / "none"), "--teacher", "tiny.en"]) == 2
    assert capsys.readouterr().err == f"edge-las: error: {folder}/none/index.tsv: no such file or directory\n"
