"""`edge-las lexicon` learns how other words are said, and a model keeps it."""

import itertools
import sys
from pathlib import Path

import pytest

from edge_las import pronouncing
from edge_las.artifact import load_manifest, verify
from edge_las.cli import main
from edge_las.g2p import G2P_NAME, load_g2p_of
from edge_las.lexicon import PHONES
from tests.runtime.test_cli import model  # noqa: F401
from tests.runtime.test_commands import domain  # noqa: F401

SOUNDS = {
    "a": "AE",
    "b": "B",
    "d": "D",
    "f": "F",
    "i": "IH",
    "k": "K",
    "m": "M",
    "n": "N",
    "o": "OW",
    "s": "S",
}
OTHERS, VOWELS = "bdfkmns", "aio"


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """All words of a language of five letters, which its espeak-ng says letter by letter."""
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    monkeypatch.setattr(
        pronouncing,
        "pronounce",
        lambda words: [" ".join(SOUNDS[letter] for letter in word) for word in words],
    )
    words = map("".join, itertools.product(OTHERS, VOWELS, OTHERS, VOWELS, OTHERS))
    (tmp_path / "many.txt").write_text("\n".join(words))
    (tmp_path / "few.txt").write_text("sofa sofas\n")
    return tmp_path


def said(folder: str, word: str) -> str:
    manifest = load_manifest(folder)
    verify(folder, manifest)
    g2p = load_g2p_of(Path(folder), manifest)
    assert g2p is not None
    return " ".join(PHONES[phone] for phone in g2p.pronounce(word)[0])


def test_a_model_learns_to_say_words_that_its_lexicon_lacks(texts, model, capsys):  # noqa: F811
    assert main(["lexicon", str(texts / "few.txt"), "--into", model]) == 0
    assert (
        "2 words are too few for a g2p.npz, which says other words: none is made" in capsys.readouterr().out
    )
    assert G2P_NAME not in load_manifest(model).files
    assert main(["lexicon", str(texts / "many.txt"), "--into", model]) == 0
    assert f"{G2P_NAME}: says other words, by 10 graphones" in capsys.readouterr().out
    assert said(model, "domino") == "D OW M IH N OW"
    before = (Path(model) / G2P_NAME).read_bytes()
    assert main(["lexicon", str(texts / "many.txt"), "--into", model]) == 0
    assert (Path(model) / G2P_NAME).read_bytes() == before


def test_a_domain_keeps_it(texts, model, domain, capsys):  # noqa: F811
    assert main(["lexicon", str(texts / "many.txt"), "--into", model]) == 0
    build = ["domain", "build", str(texts / "d.yaml"), "--no-train", "--model", model, "--out", domain]
    assert main(build) == 0
    assert said(domain, "domino") == "D OW M IH N OW"
    capsys.readouterr()
    assert main(["lexicon", str(texts / "few.txt"), "--into", domain]) == 0
    assert (
        "2 words are too few for a g2p.npz, which says other words: its own stays" in capsys.readouterr().out
    )
    assert said(domain, "domino") == "D OW M IH N OW"


def test_it_goes_along_in_a_pack(texts, model, capsys):  # noqa: F811
    assert main(["lexicon", str(texts / "many.txt"), "--into", model]) == 0
    assert main(["pack", model, str(texts / "model.elas")]) == 0
    assert main(["unpack", str(texts / "model.elas"), str(texts / "unpacked")]) == 0
    assert said(str(texts / "unpacked"), "domino") == "D OW M IH N OW"
