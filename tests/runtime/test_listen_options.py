"""What `edge-las listen` takes from options, from the device profile, and from neither."""

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_las.artifact import describe_files, load_manifest, write_manifest
from edge_las.cli import main
from edge_las.errors import ArtifactError, ConfigError
from edge_las.grammar import phrases_grammar
from edge_las.ngram import NGRAM_NAME, save_ngrams
from edge_las.ngram_estimate import estimate
from edge_las.runtime import listen
from edge_las.runtime.constraint import alphabet_of
from edge_las.runtime.device import load_profile, profiles_dir
from edge_las.runtime.recognizer import Recognizer
from tests.runtime.test_cli import write_wav
from tests.runtime.test_live import SPEECH, model, only, silence  # noqa: F401
from tests.runtime.tone_engine import TABLE, say

PROFILE = load_profile("raspberry_pi_5")


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    listen.add_arguments(parser)
    return parser.parse_args(arguments)


def finals(capsys, *arguments):
    assert main(["listen", "--json", "--vad", "energy", *arguments]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return only(events, "final")


def test_options_win_over_the_profile_and_the_model_over_both():
    config = listen.endpoint_config(parsed(), PROFILE, longest_s=60.0)
    assert config == PROFILE.endpoint
    config = listen.endpoint_config(parsed("--silence", "0.7", "--pre-roll", "0"), PROFILE, longest_s=9.0)
    assert (config.trailing_silence_s, config.pre_roll_s, config.max_utterance_s) == (0.7, 0.0, 9.0)
    assert config.min_speech_s == PROFILE.endpoint.min_speech_s
    assert listen.endpoint_config(parsed(), None, longest_s=60.0).max_utterance_s == 60.0
    assert listen.endpoint_config(parsed("--max-length", "5"), None, 60.0).max_utterance_s == 5.0
    with pytest.raises(ConfigError, match="--max-length 61: the model takes at most 60 s"):
        listen.endpoint_config(parsed("--max-length", "61"), None, 60.0)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--silence", "-1", "^--silence is -1.0, must be at least 0.0"),
        ("--pre-roll", "nan", "^--pre-roll is nan, must be at least 0"),
        ("--max-length", "0.1", "^--max-length is 0.1, shorter than"),
    ],
)
def test_a_limit_that_cannot_be_is_told_by_its_option(option: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        listen.endpoint_config(parsed(f"{option}={value}"), None, 60.0)


def test_the_microphone_is_as_the_profile_says_unless_told_otherwise():
    config = listen.microphone_config(parsed(), PROFILE)
    audio = PROFILE.audio
    assert (config.device, config.rate_hz, config.channels) == (None, audio.rate_hz, audio.channels)
    assert config.block_s == audio.chunk_ms / 1000.0
    config = listen.microphone_config(parsed("--device", "usb", "--rate", "48000"), PROFILE)
    assert (config.device, config.rate_hz, config.channels) == ("usb", 48000, audio.channels)
    assert listen.microphone_config(parsed("--channels", "2"), None).channels == 2


def test_a_profile_is_used(model, tmp_path, capsys):  # noqa: F811
    file = write_wav(tmp_path / "a.wav", SPEECH)
    assert [final["text"] for final in finals(capsys, "--wav", file, "--model", model)] == [
        "one three two", "four",
    ]  # fmt: skip
    text = (profiles_dir() / "generic_x86_64.toml").read_text(encoding="utf-8")
    profile = tmp_path / "short.toml"
    profile.write_text(re.sub("trailing_silence_s = .*", "trailing_silence_s = 0.1", text), encoding="utf-8")
    heard = finals(capsys, "--wav", file, "--model", model, "--profile", str(profile))
    assert [final["text"] for final in heard] == ["one", "three", "two", "four"]


def test_a_grammar_holds_what_is_heard_live(model, tmp_path, capsys):  # noqa: F811
    file = write_wav(tmp_path / "a.wav", SPEECH)
    phrases = tmp_path / "phrases.txt"
    phrases.write_text("one three two\ntwo one\n")
    first, second = finals(capsys, "--wav", file, "--model", model, "--phrases", str(phrases))
    assert (first["text"], first["intent"]["intent"]) == ("one three two", "phrase")
    assert (second["text"], second["intent"]["outside_grammar"]) == ("", True)
    assert main(["listen", "--wav", file, "--model", model, "--grammar", "soft"]) == 2
    assert "the model has no grammar; --phrases FILE gives it one" in capsys.readouterr().err


def test_hotwords_and_a_language_model_are_heard(model, tmp_path, capsys, monkeypatch):  # noqa: F811
    file = write_wav(tmp_path / "a.wav", np.concatenate([silence(0.5), say("one"), silence(0.6)]))
    seen = []
    plain = Recognizer.utterance

    def utterance(recognizer, scorers=()):
        seen.append([type(scorer).__name__ for scorer in (*recognizer.setup.scorers, *scorers)])
        return plain(recognizer, scorers)

    monkeypatch.setattr(Recognizer, "utterance", utterance)
    words = tmp_path / "words.txt"
    words.write_text("one\nfour two\n")
    out = str(tmp_path / "lm.npz")
    assert main(["lm", str(words), "--model", model, "--out", out, "--order", "3"]) == 0
    assert "n-grams of 1 to 3 tokens" in capsys.readouterr().out
    options = ["--hotwords", str(words), "--lm", out, "--lm-weight", "0.5"]
    (final,) = finals(capsys, "--wav", file, "--model", model, *options)
    assert final["text"] == "one"
    assert seen == [["NgramScorer", "HotwordScorer"]]
    # Enough weight makes the model say what it reads, however little that is believed.
    words.write_text("four\n" * 50)
    assert main(["lm", str(words), "--model", model, "--out", out, "--order", "2"]) == 0
    capsys.readouterr()
    loose = ["--lm-weight", "6", "--min-confidence", "0"]
    (final,) = finals(capsys, "--wav", file, "--model", model, "--lm", out, *loose)
    assert final["text"] == "four"
    assert main(["listen", "--wav", file, "--model", model, "--lm-weight", "1"]) == 2
    assert "--lm-weight needs --lm FILE" in capsys.readouterr().err


def test_texts_that_are_not_sure_enough_are_kept_back(model, tmp_path, capsys):  # noqa: F811
    file = write_wav(tmp_path / "a.wav", SPEECH)
    heard = finals(capsys, "--wav", file, "--model", model, "--min-confidence", "0.99")
    assert [final["text"] for final in heard] == ["", ""]
    with pytest.raises(SystemExit):
        main(["listen", "--wav", file, "--min-confidence", "2"])
    assert "'2' is not a number from 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize(("weight", "names"), [(0.4, ["NgramScorer"]), (0.0, [])])
def test_an_artifact_may_hold_a_language_model(weight, names, model, tmp_path):  # noqa: F811
    folder = Path(model)
    save_ngrams(folder / NGRAM_NAME, estimate(["one two", "four"], 3, TABLE), TABLE)
    manifest = load_manifest(folder)
    files = describe_files(folder, [*manifest.files, NGRAM_NAME])
    write_manifest(folder, replace(manifest, files=files, search={**manifest.search, "lm_weight": weight}))
    recognizer = Recognizer.load(folder)
    assert [type(scorer).__name__ for scorer in recognizer.setup.scorers] == names
    assert recognizer.transcribe(say("one two")).text == "one two"
    # It stays in place under a grammar.
    held = recognizer.with_grammar(phrases_grammar(["one two"], alphabet_of(TABLE), "en"))
    assert held.setup.scorers == recognizer.setup.scorers
    (folder / NGRAM_NAME).write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"lm\.npz: has 7 bytes"):
        Recognizer.load(folder)


def test_a_file_needs_no_microphone(tmp_path, capsys):
    for source in (["--wav", str(tmp_path / "a.wav")], ["-"]):
        assert main(["listen", *source, "--device", "usb"]) == 2
        assert "--device usb: no microphone is needed" in capsys.readouterr().err


def test_a_file_has_a_rate_of_its_own(tmp_path, capsys):
    assert main(["listen", "--wav", str(tmp_path / "x.wav"), "--rate", "8000"]) == 2
    assert "a file tells its own" in capsys.readouterr().err
