"""The words of a grammar: whole ones, wherever its networks meet."""

import time
from pathlib import Path

import pytest

from edge_las.grammar import phrases_grammar
from edge_las.grammar_words import grammar_words

LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz'")


def words(tmp_path: Path, sentence: str, more: str = "") -> set[str]:
    pytest.importorskip("hassil")
    from edge_las.domain.compiled import read_compiled
    from edge_las.tokens import TokenTable

    path = tmp_path / "d.yaml"
    path.write_text(f"intents: {{Go: {{data: [{{sentences: ['{sentence}']}}]}}}}\n{more}")
    return grammar_words(read_compiled(path, TokenTable.characters(), "en").grammar)


def test_words_of_phrases() -> None:
    grammar = phrases_grammar(["Turn it on", "turn it off", "it's"], LETTERS, "en")
    assert grammar_words(grammar) == {"turn", "it", "on", "off", "it's"}


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("light[s] [please]", "light lights please"),
        ("(up|down)(wards|hill) go", "upwards uphill downwards downhill go"),
        ("{room}s lamp", "kitchens bed rooms lamp"),
        ("{room}[{room}]", "kitchen bed room kitchenkitchen kitchenbed roomkitchen roombed"),
        ("<polite> go", "go please would you"),
        ("go {any} now", "go now"),
        # "the" may stand alone before any words.
        ("the{any}s", "the"),
        ("so {any}s[x]", "so"),
        ("(one;two)", "one two"),
        ("{n} times", "one two times"),
    ],
)
def test_words_of_templates(tmp_path: Path, sentence: str, expected: str) -> None:
    more = """
lists: {room: {values: [kitchen, bed room]}, any: {wildcard: true}, n: {range: {from: 1, to: 2}}}
expansion_rules: {polite: '[please|would you]'}
"""
    assert words(tmp_path, sentence, more) == set(expected.split())


def test_a_billion_sentences_have_few_words(tmp_path: Path) -> None:
    values = ", ".join(f"word{letter}" for letter in "abcdefghij")
    began = time.process_time()
    found = words(
        tmp_path, " ".join(f"{{w:{a}}}" for a in "abcdefghi"), f"lists: {{w: {{values: [{values}]}}}}"
    )
    assert found == {f"word{letter}" for letter in "abcdefghij"}
    assert time.process_time() - began < 2
