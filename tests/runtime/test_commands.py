import json
import sys
from pathlib import Path

import pytest

from edge_las import pronouncing
from edge_las.artifact import load_manifest, verify
from edge_las.cli import main
from edge_las.lexicon import LEXICON_NAME, PHONE_HEAD_NAME, Lexicon, load_lexicon, save_lexicon
from edge_las.ngram import NGRAM_NAME
from edge_las.runtime.lm import put_file
from edge_las.runtime.recognizer import Recognizer
from tests.runtime import tone_engine as tones
from tests.runtime.test_cli import model, write_wav  # noqa: F401

DOMAIN = """
intents:
  Count:
    data:
      - sentences: ["one {next}", "one {next} four"]
        slots: {base: 10}
lists:
  next: {values: [two, {in: three, out: 3}]}
"""


@pytest.fixture
def domain(model, tmp_path, capsys):  # noqa: F811
    pytest.importorskip("hassil")
    (tmp_path / "d.yaml").write_text(DOMAIN)
    out = tmp_path / "domain"
    assert (
        main(["domain", "build", str(tmp_path / "d.yaml"), "--no-train", "--model", model, "--out", str(out)])
        == 0
    )
    assert "1 intents, 4 sentences" in capsys.readouterr().out
    return str(out)


def heard(capsys, *arguments):
    assert main(["transcribe", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_language_model_is_there_but_has_no_weight(domain):
    manifest = load_manifest(domain)
    verify(domain, manifest)
    assert NGRAM_NAME in manifest.files and manifest.search["lm_weight"] == 0.0
    assert Recognizer.load(domain).setup.scorers == ()


def test_a_head_of_phones_gets_a_lexicon(domain, model, tmp_path, capsys, monkeypatch):  # noqa: F811
    assert not {LEXICON_NAME, PHONE_HEAD_NAME} & load_manifest(domain).files.keys()
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    said = {"two": "T UW", "four": "F AO R"}
    monkeypatch.setattr(pronouncing, "pronounce", lambda words: [said.get(word, "") for word in words])
    put_file(Path(model), PHONE_HEAD_NAME, lambda path: path.write_bytes(b"head"))
    base = Lexicon("one W AH N\nsix S IH K S\ntwo T AH")
    put_file(Path(model), LEXICON_NAME, lambda path: save_lexicon(path, base))
    options = ["domain", "build", str(tmp_path / "d.yaml"), "--no-train", "--model", model, "--out", domain]
    assert main(options) == 0
    assert "nobody could say three: sentences with such a word" in capsys.readouterr().out
    verify(domain, load_manifest(domain))
    assert (Path(domain) / PHONE_HEAD_NAME).read_bytes() == b"head"
    # Its own words only, those of the base as they were there.
    assert str(load_lexicon(f"{domain}/{LEXICON_NAME}")) == "four F AO R\none W AH N\ntwo T AH\n"


def test_a_command_has_intent_and_slots(domain, tmp_path, capsys):
    file = write_wav(tmp_path / "a.wav", tones.say("one three four"))
    found = heard(capsys, file, "--model", domain)
    assert found["text"] == "one three four"
    assert found["intent"] == {"intent": "Count", "slots": {"base": 10, "next": 3}}


def test_other_speech_is_outside_the_grammar(domain, tmp_path, capsys):
    file = write_wav(tmp_path / "a.wav", tones.say("four four two one"))
    found = heard(capsys, file, "--model", domain)
    assert (found["text"], found["nbest"], found["words"]) == ("", [], [])
    assert found["intent"]["intent"] is None
    assert found["intent"]["outside_grammar"] is True
    assert found["intent"]["heard"] == "four four two one"
    soft = heard(capsys, file, "--model", domain, "--grammar", "soft")
    assert (soft["text"], soft["intent"]) == ("four four two one", None)
    assert heard(capsys, file, "--model", domain, "--grammar", "off")["intent"] is None


def test_silence_is_no_command(domain, tmp_path, capsys):
    file = write_wav(tmp_path / "a.wav", 0 * tones.say("one"))
    found = heard(capsys, file, "--model", domain)
    assert (found["text"], found["intent"]) == ("", None)


def test_phrases_and_hotwords(model, tmp_path, capsys):  # noqa: F811
    (tmp_path / "p.txt").write_text("One, two!\nthree\n")
    (tmp_path / "h.txt").write_text("two\t2.5\none\n")
    file = write_wav(tmp_path / "a.wav", tones.say("one two"))
    options = ["--phrases", str(tmp_path / "p.txt"), "--hotwords", str(tmp_path / "h.txt")]
    found = heard(capsys, file, "--model", model, *options)
    assert found["text"] == "one two"
    assert found["intent"] == {"intent": "phrase", "slots": {"phrase": "One, two!"}}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("--phrases", "one\nxyz\n", "line 2: 'x' (U+0078) is not in the alphabet of this model"),
        ("--hotwords", "one\tloud\n", "line 1: 'loud' is no boost"),
        ("--hotwords", "# mine\none\nxyz\t2\n", "line 3: hotword 'xyz' has 'x', which no token spells"),
        ("--hotwords", "one\t-1\n", "line 1: hotword 'one' is empty or has a boost that is not above 0"),
        ("--hotwords", "", "holds no phrase"),
    ],
)
def test_bad_lists_are_named(model, tmp_path, capsys, name, text, message):  # noqa: F811
    (tmp_path / "list.txt").write_text(text)
    assert main(["transcribe", "a.wav", "--model", model, name, str(tmp_path / "list.txt")]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "list.txt") in error
    assert message in error


