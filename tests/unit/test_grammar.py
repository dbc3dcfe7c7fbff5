import gzip
import itertools
import json
import math
import tracemalloc

import numpy as np
import pytest
from fake_speller import EOS, HashedSpeller

from edge_las.arcs import ANY, NOTHING, SPACE, pack
from edge_las.errors import ArtifactError, ConfigError
from edge_las.grammar import Grammar, GrammarBuilder, phrases_grammar
from edge_las.grammar_file import load_grammar, save_grammar
from edge_las.search.automaton import Automaton
from edge_las.search.beam import beam_search
from edge_las.search.config import BeamConfig
from edge_las.search.grammar import GrammarScorer
from edge_las.tokens import TokenTable

TOKENS = TokenTable.characters("abc")
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz'")


def automaton(*phrases: str) -> Automaton:
    return Automaton(phrases_grammar(phrases, LETTERS, "en"))


def test_accepts_exactly_the_phrases() -> None:
    phrases = {"a", "a b", "ab", "ab c", "c a b", "ccc"}
    found = automaton(*phrases)
    texts = {
        " ".join("".join(text).split())
        for size in range(1, 6)
        for text in itertools.product("abc ", repeat=size)
    }
    assert {text for text in texts if found.accepts(text)} == phrases


def test_a_phrase_is_its_own_meaning() -> None:
    match = automaton("# rooms", "Living Room, please!", "", "kitchen").interpret("living room please")
    assert match is not None
    assert (match.intent, match.slots) == ("phrase", {"phrase": "Living Room, please!"})
    assert automaton("kitchen").interpret("kitchens") is None
    assert automaton("kitchen").interpret("") is None


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        (["go", "room 5"], "p.txt: line 2: the number '5' must be written in words"),
        (["свет"], "line 1: 'с' .* is not in the alphabet"),
        (["cost €"], "line 1: '€' .* must be written as it is said"),
        (["xkcdq"], "line 1: 'xkcdq' cannot be pronounced"),
        (["?!"], "line 1: '\\?!' holds no word"),
        (["# nothing"], "holds no phrase"),
    ],
)
def test_bad_phrases_name_their_line(phrases: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        phrases_grammar(phrases, LETTERS, "en", "p.txt")


def test_accents_are_dropped() -> None:
    assert automaton("Café").accepts("cafe")


@pytest.mark.parametrize("seed", range(6))
def test_strict_beam_finds_the_best_sentence(seed: int) -> None:
    phrases = ["a", "ab", "b a", "abc c", "c", "cab b", "b b b"]
    speller = HashedSpeller(len(TOKENS), seed)
    scorer = GrammarScorer(automaton(*phrases), TOKENS.pieces, EOS)
    best = max(phrases, key=lambda text: speller.log_prob([*TOKENS.encode(text), EOS]))
    config = BeamConfig(beam_size=12, nbest=8, max_tokens=12, ctc_weight=0.0, stop_margin=100.0)
    found = beam_search(speller, config, scorers=[scorer])
    assert TOKENS.decode(found[0].tokens) == best
    finished = [TOKENS.decode(item.tokens) for item in found if item.finished]
    assert set(finished) <= set(phrases)


def test_soft_costs_its_weight_once() -> None:
    scorer = GrammarScorer(automaton("ab"), TOKENS.pieces, EOS, weight=3.0)

    def cost(tokens: list[int]) -> float:
        state, total = scorer.initial_state(), 0.0
        for token in tokens:
            total += float(scorer.score(state, np.array([token]))[0])
            state = scorer.advance(state, token)
        return total

    assert cost([*TOKENS.encode("ab"), EOS]) == 0.0
    assert cost([*TOKENS.encode("b c a"), EOS]) == -3.0
    assert cost([*TOKENS.encode("a"), EOS]) == -3.0
    strict = GrammarScorer(automaton("ab"), TOKENS.pieces, EOS)
    assert strict.score(strict.initial_state(), np.array([EOS]))[0] == -math.inf


def test_subwords_are_spelled_whichever_way_they_are_split() -> None:
    table = TokenTable.from_subwords(["▁a", "▁", "a", "b", "ab", "▁ab"], [-1.0] * 6)
    found = automaton("ab a")
    for split in (["▁ab", "▁a"], ["▁", "ab", "▁", "a"], ["▁a", "b", "▁a"]):
        scorer = GrammarScorer(found, table.pieces, table.eos_id)
        state = scorer.initial_state()
        for piece in split:
            token = table.pieces.index(piece)
            assert scorer.score(state, np.array([token]))[0] == 0.0
            state = scorer.advance(state, token)
        assert scorer.score(state, np.array([table.eos_id]))[0] == 0.0


def test_file_round_trip_and_damage(tmp_path) -> None:
    grammar = phrases_grammar(["go on", "stop"], LETTERS, "en")
    save_grammar(tmp_path / "g", grammar)
    first = (tmp_path / "g").read_bytes()
    assert load_grammar(tmp_path / "g") == grammar
    save_grammar(tmp_path / "g", grammar)
    assert (tmp_path / "g").read_bytes() == first
    (tmp_path / "g").write_bytes(first[:-20])
    with pytest.raises(ArtifactError, match="not a grammar that can be read"):
        load_grammar(tmp_path / "g")


def rooms() -> Grammar:
    """Text, a call with a slot and one without, choices, a space, a wildcard."""
    builder = GrammarBuilder()
    _, top = builder.network()
    room, start = builder.network()
    for name in ("kitchen", "kit"):
        builder.end(builder.branch(start, name), name.upper())
    node = builder.text(top, f"go{SPACE}")
    for slot in ("room", ""):
        after = builder.node()
        builder.call(node, room, slot, after)
        builder.link(after, NOTHING, top)
        builder.end(after, 0)
    builder.link(node, ANY, node)
    return builder.build("en", [{"intent": "Go", "slots": {}}])


def test_arcs_are_kept_as_they_were_given() -> None:
    arcs = rooms().arcs
    listed = [arcs.of(node) for node in range(len(arcs))]
    assert pack(listed) == arcs
    assert [(1, "room", 12), (1, "", 13), (ANY, 11)] in listed
    # Nodes that lead to the next one by a character are written as text.
    assert arcs.runs()[:4] == [[("g", 9)], "kitchen", [], f"o{SPACE}"]
    assert pack(arcs.runs()) == arcs


def test_a_file_of_the_first_format_is_read(tmp_path) -> None:
    grammar = rooms()
    save_grammar(tmp_path / "g", grammar)
    values = json.loads(gzip.decompress((tmp_path / "g").read_bytes()))
    values |= {"format": 1, "nodes": [grammar.arcs.of(node) for node in range(len(grammar.arcs))]}
    (tmp_path / "g").write_bytes(gzip.compress(json.dumps(values).encode()))
    assert load_grammar(tmp_path / "g") == grammar


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 3}, "format 3, this edge-las reads 1 to 2"),
        ({"starts": [99]}, "a start is not a node"),
        ({"ends": [[99, 0]]}, "an end is not a node"),
        ({"starts": [0], "ends": [], "nodes": ["go", [["a", 99]]]}, "an arc leads nowhere"),
        ({"starts": [0], "ends": [], "nodes": ["go"]}, "an arc leads nowhere"),
        ({"starts": [0], "ends": [], "nodes": [[[7, "", 0]]]}, "a network that is not there"),
        ({"nodes": [[["ab", 0]]]}, "expected a character"),
        ({"nodes": [[["a", 1 << 40]]]}, "too large|greater than maximum"),
        ({"nodes": [[["a", 0.5]]]}, "integer"),
        ({"nodes": [[["a", "b", 0]]]}, "leads nowhere"),
        ({"nodes": [[[0, 0]]]}, "leads nowhere"),
        ({"nodes": [[[-5, "", 0]]]}, "leads nowhere"),
        ({"nodes": [[["a"]]]}, "leads nowhere"),
        ({"nodes": [[["a", 0, 0, 0]]]}, "leads nowhere"),
        ({"nodes": [7]}, "iterable"),
        ({"blocks": [{"intent": 1, "slots": {}}]}, "an intent has no name"),
    ],
)
def test_a_file_that_refers_to_nothing_is_refused(tmp_path, changes, message) -> None:
    save_grammar(tmp_path / "g", phrases_grammar(["go on", "stop"], LETTERS, "en"))
    values = json.loads(gzip.decompress((tmp_path / "g").read_bytes()))
    (tmp_path / "g").write_bytes(gzip.compress(json.dumps(values | changes).encode()))
    with pytest.raises(ArtifactError, match=f"g: not a grammar that can be read: .*({message})"):
        load_grammar(tmp_path / "g")


def test_a_large_grammar_takes_little_memory() -> None:
    """In tuples it took 350 bytes a node, and at work 200 more for sets of letters."""
    words = [" ".join(map("".join, itertools.permutations("abcde"[:size]))) for size in (3, 4, 5)]
    text = pack(["".join(words) * 20, []])
    tracemalloc.start()
    try:
        grammar = Grammar("en", (), (0,), pack(text.runs()), {len(text) - 1: 0})
        assert not Automaton(grammar).accepts(words[0])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(grammar.arcs) > 10_000
    assert taken < 40 * len(grammar.arcs)


def test_networks_in_circles_end_in_an_error() -> None:
    builder = GrammarBuilder()
    network, start = builder.network()
    last = builder.node()
    builder.call(start, network, "", last)
    with pytest.raises(ArtifactError, match="nested"):
        Automaton(builder.build("en", [])).step(0, "a")
