"""Ways into the flat corpus: manifests of recordings, lhotse's CutSets, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_las.errors import AudioError, ConfigError
from edge_las.train.corpus import AUDIO_FILE, Corpus
from edge_las.train.decode import open_corpus
from edge_las.train.run import load_noises, load_recipe
from tests.train.synthetic import flat_corpus, recipe, recordings, texts, tones


def test_recordings_are_decoded_once(tmp_path) -> None:
    data = recordings(tmp_path / "data", 6)
    corpus = open_corpus([data], tmp_path / "cache")
    assert [clip.text for clip in corpus.clips] == texts(6)
    for clip in corpus.clips:
        expected = np.rint(tones(clip.text) * 32768).astype(np.int16)
        assert np.abs(corpus.samples(clip).astype(int) - expected).max() <= 1
    for file in data.glob("*.wav"):
        file.unlink()
    (data / "t0.wav").touch()
    again = open_corpus([data], tmp_path / "cache")
    assert again.clips == corpus.clips


def test_folders_of_one_name_and_changed_manifests_do_not_mix(tmp_path) -> None:
    a, b = recordings(tmp_path / "a/speech", 4), recordings(tmp_path / "b/speech", 6)
    assert len(open_corpus([a, b], tmp_path / "cache").clips) == 10
    lines = (b / "manifest.tsv").read_text().splitlines()
    (b / "manifest.tsv").write_text("\n".join(lines[:-1]) + "\n")
    assert len(open_corpus([b], tmp_path / "cache").clips) == 5


@pytest.mark.parametrize("column", ["id", "path", "dataset", "speaker", "split", "text"])
def test_a_missing_column_is_named(tmp_path, column: str) -> None:
    data = recordings(tmp_path / "data", 2)
    manifest = data / "manifest.tsv"
    manifest.write_text(manifest.read_text().replace(column, "other", 1))
    with pytest.raises(ConfigError, match=rf"manifest\.tsv: the column {column} is missing"):
        open_corpus([data], tmp_path / "cache")


def test_bad_lines_and_recordings_are_named(tmp_path) -> None:
    data = recordings(tmp_path / "data", 3)
    good = (data / "manifest.tsv").read_text()
    for old, new, error, message in (
        ("t1.wav", "gone.wav", AudioError, r"line 3: gone\.wav is missing"),
        ("t1.wav", "t1.wav\textra", ConfigError, "line 3 has not 7 columns"),
        (texts(3)[1], "route 66", ConfigError, "line 3: '6'"),
    ):
        (data / "manifest.tsv").write_text(good.replace(old, new, 1))
        with pytest.raises(error, match=message):
            open_corpus([data], tmp_path / "cache")
    (data / "manifest.tsv").write_text(good)
    (data / "t2.wav").write_bytes(b"no sound")
    with pytest.raises(AudioError, match=r"t2\.wav"):
        open_corpus([data], tmp_path / "cache")
    with pytest.raises(ConfigError, match="neither"):
        open_corpus([tmp_path], tmp_path / "cache")


def test_a_truncated_flat_corpus_is_named(tmp_path) -> None:
    data = flat_corpus(tmp_path / "data", 6)
    audio = data / AUDIO_FILE
    audio.write_bytes(audio.read_bytes()[:-2])
    with pytest.raises(ConfigError, match=r"index\.tsv: line 7 reaches past the end of .*audio\.i16"):
        Corpus([data])
    audio.unlink()
    with pytest.raises(ConfigError, match=r"line 2 reaches past the end of .*audio\.i16"):
        Corpus([data])
    index = data / "index.tsv"
    index.write_text(index.read_text().replace("t0\t0\t", "t0\tx\t"))
    with pytest.raises(ConfigError, match="line 2: offset_samples"):
        Corpus([data])


def test_bad_recipes_and_noise_folders_are_named(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[optim]\nlearning_rat = 1.0\n')
    with pytest.raises(ConfigError, match=r"mine\.toml: optim\.learning_rat is unknown \(did you mean"):
        load_recipe(str(path))
    with pytest.raises(ConfigError, match="no such recipe; shipped are .*smoke"):
        load_recipe("smok")
    for override, message in (
        ("optim.max_steps", "must be section.key=value"),
        ("optim.max_steps=many", "optim.max_steps is 'many'"),
        ("data.repeat.words=-1", "repeat.words is -1.0, must be at least 0"),
        ("augment.noise_probability=60", "noise_probability is 60.0, must be from 0 to 1"),
        ("augment.snr_min_db=40", "snr_min_db is 40.0, above snr_max_db"),
        ("loss.ctc_weight=1.5", "ctc_weight is 1.5, must be from 0 to 1"),
        ("optim.listener_share=2", "listener_share is 2.0, must be from 0 to 1"),
        ("optim.learning_rate=-0.1", "learning_rate is -0.1, must be at least 0"),
        ("name.x=1", "name is not a section"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_recipe("smoke", [override])
    assert load_recipe("smoke", ["optim.max_steps=7"]).optim.max_steps == 7
    with pytest.raises(ConfigError, match="no such folder"):
        load_noises(tmp_path / "none", recipe().augment)
    with pytest.raises(ConfigError, match="no noise recording"):
        load_noises(tmp_path, recipe().augment)


def test_lhotse_cuts_are_decoded(tmp_path) -> None:
    lhotse = pytest.importorskip("lhotse")
    (tmp_path / "cuts").mkdir()
    told = {"train": "Bad face,", "dev": "a cab"}
    for split, text in told.items():
        sound = tones("abcdeabcde", 8000)
        path = tmp_path / "cuts" / f"{split}.wav"
        soundfile.write(path, np.stack([sound, 0.5 * sound], axis=1), 8000)
        recording = lhotse.Recording.from_file(path)
        recording.sources[0].source = path.name  # relative to the folder
        supervision = lhotse.SupervisionSegment(
            f"s-{split}", recording.id, 0.2, 0.6, channel=[0, 1], text=text, speaker="ann"
        )
        cut = recording.to_cut()
        cut.supervisions = [supervision]
        cut.custom = {"dataset": "toy"}
        name = "cuts.jsonl.gz" if split == "train" else "cuts_dev.jsonl.gz"
        lhotse.CutSet.from_cuts([cut]).to_file(tmp_path / "cuts" / name)
    corpus = open_corpus([tmp_path / "cuts"], tmp_path / "cache")
    assert [(c.split, c.text, c.dataset, c.speaker) for c in corpus.clips] == [
        ("train", "bad face", "toy", "ann"),
        ("dev", "a cab", "toy", "ann"),
    ]
    for clip in corpus.clips:
        samples = corpus.samples(clip) / 32768
        assert len(samples) == 16000
        expected = 0.75 * tones("abcdeabcde")
        assert np.corrcoef(samples, expected)[0, 1] > 0.98
        assert np.abs(samples).max() == pytest.approx(np.abs(expected).max(), rel=0.05)
    Path(tmp_path / "cuts/dev.wav").unlink()
    with pytest.raises(AudioError, match=r"cuts_dev\.jsonl\.gz: cut "):
        open_corpus([tmp_path / "cuts"], tmp_path / "other")
