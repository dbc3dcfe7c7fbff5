import json
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import unheard
from edge_las.domain.compile import compile_domain
from edge_las.domain.sentences import read_domain
from edge_las.search.automaton import Automaton
from edge_las.train.record import write_record
from edge_las.train.run import load_recipe

pytest.importorskip("hassil")
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
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


def test_words_to_leave_out_of_a_base(tmp_path, repo_dir, capsys) -> None:
    digits = ["--templates", str(repo_dir / "tests" / "data" / "domains" / "digits.yaml")]
    options = ["--speech", str(speech(tmp_path)), "--words"]
    words = {"go", "left", "no", "yes"}
    numbers = {"zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
    for more, expected in (
        (["--dataset", "words"], words),
        (digits, numbers),
        ([*digits, "--dataset", "words"], words | numbers),
    ):
        assert unheard.main([*options, *more]) == 0
        listed = json.dumps(sorted(expected))
        assert capsys.readouterr().out == f"--set 'data.exclude_words={listed}'\n"
    assert unheard.main([*options, "--dataset", "songs"]) == 2
    assert "no recording of data set songs" in capsys.readouterr().err


def test_the_texts_are_the_domain(tmp_path) -> None:
    path = unheard.write_domain(tmp_path / "d.yaml", unheard.texts_of(speech(tmp_path), ["words"]))
    automaton = Automaton(compile_domain(read_domain(path), LETTERS)[0])
    match = automaton.interpret("go left")
    assert match is not None and match.slots == {"text": "go left"}
    assert not automaton.accepts("a page")
    assert unheard.words_of(path) == ["go", "left", "no", "yes"]


REPORT = {"commands": 4, "exact": 0.75, "false_rejects": 0.25, "outside": 5, "false_accepts": 0.2}


@pytest.fixture
def called(monkeypatch) -> list[list[str]]:
    """What `edge-las` is called with; it answers with a report."""
    calls: list[list[str]] = []

    def answer(*arguments: object) -> str:
        calls.append([str(argument) for argument in arguments])
        return json.dumps(REPORT)

    monkeypatch.setattr(unheard, "_edge_las", answer)
    return calls


def test_builds_without_the_words_and_tests_on_the_dev_split(tmp_path, called, capsys) -> None:
    (speech(tmp_path) / "noise").mkdir()
    out, table = str(tmp_path / "o"), tmp_path / "o.json"
    options = ["--speech", str(tmp_path), "--base", str(tmp_path / "b"), "--out", out, "--json", str(table)]
    more = ["--dataset", "words", "--dataset", "books", "--data", "pieces", "--compare", "heard"]
    assert unheard.main([*options, *more, "--", "--sentences", "9"]) == 0
    build, *tests = called
    assert build[:2] == ["domain", "build"] and "--leave-words-out" in build
    assert build[-2:] == ["--sentences", "9"]
    given = dict(pairwise(build))
    assert given["--base"] == str(tmp_path / "b") and given["--speech"] == "pieces"
    assert given["--noise"] == str(tmp_path / "noise")
    assert [call[1] for call in tests] == ["test", "test", "test", "build", "test", "test", "test"]
    assert "--no-train" in tests[3] and dict(pairwise(tests[3]))["--model"] == "heard"
    tried = [call[call.index("--only") + 1] for call in tests if call[1] == "test"]
    assert tried == 2 * ["dataset=words", "dataset=books", "dataset=librispeech"]
    assert all("split=dev" in call for call in tests if call[1] == "test")
    shown = capsys.readouterr().out
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert rows[2] == "| words | 4 | unheard | 75.0 % | 25.0 % | 20.0 % |" and len(rows) == 6
    assert "it is not known what the base heard" in shown
    assert unheard.main(["--table", str(table), str(table)]) == 0
    assert capsys.readouterr().out.splitlines() == [*rows, *rows[2:]]


def test_trains_the_base_without_the_words_first(tmp_path, called) -> None:
    options = ["--speech", str(speech(tmp_path)), "--dataset", "words"]
    options += ["--train-minutes", "90", "--data", "pieces", "--out", str(tmp_path / "o")]
    unheard.run(unheard.parser_of().parse_args(options))
    train, build, *_ = called
    assert train[:4] == ["train", "compact_en", "--data", "pieces"]
    recipe = load_recipe(train[1], [value for flag, value in pairwise(train) if flag == "--set"])
    assert recipe.data.exclude_words == ("go", "left", "no", "yes")
    assert recipe.optim.max_minutes == 90
    assert build[build.index("--base") + 1] == str(tmp_path / "o.base" / "last")


def test_what_a_base_heard_is_read_from_its_run_and_those_before(tmp_path) -> None:
    def record(name: str, words: list[str], base: Path | None, larger: Path | None = None) -> Path:
        recipe = load_recipe("smoke", [f"data.exclude_words={json.dumps(words)}"])
        write_record(tmp_path / name, recipe, [], {"base": base, "larger": larger})
        return tmp_path / name / "last"

    first = record("first", ["go", "left"], None)
    assert unheard.heard_by(first, ["go", "left"]) == []
    assert unheard.heard_by(first, ["go", "no"]) == ["no"]
    assert unheard.heard_by(record("taught", ["go", "no"], None, first), ["go", "no"]) == ["no"]
    assert unheard.heard_by(record("second", ["go", "no"], first), ["go", "no"]) == ["no"]
    assert unheard.heard_by(record("third", ["go"], tmp_path / "lost" / "best"), ["go"]) is None


def test_a_base_is_needed_and_one_only(tmp_path, capsys) -> None:
    for wrong in ([], ["--base", "b", "--train-minutes", "9"]):
        with pytest.raises(SystemExit):
            unheard.main(["--speech", str(tmp_path), "--out", str(tmp_path / "o"), *wrong])
    errors = capsys.readouterr().err
    assert "--out and one of --base and --train-minutes are needed" in errors
    assert "not allowed with argument --base" in errors


def test_digit_strings_are_read_digit_by_digit(repo_dir) -> None:
    domain = read_domain(repo_dir / "tests" / "data" / "domains" / "digits.yaml")
    automaton = Automaton(compile_domain(domain, LETTERS)[0])
    match = automaton.interpret("five oh seven")
    assert match is not None and match.slots == {"d1": 5, "d2": 0, "d3": 7}
    assert automaton.accepts(" ".join(["nine"] * 10)) and not automaton.accepts(" ".join(["nine"] * 11))
