"""A whole build in miniature: two phrases, one voice, three steps of a tiny model."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edge_las.artifact import load_manifest, verify
from edge_las.cli import main
from edge_las.domain import exporting
from edge_las.domain.build import alone_in
from edge_las.errors import ConfigError
from edge_las.lexicon import LEXICON_NAME, PHONE_HEAD_NAME, load_lexicon
from edge_las.manifest import GRAMMAR_NAME
from edge_las.ngram import NGRAM_NAME
from edge_las.pronouncing import entries
from edge_las.runtime.recognizer import Recognizer
from edge_las.train.checkpoint import load_checkpoint, save_checkpoint
from edge_las.train.model import LasModel

pytest.importorskip("hassil")
PHRASES = """
intents: {Go: {data: [{sentences: [go home, 'stop {n} time[s]']}]}}
lists: {n: {range: {from: 1, to: 3}}}
"""
# A random model decides by a hair: what its forms spell is not compared.
EXPORT = ("--calibration-clips", "6", "--dev-clips", "0", "--min-speedup", "0")


def one(sentence: str, more: str = "") -> str:
    return f"intents:\n  Do:\n    data:\n      - sentences:\n          - '{sentence}'\n{more}"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny_artifact import make_checkpoint

    return make_checkpoint(tmp_path_factory.mktemp("base") / "checkpoint")


def command(source: Path, base: Path, out: Path, *more: str) -> list[str]:
    steps = ["optim.max_steps=3", "optim.compiled=false", "data.batch_seconds=15", "data.dev_clips=3"]
    options = ["--minutes", "1", "--sentences", "40", "--voices", "espeak:en-us+f2", "--jobs", "1", *more]
    options += [word for step in steps for word in ("--set", step)]
    return ["domain", "build", str(source), "--base", str(base), "--out", str(out), *options]


def build(source: Path, base: Path, out: Path, *more: str) -> int:
    return main(command(source, base, out, *more))


def killed_in_speech(arguments: list[str], work: Path) -> None:
    process = subprocess.Popen([sys.executable, "-m", "edge_las", *arguments], start_new_session=True)
    while process.poll() is None and not list(work.glob("speech-*/shards/plan.json")):
        time.sleep(0.05)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.spoken
def test_two_phrases_become_a_model_and_nothing_is_done_twice(base, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(exporting, "OPTIONS", EXPORT)
    (tmp_path / "d.yaml").write_text(PHRASES)
    out, work = tmp_path / "model", tmp_path / "model.build"
    assert build(tmp_path / "d.yaml", base, out, "--plan") == 0
    assert "NONE is kept back for the test" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [tmp_path / "d.yaml"]

    killed_in_speech(command(tmp_path / "d.yaml", base, out), work)
    assert not out.exists()
    assert build(tmp_path / "d.yaml", base, out) == 0
    assert len(list(work.glob("speech-*"))) == 1
    manifest = load_manifest(out)
    verify(out, manifest)
    assert {GRAMMAR_NAME, NGRAM_NAME} <= manifest.files.keys()
    assert (out / "domain.yaml").read_text() == PHRASES
    assert manifest.accuracy["domain"]["commands"] > 5
    constraint = Recognizer.load(out).setup.grammar
    assert constraint is not None
    assert constraint.config.grammar_max_loss == manifest.search["grammar_max_loss"]

    kept = {path.name: path.stat().st_mtime_ns for path in work.iterdir()}
    assert build(tmp_path / "d.yaml", base, out) == 0
    assert {path.name: path.stat().st_mtime_ns for path in work.iterdir()} == kept
    assert load_manifest(out) == manifest


@pytest.mark.spoken
def test_what_a_base_that_names_phones_becomes_can_say_its_words(base, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(exporting, "OPTIONS", EXPORT)
    (tmp_path / "d.yaml").write_text(PHRASES)
    model, tokens = load_checkpoint(base)
    heard = LasModel(replace(model.config, frame_phones=True), len(tokens))
    heard.load_state_dict(model.state_dict(), strict=False)
    save_checkpoint(tmp_path / "phones", heard, tokens, heard.state_dict())
    out, work = tmp_path / "model", tmp_path / "model.build"
    assert build(tmp_path / "d.yaml", tmp_path / "phones", out) == 0
    manifest = load_manifest(out)
    verify(out, manifest)
    assert PHONE_HEAD_NAME in manifest.files
    lexicon = entries(load_lexicon(out / LEXICON_NAME))
    assert set(lexicon) == {"go", "home", "stop", "one", "two", "three", "time", "times"}
    trained, _ = load_checkpoint(next(work.glob("blend-*")))
    assert trained.frame_phone_head is not None
    kept = {path.name: path.stat().st_mtime_ns for path in work.iterdir()}
    assert build(tmp_path / "d.yaml", tmp_path / "phones", out) == 0
    assert {path.name: path.stat().st_mtime_ns for path in work.iterdir()} == kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "d.yaml: the file is empty"),
        (one("go {nowhere}"), "d.yaml: line 5: unknown list {nowhere}"),
        (
            one("go", "expansion_rules:\n  a: <b>\n  b: x <a>"),
            "line 8: refers to itself: <a> -> <b> -> <a>",
        ),
        (one("go bzzzt"), "d.yaml: line 5: 'bzzzt' cannot be pronounced"),
        (one("включи свет"), "d.yaml: line 5: 'в' (U+0432) is not in the alphabet"),
        (one("go (there"), "d.yaml: line 5: not a template"),
        ("language: de\n" + one("los"), "language is de, the model's is en"),
    ],
)
def test_bad_templates_are_told_at_once(base, tmp_path, capsys, monkeypatch, text, message) -> None:
    monkeypatch.setenv("PATH", "")  # not even a voice is looked for
    (tmp_path / "d.yaml").write_text(text, encoding="utf-8")
    assert build(tmp_path / "d.yaml", base, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "d.yaml"]


def test_two_builds_keep_out_of_each_others_way(tmp_path) -> None:
    there = pytest.raises(ConfigError, match="another build is at work there")
    with alone_in(tmp_path), there, alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        assert (tmp_path / "lock").exists()


@pytest.mark.spoken
def test_a_billion_sentences_are_planned_at_once(base, tmp_path, capsys) -> None:
    words = ", ".join(f"word{letter}" for letter in "abcdefghij")
    lists = f"lists: {{w: {{values: [{words}]}}}}"
    (tmp_path / "d.yaml").write_text(one("{w:a} {w:b} {w:c} {w:d} {w:e} {w:f} {w:g} {w:h} {w:i}", lists))
    began = time.process_time()
    assert build(tmp_path / "d.yaml", base, tmp_path / "out", "--plan") == 0
    assert time.process_time() - began < 10
    assert "1e+09 sentences" in capsys.readouterr().out


def test_what_is_missing_is_named(base, tmp_path, capsys, monkeypatch) -> None:
    (tmp_path / "d.yaml").write_text(PHRASES)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    for options, message in (
        (["--voices", "hal"], "no engine hal"),
        (["--speech", str(tmp_path)], "neither index.tsv, manifest.tsv nor cuts.jsonl.gz is there"),
        (["--noise", str(tmp_path)], "no noise recording is there"),
        (["--set", "optim.speed=1"], "speed"),
    ):
        assert build(tmp_path / "d.yaml", base, tmp_path / "out", *options) == 2
        assert message in capsys.readouterr().err
    assert build(tmp_path / "d.yaml", base, tmp_path / "full") == 2
    assert "is no artifact; it is not replaced" in capsys.readouterr().err
    assert build(tmp_path / "d.yaml", tmp_path / "nothing", tmp_path / "out") == 2
    assert "nothing" in capsys.readouterr().err
    monkeypatch.setattr(exporting.edge_las, "__file__", str(tmp_path / "site-packages" / "edge_las" / "x.py"))
    assert build(tmp_path / "d.yaml", base, tmp_path / "out") == 2
    assert "run it from a checkout" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", ["--minutes=0", "--minutes=-1", "--minutes=nan", "--minutes=inf", "--sentences=0"]
)
def test_a_build_of_no_time_is_refused(base, tmp_path, capsys, option: str) -> None:
    (tmp_path / "d.yaml").write_text(PHRASES)
    with pytest.raises(SystemExit) as end:
        build(tmp_path / "d.yaml", base, tmp_path / "out", "--plan", option)
    assert end.value.code == 2
    assert option.partition("=")[0] in capsys.readouterr().err.splitlines()[-1]


def test_the_home_domain_is_made_of_the_package_and_builds(base, tmp_path, capsys) -> None:
    pytest.importorskip("home_assistant_intents")
    from edge_las.domain.compiled import read_compiled
    from edge_las.tokens import TokenTable

    assert main(["domain", "home", str(tmp_path / "home.yaml")]) == 0
    assert "CC BY 4.0" in (tmp_path / "home.yaml").read_text()
    assert main(["domain", "home", str(tmp_path / "home.yaml")]) == 2
    assert "home.yaml: exists, it is not replaced" in capsys.readouterr().err
    compiled = read_compiled(tmp_path / "home.yaml", TokenTable.characters(), "en")
    match = compiled.automaton.interpret("please set the living room brightness to fifty percent")
    assert match is not None
    assert match.intent == "HassLightSet"
    assert match.slots == {"domain": "light", "area": "living room", "brightness": 50}
