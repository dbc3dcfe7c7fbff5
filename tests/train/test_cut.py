"""Cutting long clips at pauses: nothing of the speech is lost, and the times still fit."""

import numpy as np
import pytest

from edge_las.cli import main
from edge_las.errors import ConfigError
from edge_las.lexicon import PHONES
from edge_las.train import cut
from edge_las.train.alignment import Alignment
from edge_las.train.corpus import AUDIO_FILE, Corpus, write_index

# Six words of 0.8 s; the pauses before words 2 and 4 are 0.2 s, the others none. 5.2 s in all.
WORDS = ((0, 80), (80, 80), (180, 80), (260, 80), (360, 80), (440, 80))
ALIGNMENT = Alignment(((5, 160), (0, 20), (6, 160), (0, 20), (7, 160)), WORDS)
TEXT = "one two three four five six"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    np.arange(3 * 83_200, dtype=np.int32).astype(np.int16).tofile(folder / AUDIO_FILE)
    rows = [
        (f"c{i}", 83_200 * i, 83_200, f"set{i}", "s", "dev" if i == 2 else "train", TEXT) for i in range(3)
    ]
    write_index(folder, rows)
    columns = "\t".join(ALIGNMENT.columns())
    (folder / "align.tsv").write_text("id\tphones\twords\n" + "".join(f"c{i}\t{columns}\n" for i in range(3)))
    return folder


def test_cuts_fall_into_pauses() -> None:
    assert cut.cut_points(ALIGNMENT, 520, 300) == [(0, 0), (2, 170), (4, 350), (6, 520)]
    assert cut.cut_points(ALIGNMENT, 520, 600) == [(0, 0), (6, 520)]
    # No boundary within reach: the next one has to do.
    assert cut.cut_points(Alignment((), ((0, 80), (300, 80))), 400, 100) == [(0, 0), (1, 190), (2, 400)]
    assert cut.cut_points(Alignment((), ((0, 400),)), 400, 100) == [(0, 0), (1, 400)]


def test_pieces_hold_all_of_the_speech(folder, tmp_path) -> None:
    assert cut.cut_corpus(folder, tmp_path / "cut", 3.0, whole=("set1",)) == 5
    whole, pieces = Corpus([folder]), Corpus([tmp_path / "cut"])
    assert [clip.id for clip in pieces.clips] == ["c0.0", "c0.1", "c0.2", "c1", "c2"]
    assert [clip.text for clip in pieces.clips[:3]] == ["one two", "three four", "five six"]
    joined = np.concatenate([pieces.samples(clip) for clip in pieces.clips[:3]])
    assert np.array_equal(joined, whole.samples(whole.clips[0]))
    middle = pieces.alignment(pieces.clips[1])
    assert middle == Alignment(((0, 10), (6, 160), (0, 10)), ((10, 80), (90, 80)))
    assert pieces.alignment(pieces.clips[4]) == ALIGNMENT
    assert PHONES[middle.frame_phones(180)[10]] == PHONES[6]


def test_an_unaligned_folder_is_refused(folder, tmp_path) -> None:
    (folder / "align.tsv").unlink()
    with pytest.raises(ConfigError, match=r"align\.tsv"):
        cut.cut_corpus(folder, tmp_path / "cut", 3.0)


def test_command_line(folder, tmp_path, capsys) -> None:
    assert main(["cut", str(folder), str(tmp_path / "cut"), "--seconds", "3", "--whole", "set1"]) == 0
    assert capsys.readouterr().out.startswith("5 clips")
    assert main(["cut", str(folder), str(tmp_path / "cut"), "--seconds", "0"]) == 2
    assert main(["align", str(tmp_path)]) == 2
    assert "no index.tsv is there" in capsys.readouterr().err