def test_domain_test_counts(domain, tmp_path, capsys):
    said = ["one two", "one three", "four", "one two"]
    for number, text in enumerate(said):
        write_wav(tmp_path / f"{number}.wav", tones.say(text))
    # The third is no command; the last was meant as another, and is confused.
    rows = [
        ("0.wav", "one two", ""),
        ("1.wav", "one three", ""),
        ("2.wav", "four", ""),
        ("3.wav", "", "Other"),
    ]
    table = "path\ttext\tintent\n" + "".join("\t".join(row) + "\n" for row in rows)
    (tmp_path / "manifest.tsv").write_text(table)
    assert main(["domain", "test", domain, "--recordings", str(tmp_path / "manifest.tsv"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["commands"], report["outside"], report["slot_errors"]) == (3, 1, 0)
    assert report["intent_accuracy"] == pytest.approx(2 / 3, abs=1e-3)
    assert report["false_accepts"] == 0.0
    assert report["confusions"] == [["Other", "Count", 1]]


def test_domain_test_takes_negatives_and_rows_of_one_kind(domain, tmp_path, capsys):
    for name in ("one two", "four four two", "four"):
        write_wav(tmp_path / f"{name.replace(' ', '_')}.wav", tones.say(name))
    rows = [("one_two", "dev"), ("four_four_two", "dev"), ("missing", "train"), ("four", "dev")]
    table = "path\ttext\tsplit\n" + "".join(f"{n}.wav\t{n.replace('_', ' ')}\t{s}\n" for n, s in rows)
    (tmp_path / "other.tsv").write_text(table)
    options = ["domain", "test", domain, "--negatives", str(tmp_path / "other.tsv"), "--json"]
    assert main([*options, "--only", "split=dev"]) == 0
    report = json.loads(capsys.readouterr().out)
    # "one two" is a command, and no negative.
    assert (report["commands"], report["outside"], report["false_accepts"]) == (0, 2, 0.0)
    assert main([*options, "--only", "split=test"]) == 2
    assert "holds no recording with split=test" in capsys.readouterr().err
    assert main([*options, "--only", "dev"]) == 2
    assert main(["domain", "test", domain]) == 2
    assert "give --recordings, --negatives or both" in capsys.readouterr().err


def test_domain_build_replaces_no_other_folder(model, tmp_path, capsys):  # noqa: F811
    pytest.importorskip("hassil")
    (tmp_path / "d.yaml").write_text(DOMAIN)
    options = ["domain", "build", str(tmp_path / "d.yaml"), "--no-train", "--model", model, "--out"]
    assert main([*options, str(tmp_path)]) == 2
    assert "is no artifact; it is not replaced" in capsys.readouterr().err
    assert main([*options, model]) == 2
    assert "is the model that the domain is built from" in capsys.readouterr().err
