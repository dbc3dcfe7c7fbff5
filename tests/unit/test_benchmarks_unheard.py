import json
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import unheard
from edge_las.domain.compile import compile_domain
from edge_las.domain.sentences import read_domain
from edge_las.search.automaton import Automaton
from edge_las.train.run import load_recipe

pytest.importorskip("hassil")
ROWS = (
    ("words", "train", "yes"),
    ("words", "dev", "no"),
    ("words", "dev", "go left"),
    ("books", "dev", "a page"),
)


def speech(folder: Path) -> Path:
    rows = ["id\tpath\tdataset\tspeaker\tsplit\tseconds\ttext"]
    rows += [f"{n}\t{n}.wav\t{name}\ts\t{split}\t1.0\t{text}" for n, (name, split, text) in enumerate(ROWS)]
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


def test_words_to_leave_out_of_a_base(tmp_path, capsys) -> None:
    options = ["--speech", str(speech(tmp_path)), "--dataset", "words", "--words"]
    assert unheard.main(options) == 0
    assert capsys.readouterr().out == '--set \'data.exclude_words=["go", "left", "no", "yes"]\'\n'
    assert unheard.main([*options, "--dataset", "songs"]) == 2
    assert "no recording of data set songs" in capsys.readouterr().err


def test_the_texts_are_the_domain(tmp_path) -> None:
    unheard.write_domain(tmp_path / "d.yaml", unheard.texts_of(speech(tmp_path), "words"))
    automaton = Automaton(
        compile_domain(read_domain(tmp_path / "d.yaml"), frozenset("abcdefghijklmnopqrstuvwxyz"))[0]
    )
    match = automaton.interpret("go left")
    assert match is not None and match.slots == {"text": "go left"}
    assert not automaton.accepts("a page")


def test_builds_without_the_words_and_tests_on_the_dev_split(tmp_path, monkeypatch, capsys) -> None:
    called = []

    def answer(*arguments: object) -> str:
        called.append([str(argument) for argument in arguments])
        return json.dumps(dict.fromkeys(("commands", "intent_accuracy", "exact", "false_rejects"), 1.0)
                          | {"outside": 5, "false_accepts": 0.2})  # fmt: skip

    monkeypatch.setattr(unheard, "_edge_las", answer)
    options = [
        "--speech",
        str(speech(tmp_path)),
        "--dataset",
        "words",
        "--base",
        "b",
        "--out",
        str(tmp_path / "o"),
    ]
    assert unheard.main([*options, "--compare", "heard", "--", "--sentences", "9"]) == 0
    build, *tests = called
    assert (
        build[:2] == ["domain", "build"]
        and "--leave-words-out" in build
        and build[-2:] == ["--sentences", "9"]
    )
    assert [call[1] for call in tests] == ["test", "test", "build", "test", "test"]
    assert "--no-train" in tests[2]
    assert all("split=dev" in call for call in tests if call[1] == "test")
    assert "words heard in training: commands 1.0" in capsys.readouterr().out
    called.clear()
    assert unheard.main([*options, "--templates", "digits.yaml"]) == 0
    assert called[0][2] == "digits.yaml"


def test_trains_the_base_without_the_words_first(tmp_path, monkeypatch) -> None:
    called = []

    def answer(*arguments: object) -> str:
        called.append([str(argument) for argument in arguments])
        return '{"outside": 5, "false_accepts": 0.2}'

    monkeypatch.setattr(unheard, "_edge_las", answer)
    options = ["--speech", str(speech(tmp_path)), "--dataset", "books", "--words-of", "words"]
    options += ["--train-minutes", "90", "--data", "pieces", "--out", str(tmp_path / "o")]
    unheard.run(unheard.parser_of().parse_args(options))
    train, build, *_ = called
    assert train[:4] == ["train", "compact_en", "--data", "pieces"]
    recipe = load_recipe(train[1], [value for flag, value in pairwise(train) if flag == "--set"])
    assert recipe.data.exclude_words == ("go", "left", "no", "yes")
    assert recipe.optim.max_minutes == 90
    assert build[build.index("--base") + 1] == str(tmp_path / "o.base" / "best")


def test_a_base_is_needed_and_one_only(tmp_path, capsys) -> None:
    for wrong in ([], ["--base", "b", "--train-minutes", "9"]):
        with pytest.raises(SystemExit):
            unheard.main(["--speech", str(tmp_path), "--out", str(tmp_path / "o"), *wrong])
    errors = capsys.readouterr().err
    assert "--out and one of --base and --train-minutes are needed" in errors
    assert "not allowed with argument --base" in errors


def test_digit_strings_are_read_digit_by_digit(repo_dir) -> None:
    domain = read_domain(repo_dir / "tests" / "data" / "domains" / "digits.yaml")
    automaton = Automaton(compile_domain(domain, frozenset("abcdefghijklmnopqrstuvwxyz"))[0])
    match = automaton.interpret("five oh seven")
    assert match is not None and match.slots == {"d1": 5, "d2": 0, "d3": 7}
    assert automaton.accepts(" ".join(["nine"] * 10)) and not automaton.accepts(" ".join(["nine"] * 11))
