from pathlib import Path

import numpy as np
import pytest

from benchmarks.memory import of_length, write_wav
from benchmarks.recordings import choose, hours, load_recordings, spread
from edge_las.audio import pcm_to_float, read_audio
from edge_las.errors import ConfigError

ROWS = [("a", "cats", "dev", "one"), ("b", "cats", "train", "two"), ("c", "dogs", "dev", "it's three")]


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    pcm = np.arange(300, dtype=np.int16)
    pcm.tofile(tmp_path / "audio.i16")
    lines = ["id\toffset_samples\tnum_samples\tdataset\tspeaker\tsplit\ttext"]
    lines += [
        f"{id}\t{100 * i}\t100\t{kind}\ts\t{split}\t{text}" for i, (id, kind, split, text) in enumerate(ROWS)
    ]
    (tmp_path / "index.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_flat_corpus(flat: Path) -> None:
    recordings = load_recordings(flat)
    assert [(r.id, r.dataset, r.split, r.text) for r in recordings] == ROWS
    assert np.array_equal(recordings[2].samples(), pcm_to_float(np.arange(200, 300, dtype=np.int16)))
    assert hours(recordings)["cats"] == {"dev": 100 / 16000 / 3600, "train": 100 / 16000 / 3600}


def test_a_flat_corpus_that_is_cut_off_or_of_another_rate(flat: Path) -> None:
    with pytest.raises(ConfigError, match="16000 Hz, the model needs 8000"):
        load_recordings(flat, 8000)
    np.zeros(299, np.int16).tofile(flat / "audio.i16")
    with pytest.raises(ConfigError, match="c reaches past the end"):
        load_recordings(flat)


def test_manifest(tmp_path: Path) -> None:
    write_wav(tmp_path / "x.wav", np.full(800, 0.25, np.float32), 16000)
    head = "id\tpath\tdataset\tspeaker\tsplit\tseconds\ttext\n"
    (tmp_path / "manifest.tsv").write_text(head + "x\tx.wav\tcats\ts\tdev\t0.05\tmeow\n")
    (recording,) = load_recordings(tmp_path)
    assert (recording.seconds, recording.text) == (0.05, "meow")
    assert np.array_equal(recording.samples(), read_audio(tmp_path / "x.wav"))
    (tmp_path / "manifest.tsv").write_text(head.replace("seconds", "length"))
    with pytest.raises(ConfigError, match="manifest.tsv: the column seconds is missing"):
        load_recordings(tmp_path)


def test_folder_without_recordings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither manifest.tsv nor index.tsv"):
        load_recordings(tmp_path)


def test_choosing(flat: Path) -> None:
    recordings = load_recordings(flat)
    assert {name: [r.id for r in rows] for name, rows in choose(recordings, "dev").items()} == {
        "cats": ["a"],
        "dogs": ["c"],
    }
    with pytest.raises(ConfigError, match="data set birds"):
        choose(recordings, "dev", ["cats", "birds"])
    with pytest.raises(ConfigError, match="split test"):
        choose(recordings, "test")
    assert spread(range(10), 4) == [0, 2, 5, 7]
    assert spread(range(3), 4) == [0, 1, 2]


def test_joined_to_a_length(flat: Path) -> None:
    recordings = load_recordings(flat)
    joined = of_length(recordings, 0.015, 16000)
    assert np.array_equal(joined, pcm_to_float(np.arange(240, dtype=np.int16)))
    assert of_length(recordings, 0.1, 16000).size == 1600
