import json
from functools import partial

import pytest

from benchmarks import slot_tasks, slots
from benchmarks.noise import HELD_BACK
from benchmarks.recordings import Recording
from edge_las.errors import ConfigError
from edge_las.grammar import GrammarBuilder
from edge_las.runtime.recognizer import Recognizer
from edge_las.search.automaton import Automaton
from tests.runtime import tone_engine as tones
from tests.runtime.test_cli import write_wav
from tests.runtime.tone_engine import RATE, say


def recording(text: str, split: str = "dev") -> Recording:
    return Recording(text, "read", split, 1.0, text, lambda: say("one"))


def test_words_are_dealt_by_length_and_none_is_lost() -> None:
    words = [letter * size for size in (3, 4, 7) for letter in "abcdefghi"]
    lists = slot_tasks.deal([*words, *words])
    assert sorted(word for dealt in lists for word in dealt) == sorted(words)
    assert [len(dealt) for dealt in lists] == [10, 17]
    assert max(map(len, lists[0])) <= min(map(len, lists[1]))


def test_slots_are_long_words_spread_over_the_sentence() -> None:
    assert slot_tasks.slot_places("we go to a cat") == [4]
    assert slot_tasks.slot_places("the big cats like warm milk") == [0, 2, 4]


def test_a_slot_takes_the_words_of_its_list_and_nothing_else() -> None:
    texts = ["we saw it in summer", "he had it as supper", "it is the last winter"]
    grammar = Automaton(slot_tasks.sentences_grammar(texts, "en"))
    for text in texts:
        match = grammar.interpret(text)
        assert match is not None and match.intent == text
    other = grammar.interpret("we had it in winter")
    assert other is not None
    assert (other.intent, other.slots) == (texts[0], {"slot1": "had", "slot4": "winter"})
    assert not grammar.accepts("we saw it as summer")


def test_the_sentences_are_templates_that_a_domain_can_be_built_of(tmp_path, capsys) -> None:
    pytest.importorskip("hassil")
    from edge_las.domain.compile import compile_domain
    from edge_las.domain.sentences import read_domain

    texts = ["we saw it in summer", "he'd had it as supper", "it's the last winter"]
    rows = ["id\tdataset\tspeaker\tsplit\ttext\tpath\tseconds"]
    rows += [
        f"{n}\tread\ts\tdev\t{text}\t{n}.wav\t1" for n, text in enumerate([*texts, "one two three four"])
    ]
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    file = tmp_path / "read.yaml"
    options = ["--speech", str(tmp_path), "--set", "read", "--write-domain", str(file)]
    assert slots.main(options) == 0
    assert capsys.readouterr().out == f"{file}: 3 sentences\n"
    grammar = Automaton(compile_domain(read_domain(file), frozenset("abcdefghijklmnopqrstuvwxyz'"))[0])
    assert all(grammar.accepts(text) for text in texts)
    match = grammar.interpret("we had it in supper")
    assert match is not None and match.slots == {"slot1": "had", "slot4": "supper"}
    assert not grammar.accepts("we saw it as supper")


def test_digits_are_a_task_of_any_length() -> None:
    found = slot_tasks.tasks(
        [recording("one two three"), recording("five"), recording("it is all we have", "train"),
         recording("it is all they have")], ["read"], 9, "en",
    )  # fmt: skip
    assert [(task.name, [item.text for item in task.recordings]) for task in found] == [
        ("read", ["it is all they have"]),
        ("digits", ["one two three"]),
    ]
    digits = Automaton(found[1].grammar)
    assert digits.accepts("double oh seven nine") and not digits.accepts("seven eleven")


def test_the_command_measures_real_sounds_in_noise(tmp_path, monkeypatch, capsys) -> None:
    model = tones.loadable_artifact(tmp_path / "model", monkeypatch)
    rows = ["id\tdataset\tspeaker\tsplit\ttext\tpath\tseconds"]
    for number, text in enumerate(("one two four one", "four four one two")):
        write_wav(tmp_path / f"{number}.wav", say(text))
        rows.append(f"{number}\ttones\ts\tdev\t{text}\t{number}.wav\t{say(text).size / RATE}")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "noise").mkdir()
    write_wav(tmp_path / "noise" / f"{HELD_BACK}.wav", 0.01 * say("two"))
    options = ["--model", str(model), "--speech", str(tmp_path), "--set", "tones", "--snr-db", "40"]
    out = tmp_path / "out.json"
    assert slots.main([*options, "--noise", str(tmp_path / "noise"), "--json", str(out)]) == 0
    scores = json.loads(out.read_text())["scores"]
    assert [(score["task"], score["snr_db"]) for score in scores] == [("digits", None), ("digits", 40.0)]
    assert [score["right"] for score in scores] == [1.0, 1.0]
    assert "2 recordings: 100.0% right" in capsys.readouterr().out
    assert slots.main([*options, "--own-grammar"]) == 2
    assert "the model has no grammar" in capsys.readouterr().err


def test_the_models_own_commands_are_right_by_their_meaning() -> None:
    builder = GrammarBuilder()
    _, top = builder.network()
    for text, block in (("one two", 0), ("two one", 0), ("four one", 1)):
        builder.end(builder.text(top, text), block)
    blocks = [{"intent": name, "slots": {}} for name in ("Pair", "Other")]
    recognizer = Recognizer(tones.setup()).with_grammar(builder.build("en", blocks))
    said = {"one two": "two one", "four one": "four one", "two one": "four one", "three": "three"}
    recordings = [
        Recording(text, "tones", "test", 1.0, text, partial(say, heard)) for text, heard in said.items()
    ]
    task = slot_tasks.own_task(recognizer, recordings, "test", 9)
    assert [item.text for item in task.recordings] == ["one two", "four one", "two one"]
    score = slots.measure(recognizer, task, None, None)
    assert (score.right, score.recordings) == (pytest.approx(2 / 3, abs=1e-4), 3)
    with pytest.raises(ConfigError, match="no recording of split dev is a command"):
        slot_tasks.own_task(recognizer, recordings, "dev", 9)
