"""How words are said: by a dictionary, else by espeak-ng; without both nobody knows."""

import shutil
import sys

import pytest

from edge_las import pronouncing
from edge_las.lexicon import PHONES, load_lexicon, save_lexicon
from edge_las.pronouncing import pronounce_words


def names(ways: list[tuple[int, ...]]) -> list[str]:
    return [" ".join(PHONES[phone] for phone in way) for way in ways]


def test_espeak_phonemes_become_arpabet() -> None:
    assert pronouncing._arpabet("k_'V_l_3") == "K AH L ER"
    assert pronouncing._arpabet("s_'E_l_d_@_n_z") == "S EH L D AH N Z"
    assert pronouncing._arpabet("b_'y") == ""
    # Marks of how sounds are linked are no sounds.
    assert pronouncing._arpabet("p_'O2_s_tS_3_r-_I_N_z") == "P AO S CH ER IH NG Z"
    assert pronouncing._arpabet("dZ_'i:_n_I2_;_@_s") == "JH IY N IH AH S"


def test_without_a_dictionary_and_a_speaker_all_words_are_unknown(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    monkeypatch.setenv("PATH", "")
    lexicon, unknown = pronounce_words(["two", "one", "two"])
    assert unknown == ["one", "two"]
    save_lexicon(tmp_path / "x.gz", lexicon)
    assert load_lexicon(tmp_path / "x.gz").pronunciations("one") == []


def test_the_dictionary_knows_all_ways_and_no_name_of_its_own(monkeypatch) -> None:
    pytest.importorskip("pocketsphinx", reason="the align extra is not installed")
    monkeypatch.setenv("PATH", "")
    lexicon, unknown = pronounce_words(["the", "zyuganov's", "the(2)", "<s>", "", "zigbee"])
    assert names(lexicon.pronunciations("the")) == ["DH AH", "DH IY"]
    # Listed twice, said the same.
    assert len(lexicon.pronunciations("zyuganov's")) == 2
    assert unknown == ["", "<s>", "the(2)", "zigbee"]


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_what_the_dictionary_lacks_espeak_says(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    lexicon, unknown = pronounce_words(["zigbee", "'", "hello"])
    assert names(lexicon.pronunciations("zigbee")) == ["Z IH G B IY"]
    assert unknown == ["'"]
    # A text of which it makes no line, or two, costs only itself.
    assert pronouncing.pronounce(["hello", "'", "go. stop", "zigbee"])[::3] == ["HH AH L OW", "Z IH G B IY"]
