"""Forced alignment: what is kept of it, and targets that follow the speech wherever augmentation puts it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_las.audio import float_to_pcm, read_audio
from edge_las.errors import DeviceError
from edge_las.lexicon import PHONES
from edge_las.tokens import TokenTable
from edge_las.train import align
from edge_las.train.alignment import UNKNOWN, Alignment
from edge_las.train.augment import Moved
from edge_las.train.config import DataConfig, LossConfig
from edge_las.train.corpus import AUDIO_FILE, Corpus, write_index
from edge_las.train.data import BatchDataset, plan_epoch
from edge_las.train.loss import JointLoss, aligned_share
from edge_las.train.sound import Sound
from edge_las.train.targets import IGNORED, inside, make_targets
from tests.tiny_artifact import tiny_model

_NOTHING_TAUGHT = torch.zeros(1, 0, 0, dtype=torch.int8)
OFF = Alignment(((PHONES.index("SIL"), 18), (PHONES.index("AO"), 24), (PHONES.index("F"), 22)), ((18, 46),))


@pytest.fixture
def corpus(tmp_path):
    """Two clips, "off" aligned and "go" not."""
    np.arange(32_000, dtype=np.int16).tofile(tmp_path / AUDIO_FILE)
    rows = [
        (f"c{i}", 16_000 * i, 16_000, "words", "s", "train", text) for i, text in enumerate(("off", "go"))
    ]
    write_index(tmp_path, rows)
    phones, words = OFF.columns()
    (tmp_path / "align.tsv").write_text(f"id\tphones\twords\nc0\t{phones}\t{words}\nc1\t\t\n")
    return Corpus([tmp_path])


def test_columns_are_read_as_they_were_written() -> None:
    assert Alignment.parse(*OFF.columns()) == OFF
    phones = OFF.frame_phones(70)
    assert phones.tolist() == [0] * 18 + [PHONES.index("AO")] * 24 + [PHONES.index("F")] * 22 + [UNKNOWN] * 6
    assert OFF.frame_phones(5).tolist() == [0] * 5


def test_batches_hold_what_is_aligned_and_mark_the_rest(corpus: Corpus) -> None:
    plan = plan_epoch(corpus.clips, [0, 1], DataConfig(join_probability=0.0), 1, 0)
    batch = BatchDataset(corpus, plan, TokenTable.characters(), 0.0, (1, 0))[0]
    off, go = (batch.texts.index(text) for text in ("off", "go"))
    assert batch.phones[off, 18] == PHONES.index("AO") and (batch.phones[go] == UNKNOWN).all()
    # The word mark and three letters share frames 18 to 64; <eos> has the rest of the second.
    expected = [[18, 29.5], [29.5, 41], [41, 52.5], [52.5, 64], [64, 100]]
    torch.testing.assert_close(batch.spans[off], torch.tensor(expected))
    assert (batch.spans[go] < 0).all()


def counted(folder: Path) -> tuple[Corpus, dict[str, int]]:
    """Two aligned clips of six words of one sample value each, and that value by word."""
    texts = ("one two three four five six", "seven eight nine ten eleven twelve")
    words = [(20 + 30 * k, 20) for k in range(6)]
    wave = np.zeros((2, 32_000), np.int16)
    for clip in range(2):
        for k, (first, frames) in enumerate(words):
            wave[clip, first * 160 : (first + frames) * 160] = 100 * (clip + 1) + k
    wave.tofile(folder / AUDIO_FILE)
    rows = [(f"c{i}", 32_000 * i, 32_000, "read", "s", "train", text) for i, text in enumerate(texts)]
    write_index(folder, rows)
    phones, columns = Alignment(((0, 100), (1, 100)), tuple(words)).columns()
    lines = "".join(f"c{i}\t{phones}\t{columns}\n" for i in range(2))
    (folder / "align.tsv").write_text("id\tphones\twords\n" + lines)
    known = {word: 100 * (i + 1) + k for i, text in enumerate(texts) for k, word in enumerate(text.split())}
    return Corpus([folder]), known


@pytest.mark.parametrize("number", range(4))
def test_spliced_phrases_keep_their_sound_text_and_times(tmp_path, number: int) -> None:
    corpus, known = counted(tmp_path)
    tokens, config = TokenTable.characters(), DataConfig(splice_probability=1.0)
    batch = BatchDataset(corpus, [[(0,), (1,)]], tokens, 0.0, (1, number), 0, config)[0]
    for row, text in enumerate(batch.texts):
        assert text not in {clip.text for clip in corpus.clips}
        ids = batch.tokens[row, : int(batch.token_lengths[row])].tolist()
        for word, first, last in tokens.words(ids):
            begin, end = (int(batch.spans[row, k, side]) for k, side in ((first, 0), (last - 1, 1)))
            assert end - begin == 20
            heard = batch.samples[row, begin * 160 : end * 160]
            assert (heard == known[word]).all()
        assert int(batch.lengths[row]) >= 32_000 - 6 * 160


@pytest.mark.parametrize("splice", [0.0, 1.0])
def test_resident_sound_is_what_is_read_from_the_file(tmp_path, splice: float) -> None:
    corpora = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        counted(tmp_path / name)
        corpora.append(tmp_path / name)
    corpus, tokens = Corpus(corpora), TokenTable.characters()
    config = DataConfig(splice_probability=splice)
    plan = [[(0,), (1, 2), (3, 3)]]
    read = BatchDataset(corpus, plan, tokens, 0.0, (1, 0), 0, config)[0]
    told = BatchDataset(corpus, plan, tokens, 0.0, (1, 0), 0, replace(config, resident=True))[0]
    assert told.samples.numel() == 0 and torch.equal(told.lengths, read.lengths)
    laid = Sound(corpus, torch.device("cpu")).lay(told.stretches, told.lengths)
    assert torch.equal(laid, read.samples) and laid.any()


def test_joined_clips_keep_their_times(corpus: Corpus) -> None:
    data = BatchDataset(corpus, [[(1, 0)]], TokenTable.characters(), 0.0, (1, 0))[0]
    begin = int((data.phones[0] == PHONES.index("AO")).nonzero()[0])
    wave = data.samples[0, (begin - 18) * 160 :]
    assert torch.equal(wave[:16_000], torch.from_numpy(np.array(corpus.samples(corpus.clips[0]))))
    assert data.spans[0, 3].tolist() == [begin, begin + 11.5] and data.spans[0, 0, 0] < 0


def test_targets_follow_lead_and_speed() -> None:
    phones = torch.from_numpy(OFF.frame_phones(64))[None].repeat(2, 1)
    spans = torch.tensor([[[18.0, 64.0], [-1.0, -1.0]]] * 2)
    moved = Moved(torch.tensor([1.0, 2.0]), torch.tensor([0, 6400]))
    targets = make_targets(phones, spans, _NOTHING_TAUGHT, moved, 40, 640, 16000)
    # Encoded frame j has its middle at 10 ms frame 4 j + 2; the second clip is twice as fast, 0.4 s later.
    assert targets.phones[0, :17].tolist() == [0] * 4 + [PHONES.index("AO")] * 6 + [PHONES.index("F")] * 6 + [
        0
    ]
    said = [0] * 12 + [PHONES.index("AO")] * 3 + [PHONES.index("F")] * 3 + [0]
    assert targets.phones[1, :19].tolist() == said
    assert targets.spans[0, 0].tolist() == pytest.approx([4.5 - 3, 16 + 3])
    assert targets.spans[1, 0].tolist() == pytest.approx([10 + 2.25 - 3, 10 + 8 + 3])
    assert (targets.spans[:, 1] < 0).all()


def test_nothing_is_taught_where_nothing_was_aligned() -> None:
    phones = torch.full((1, 10), UNKNOWN, dtype=torch.uint8)
    targets = make_targets(phones, torch.full((1, 1, 2), -1.0), _NOTHING_TAUGHT, _still(), 8, 640, 16000)
    assert (targets.phones == IGNORED).all()
    share, known = inside(torch.full((1, 1, 8), 0.125), targets.spans)
    assert not known.any() and share.shape == known.shape


def test_attention_inside_its_span_costs_nothing() -> None:
    attention = torch.tensor([[[0.0, 0.5, 0.5, 0.0, 0.0]]])
    for span, expected in (((1.2, 2.8), 1.0), ((2.0, 4.0), 0.5), ((3.0, 4.0), 0.0)):
        share, known = inside(attention, torch.tensor([[span]]))
        assert float(share) == expected and known.all()


def test_aligned_losses_teach_and_fade() -> None:
    torch.manual_seed(0)
    model, _ = tiny_model()
    config = LossConfig(phone_weight=0.0, attention_weight=1.0, aligned_steps=10, scheduled_sampling=0.0)
    loss = JointLoss(model, config).eval()
    features, lengths = torch.randn(1, 80, 64), torch.tensor([80])
    tokens, token_lengths = torch.tensor([[5, 6]]), torch.tensor([2])
    phones = torch.zeros(1, 80, dtype=torch.uint8)
    targets = make_targets(
        phones, torch.tensor([[[0.0, 1.0]] * 3]), _NOTHING_TAUGHT, _still(), 20, 640, 16000
    )
    with torch.no_grad():
        value, parts = loss(features, lengths, tokens, token_lengths, targets, 1.0)
        plain, plain_parts = loss(features, lengths, tokens, token_lengths)
    assert parts[4] > 0 and plain_parts[4] == 0
    torch.testing.assert_close(value, plain + parts[4])
    assert [aligned_share(config, step) for step in (0, 5, 10, 99)] == [1.0, 0.5, 0.0, 0.0]
    assert aligned_share(LossConfig(), 0) == 0.0


def test_a_missing_aligner_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(DeviceError, match=r"edge-las\[align\]"):
        align.Aligner()


def test_real_speech_is_aligned(clips_dir, tmp_path) -> None:
    pytest.importorskip("pocketsphinx", reason="the align extra is not installed")
    samples = read_audio(clips_dir / "speech_commands-13060.wav")
    float_to_pcm(samples).tofile(tmp_path / AUDIO_FILE)
    write_index(tmp_path, [("c0", 0, len(samples), "words", "s", "train", "yes")])
    assert align.align_corpus(tmp_path) == 1
    found = Corpus([tmp_path]).alignment(Corpus([tmp_path]).clips[0])
    said = [PHONES[phone] for phone, _ in found.phones if phone]
    assert said == ["Y", "EH", "S"]
    (first, frames), loud = found.words[0], np.abs(samples) > 0.2 * np.abs(samples).max()
    assert first - 5 <= loud.argmax() / 160 <= first + frames


def _still() -> Moved:
    return Moved(torch.ones(1), torch.zeros(1, dtype=torch.long))
