import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edge_las.domain.commands import Turns
from edge_las.domain.compiled import Compiled, read_compiled
from edge_las.domain.texts import COMMAND, NEAR, OTHER, Counts, domain_texts
from edge_las.errors import ConfigError
from edge_las.tokens import TokenTable

pytest.importorskip("hassil")
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz'")
TEMPLATES = """
intents:
  Heat:
    data:
      - sentences: ["<set> the oven to {20..30:degrees}%", "{room} warmer", "oven 7"]
  Play:
    data:
      - sentences: ["play {anything}"]
  Many:
    data:
      - sentences: ["(one|two) {room} [and {room:second}]"]
        expansion_rules: {set: "never said"}
lists:
  room: {values: [Living Room, kitchen, {in: "(bed|sleeping) room", out: bedroom}, hall]}
  anything: {wildcard: true}
expansion_rules: {set: "(set|turn)"}
"""


def compiled(tmp_path: Path, text: str = TEMPLATES) -> Compiled:
    path = tmp_path / "d.yaml"
    path.write_text(text, encoding="utf-8")
    return read_compiled(path, TokenTable.characters(), "en")


def rows(tmp_path: Path, counts: Counts, seed: int = 1) -> list[tuple[str, str]]:
    return domain_texts(compiled(tmp_path), counts, (seed, 0))


def test_every_text_is_what_its_kind_says(tmp_path) -> None:
    automaton = compiled(tmp_path).automaton
    found = rows(tmp_path, Counts(300, 80, 120))
    assert Counter(kind for _, kind in found) == {COMMAND: 300, NEAR: 80, OTHER: 120}
    assert all(automaton.accepts(text) == (kind == COMMAND) for text, kind in found)
    assert all(set(text) <= LETTERS | {" "} for text, _ in found)


def test_what_can_say_more_is_drawn_more_often(tmp_path) -> None:
    domain = compiled(tmp_path)
    texts = [text for text, _ in domain_texts(domain, Counts(2000, 0, 0), (3, 0))]
    found = [match for match in map(domain.automaton.interpret, texts) if match]
    bits = {"Heat": 1 + math.log2(2 * 11 + 5 + 1), "Play": 20.0, "Many": 1 + math.log2(2 * 5 * 6)}
    intents = Counter(match.intent for match in found)
    for name, amount in bits.items():
        assert intents[name] == pytest.approx(2000 * amount / sum(bits.values()), rel=0.02)
    heat = [match.slots for match in found if match.intent == "Heat"]
    # The oven's 22 sentences, five of rooms, and one.
    shares = Counter(next(iter(slots), "none") for slots in heat)
    assert shares["degrees"] > shares["room"] > shares["none"] > 20


def test_every_value_has_its_turn(tmp_path) -> None:
    domain = compiled(tmp_path)
    texts = [text for text, _ in domain_texts(domain, Counts(2000, 0, 0), (3, 0))]
    found = [match for match in map(domain.automaton.interpret, texts) if match]
    degrees = Counter(match.slots["degrees"] for match in found if "degrees" in match.slots)
    assert set(degrees) == set(range(20, 31)) and max(degrees.values()) - min(degrees.values()) <= 1
    rooms = Counter(match.slots["room"] for match in found if "room" in match.slots)
    assert set(rooms) == {"Living Room", "kitchen", "bedroom", "hall"}


def test_turns_are_as_often_as_their_weights() -> None:
    turns = Turns([5.0, 1.0, 2.0], np.random.default_rng(0))
    counts = Counter(turns.next() for _ in range(800))
    assert all(abs(counts[n] - wanted) <= 1 for n, wanted in enumerate((500, 100, 200)))


def test_texts_follow_from_the_seed(tmp_path) -> None:
    counts = Counts(50, 20, 20)
    assert rows(tmp_path, counts) == rows(tmp_path, counts)
    assert rows(tmp_path, counts) != rows(tmp_path, counts, seed=2)


def test_billions_of_sentences_are_not_listed(tmp_path) -> None:
    words = ", ".join(f"word{letter}" for letter in "abcdefghij")
    text = (
        "intents: {Do: {data: [{sentences: ['{w:a} {w:b} {w:c} {w:d} {w:e} {w:f} {w:g} {w:h} {w:i}']}]}}\n"
        f"lists: {{w: {{values: [{words}]}}}}"
    )
    found = domain_texts(compiled(tmp_path, text), Counts(100, 10, 10), (1, 0))
    assert len({text for text, kind in found if kind == COMMAND}) == 100


def test_a_grammar_of_anything_has_nothing_outside(tmp_path) -> None:
    text = "intents: {Say: {data: [{sentences: ['{words}']}]}}\nlists: {words: {wildcard: true}}"
    found = domain_texts(compiled(tmp_path, text), Counts(20, 10, 10), (1, 0))
    assert {kind for _, kind in found} == {COMMAND}


def test_templates_that_say_too_much_are_an_error(tmp_path) -> None:
    text = f"intents: {{Say: {{data: [{{sentences: ['{'very ' * 30}long']}}]}}}}"
    with pytest.raises(ConfigError, match="d.yaml: no sentence comes of these templates"):
        domain_texts(compiled(tmp_path, text), Counts(20, 10, 10), (1, 0))
