import itertools

import numpy as np
import pytest
from fake_speller import HashedSpeller

from edge_las.arcs import SPACE
from edge_las.grammar import Grammar, GrammarBuilder, phrases_grammar
from edge_las.lexicon import PHONES, SILENCE, Lexicon
from edge_las.runtime import constraint
from edge_las.runtime.constraint import Constraint, alphabet_of
from edge_las.runtime.phones import Dense, PhoneJudge
from edge_las.search.automaton import Automaton
from edge_las.search.closed import search_sentences
from edge_las.search.config import BeamConfig, ConstraintConfig
from edge_las.search.phone_graph import PhoneGraph
from edge_las.search.sentence_graph import ROOT
from edge_las.search.viterbi import best_sentences
from edge_las.tokens import TokenTable

TABLE = TokenTable.characters()
LEXICON = Lexicon("a AH\na EY\nbus B AH S\nbuses B AH S AH Z\nsea S IY\nsee S IY\nstop S T AA P\nthe DH AH")
NOTHING = Dense(np.zeros((1, 1), np.float32), np.zeros(1, np.float32))
JUDGE = PhoneJudge(NOTHING, NOTHING, NOTHING, LEXICON)


def phrases(*texts: str) -> Grammar:
    return phrases_grammar(texts, alphabet_of(TABLE), "en")


def graph_of(grammar: Grammar) -> PhoneGraph:
    return PhoneGraph(Automaton(grammar), TABLE, LEXICON)


def spelled(graph: PhoneGraph) -> list[tuple[str, str]]:
    """All paths of a graph: phones, and the sentence read from them."""
    found, agenda = [], [[ROOT]]
    while agenda:
        path = agenda.pop()
        if graph.may_end[path[-1]]:
            phones = " ".join(PHONES[graph.tokens[node]] for node in path[1:])
            found.append((phones, TABLE.decode(graph.read(path[1:]))))
        _, targets = graph.followers(np.array(path[-1:], np.int32))
        agenda += [[*path, int(target)] for target in targets]
    return sorted(found)


def ways(*texts: str) -> list[tuple[str, str]]:
    """Every way in which sentences are said."""
    found = []
    for text in texts:
        said = [LEXICON.pronunciations(word) for word in text.split()]
        for words in itertools.product(*said):
            found.append((" ".join(PHONES[phone] for word in words for phone in word), text))
    return sorted(found)


def heard(text: str) -> np.ndarray:
    """Log probs (T, P) in which each phone is there for a frame, far likelier than all others."""
    phones = [PHONES.index(phone) for phone in text.split()]
    return np.where(np.arange(len(PHONES)) == np.array(phones)[:, None], -0.02, -8.0).astype(np.float32)


@pytest.mark.parametrize(
    "texts",
    [["see"], ["see", "sea", "see sea"], ["a bus", "bus", "buses", "a"], ["bus stop", "the bus stop a sea"]],
)
def test_spells_each_sentence_in_every_way_it_is_said(texts: list[str]) -> None:
    assert spelled(graph_of(phrases(*texts))) == ways(*texts)


def test_slots_and_optional_parts() -> None:
    builder = GrammarBuilder()
    _, top = builder.network()
    network, start = builder.network()
    for value in ("see", "sea", "bus stop", "zyzzyva"):
        builder.end(builder.branch(start, value), value)
    after = builder.node()
    builder.call(top, network, "slot", after)
    builder.end(after, 0)
    builder.end(builder.text(builder.text(after, SPACE), "a"), 0)
    graph = graph_of(builder.build("en", [{"intent": "x", "slots": {}}]))
    values = ("see", "sea", "bus stop")
    assert spelled(graph) == ways(*values, *(f"{value} a" for value in values))


def test_sentences_with_unknown_words_are_left_out() -> None:
    assert spelled(graph_of(phrases("a zyzzyva", "a bus"))) == ways("a bus")
    assert best_sentences(graph_of(phrases("zyzzyva")), heard("S IY"), 4, SILENCE) == []


def test_best_sentences_come_once_and_doubles_need_no_silence() -> None:
    graph = graph_of(phrases("see", "sea", "a", "bus stop"))
    found = best_sentences(graph, heard("SIL B AH S S T AA P SIL"), 4, SILENCE)
    assert TABLE.decode(found[0]) == "bus stop" and len(set(found)) == len(found)
    found = best_sentences(graph, heard("S IY SIL"), 8, SILENCE)
    assert {TABLE.decode(item) for item in found[:2]} == {"see", "sea"} and len(set(found)) == len(found)


def test_what_is_clear_by_phones_is_judged_though_letters_garble_it() -> None:
    held = Constraint(phrases("see", "bus", "stop"), TABLE, ConstraintConfig(), JUDGE)
    letters, sounds = held.sentences
    assert sounds is not None
    garbled = np.full((9, len(TABLE)), -6.0, np.float32)
    for frame, token in enumerate(TABLE.encode("bus")):
        garbled[2 * frame, token] = -0.1
    garbled[1::2, 0] = -0.1
    speller, config = HashedSpeller(len(TABLE), seed=1), BeamConfig(beam_size=1)
    said = tuple(TABLE.encode("stop"))
    found = search_sentences(
        speller,
        config,
        garbled,
        [],
        letters,
        lambda items: [1000.0 * (item == said) for item in items],
        lambda count: best_sentences(sounds, heard("S T AA P"), count, SILENCE),
    )
    assert found[0].tokens == said


def test_graph_is_there_only_where_phones_count(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = phrases("see")
    assert Constraint(grammar, TABLE, ConstraintConfig(), JUDGE).sentences[1] is not None
    assert Constraint(grammar, TABLE, ConstraintConfig()).sentences[1] is None
    for config in (ConstraintConfig(grammar_phone_weight=0.0), ConstraintConfig(mode="soft")):
        assert Constraint(grammar, TABLE, config, JUDGE).sentences[1] is None
    monkeypatch.setattr(constraint, "_MOST_PHONE_GRAMMAR", 2)
    assert Constraint(grammar, TABLE, ConstraintConfig(), JUDGE).sentences[1] is None
