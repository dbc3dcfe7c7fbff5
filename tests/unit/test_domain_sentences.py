import itertools
import time
from pathlib import Path

import pytest

from edge_las.domain.compile import compile_domain
from edge_las.domain.numbers import spell_number
from edge_las.domain.sentences import read_domain
from edge_las.errors import ConfigError
from edge_las.search.automaton import Automaton

pytest.importorskip("hassil")
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz'")


def compiled(tmp_path: Path, text: str) -> tuple[Automaton, float]:
    path = tmp_path / "d.yaml"
    path.write_text(text, encoding="utf-8")
    grammar, sizes = compile_domain(read_domain(path), LETTERS)
    return Automaton(grammar), sum(map(sum, sizes))


def one(template: str, more: str = "") -> str:
    return f"intents:\n  Do:\n    data:\n      - sentences:\n          - '{template}'\n{more}"


def enumerated(automaton: Automaton, characters: str, longest: int) -> set[str]:
    found, agenda = set(), [("", automaton.start)]
    while agenda:
        text, state = agenda.pop()
        if automaton.may_end(state):
            found.add(text.replace("▁", " ").strip())
        if len(text) < longest:
            following = ((c, automaton.step(state, c)) for c in characters)
            agenda += [(text + c, after) for c, after in following if after >= 0]
    return found


def test_accepts_exactly_what_the_templates_stand_for(tmp_path) -> None:
    automaton, count = compiled(tmp_path, one("[a] (b|c d)[s] (x;y[ z])"))
    starts = [first + middle + end for first in ("", "a ") for middle in ("b", "c d") for end in ("", "s")]
    pairs = [" ".join(p) for tail in ("y", "y z") for p in itertools.permutations(["x", tail])]
    expected = {f"{start} {pair}" for start in starts for pair in pairs}
    assert enumerated(automaton, "▁abcdsxyz", 20) == expected
    assert count == len(expected)


LISTS = """
lists:
  room: {values: [Living Room, "on", {in: "(bed|sleeping)[ ]room", out: bedroom}, {in: tv, out: 7}]}
  level: {range: {from: 0, to: 100, step: 10}}
  item: {wildcard: true}
expansion_rules: {set: "(set|turn)"}
"""


@pytest.mark.parametrize(
    ("template", "text", "slots"),
    [
        ("<set> {room} [light[s]]", "turn living room lights", {"room": "Living Room"}),
        ("<set> {room} on", "set on on", {"room": "on"}),
        ("go {room}", "go sleeping room", {"room": "bedroom"}),
        ("go {room:where}", "go tv", {"where": 7}),
        ("to {level}%", "to twenty percent", {"level": 20}),
        ("{1..300:n} steps", "one hundred and five steps", {"n": 105}),
        ("{1..300:n} steps", "one hundred five steps", {"n": 105}),
        ("{1..300} steps", "six steps", {}),
        ("buy {item} [now]", "buy oat milk", {"item": "oat milk"}),
        ("channel 5", "channel five", {}),
    ],
)
def test_slots(tmp_path, template: str, text: str, slots: dict) -> None:
    match = compiled(tmp_path, one(template, LISTS))[0].interpret(text)
    assert match is not None
    assert (match.intent, match.slots) == ("Do", slots)


def test_fixed_slots_and_the_first_intent_wins(tmp_path) -> None:
    blocks = "intents:\n" + "".join(
        f"  {name}:\n    data:\n      - sentences: [go]\n        slots: {{n: {n}}}\n"
        for n, name in enumerate(("First", "Second"))
    )
    match = compiled(tmp_path, blocks)[0].interpret("go")
    assert match is not None
    assert (match.intent, match.slots) == ("First", {"n": 0})


def test_ranges_hold_every_number_and_no_other(tmp_path) -> None:
    automaton, _ = compiled(tmp_path, one("{2..120,3:n}"))
    held = {n for n in range(200) if automaton.accepts(spell_number(n))}
    assert held == set(range(2, 121, 3))


def test_billions_of_sentences_compile_at_once(tmp_path) -> None:
    words = ", ".join(f"word{'abcdefghij'[n]}" for n in range(10))
    started = time.process_time()
    automaton, count = compiled(
        tmp_path,
        one("{w:a} {w:b} {w:c} {w:d} {w:e} {w:f} {w:g} {w:h} {w:i}", f"lists: {{w: {{values: [{words}]}}}}"),
    )
    match = automaton.interpret(" ".join(["wordc"] * 8 + ["wordj"]))
    assert time.process_time() - started < 2.0
    assert count == 10**9
    assert automaton.num_states < 200
    assert match is not None
    assert match.slots["i"] == "wordj"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "d.yaml: the file is empty"),
        ("intents: {}", "holds no intent"),
        ("intents: {a: {data: []}}", "line 1: intent a has no data"),
        ("intents: [", "line 1: not valid YAML"),
        ("a: 1", "line 1: the file: unknown key a"),
        (one("go {nowhere}"), r"line 5: unknown list \{nowhere\}"),
        (one("go <nowhere>"), "line 5: unknown rule <nowhere>"),
        (one("go", "expansion_rules:\n  a: <b>\n  b: x <a>"), "line 8: refers to itself: <a> -> <b> -> <a>"),
        (one("[go]"), "line 5: .* can be said by saying nothing"),
        (one("go (there"), "line 5: not a template"),
        (one("включи свет"), "line 5: 'в' .* not in the alphabet"),
        (one("go bzzzt"), "line 5: 'bzzzt' cannot be pronounced"),
        (one("the 2nd"), "line 5: the number in .* must be written as it is said"),
        (
            one("go", "lists:\n  a: {range: {from: 1, to: 0}}"),
            "line 7: list a: the range 1 to 0 holds no number",
        ),
        (one("go", "lists:\n  a: {range: {from: 0, to: 900000}}"), "line 7: the range .* is too large"),
        (one("go", "lists:\n  a: {values: []}"), "line 7: list a has no values"),
        (one("go", "lists:\n  a: {range: {from: 1}}"), "line 7: list a: range.to is missing"),
        (
            one("go", "lists:\n  a: {values: [x, {in: x, out: y}]}"),
            "line 7: list a: 'x' stands for 'x' already",
        ),
        (one("go", "skip_words: [please]"), "line 6: the file: unknown key skip_words"),
    ],
)
def test_bad_files_name_file_and_line(tmp_path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compiled(tmp_path, text)
