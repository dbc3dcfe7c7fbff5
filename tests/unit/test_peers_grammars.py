"""Snapping to the nearest sentence, and the grammar that PocketSphinx gets."""

import itertools
import random

import pytest

from benchmarks.peers.grammars import finite_state_grammar, nearest, word_arcs
from benchmarks.peers.texts import spoken
from benchmarks.scoring import edit_distance
from edge_las.arcs import ANY, SPACE
from edge_las.errors import ConfigError
from edge_las.grammar import GrammarBuilder, phrases_grammar
from edge_las.search.automaton import Automaton

LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz'")
PHRASES = ["turn on", "turn on the light", "turn off the lights", "light", "lights", "stop"]


@pytest.fixture(scope="module")
def automaton() -> Automaton:
    return Automaton(phrases_grammar(PHRASES, LETTERS, "en"))


def test_the_nearest_sentence_is_the_one_with_fewest_edits(automaton: Automaton) -> None:
    rng = random.Random(1)
    for phrase, edits in itertools.product(PHRASES, range(5)):
        letters = list(phrase)
        for _ in range(edits):
            at = rng.randrange(len(letters))
            letters[at] = rng.choice("abcdelrst ")
        text = " ".join("".join(letters).split())
        found = nearest(automaton, text)
        assert found in PHRASES
        # Words have a mark before them, which a lost space costs too.
        least = min(edit_distance(f" {text}", f" {other}") for other in PHRASES)
        assert edit_distance(f" {text}", f" {found}") == least


def test_what_is_inside_stays_and_nothing_stays_nothing(automaton: Automaton) -> None:
    assert [nearest(automaton, phrase) for phrase in PHRASES] == PHRASES
    assert nearest(automaton, "") == ""


def test_a_text_that_is_far_from_everything_stays_as_it_is(automaton: Automaton) -> None:
    assert nearest(automaton, "stob", most_places=2) == "stob"


def network(text: str) -> set[str]:
    """List the sentences of a network in PocketSphinx's format."""
    lines = [line.split() for line in text.splitlines()]
    named = {words[0]: words[1] for words in lines if len(words) == 2}
    arcs: dict[str, list[tuple[str, str]]] = {}
    for _, before, after, weight, *word in (words for words in lines if words[0] == "TRANSITION"):
        assert weight == "1.0" and int(after) < int(named["NUM_STATES"])
        arcs.setdefault(before, []).append((after, "".join(word)))
    found, agenda = set(), [(named["START_STATE"], "")]
    while agenda:
        state, said = agenda.pop()
        if state == named["FINAL_STATE"]:
            found.add(said)
        agenda += [(after, f"{said} {word}".strip()) for after, word in arcs.get(state, [])]
    return found


def test_pocketsphinx_gets_the_same_sentences(automaton: Automaton) -> None:
    assert network(finite_state_grammar(automaton)) == set(PHRASES)


def test_a_grammar_that_pocketsphinx_cannot_have_is_named(automaton: Automaton) -> None:
    with pytest.raises(ConfigError, match="more than 3 words"):
        list(word_arcs(automaton, most=3))
    builder = GrammarBuilder()
    _, start = builder.network()
    node = builder.text(start, f"play{SPACE}")
    builder.link(node, ANY, node)
    builder.end(node, 0)
    with pytest.raises(ConfigError, match="any words"):
        finite_state_grammar(Automaton(builder.build("en", [{"intent": "Play", "slots": {}}])))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (" Turn on, please!", "turn on please"),
        ("7", "seven"),
        ("It's 21% off.", "it's twenty one percent off"),
        ("1,205 men", "one thousand two hundred and five men"),
        ("007", "zero zero seven"),
        ("5551234", "five five five one two three four"),
        ("Mr. Smith & Co", "mister smith and co"),
        ("\u00bd \u2013 (sighs) don\u2019t", "sighs don't"),
        ("", ""),
    ],
)
def test_texts_are_written_as_they_are_said(written: str, said: str) -> None:
    assert spoken(written) == said
