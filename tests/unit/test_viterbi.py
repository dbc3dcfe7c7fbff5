import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_speller import EOS, HashedSpeller

from edge_las.arcs import ANY, SPACE
from edge_las.grammar import GrammarBuilder, phrases_grammar
from edge_las.runtime import constraint
from edge_las.search.automaton import Automaton
from edge_las.search.closed import search_sentences
from edge_las.search.config import BeamConfig
from edge_las.search.grammar import GrammarScorer
from edge_las.search.rescoring import ctc_sums, rescore
from edge_las.search.sentence_graph import SentenceGraph
from edge_las.search.viterbi import best_sentences
from edge_las.tokens import TokenTable

TOKENS = TokenTable.characters("abc")
BLANK = TOKENS.blank_id
LETTERS = frozenset("abc")


def graph_of(automaton: Automaton) -> SentenceGraph:
    return SentenceGraph(automaton, GrammarScorer(automaton, TOKENS.pieces, TOKENS.eos_id))


def phrases(*texts: str) -> SentenceGraph:
    return graph_of(Automaton(phrases_grammar(texts, LETTERS, "en")))


def random_log_probs(frames: int, seed: int, sharpness: float = 2.0) -> np.ndarray:
    logits = sharpness * np.random.default_rng(seed).standard_normal((frames, len(TOKENS)))
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def path_scores(log_probs: np.ndarray) -> dict[tuple[int, ...], list[float]]:
    """List the log probs of all CTC paths by what they spell."""
    found: dict[tuple[int, ...], list[float]] = {}
    for path in itertools.product([BLANK, *range(EOS + 1, len(TOKENS))], repeat=len(log_probs)):
        spelled = tuple(token for token, _ in itertools.groupby(path) if token != BLANK)
        score = sum(row[token] for row, token in zip(log_probs, path, strict=True))
        found.setdefault(spelled, []).append(float(score))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_finds_the_sentences_of_the_likeliest_paths_in_their_order(seed: int) -> None:
    texts = ["a", "b", "aa", "ab", "a a", "a b", "b a", "ba", "bb", "c", "cc", "c a b", "abcabc"]
    log_probs = random_log_probs(5, seed)
    best = {spelled: max(scores) for spelled, scores in path_scores(log_probs).items()}
    expected = sorted((tuple(TOKENS.encode(text)) for text in texts), key=lambda t: -best.get(t, -math.inf))
    possible = [sentence for sentence in expected if sentence in best]
    assert len(possible) > 7
    assert best_sentences(phrases(*texts), log_probs, 6, BLANK) == possible[:6]
    assert best_sentences(phrases(*texts), log_probs, 100, BLANK) == possible


def test_sums_over_all_paths() -> None:
    log_probs = random_log_probs(5, 9)
    sentences = [tuple(TOKENS.encode(text)) for text in ("a", "ab", "aa", "b a")]
    scores = path_scores(log_probs)
    sums = ctc_sums(log_probs, sentences, BLANK)
    assert sums == pytest.approx([np.logaddexp.reduce(scores[sentence]) for sentence in sentences])


def test_slots_multiply_but_are_shared() -> None:
    """A million sentences of six slots: the one that was said, without looking at the others."""
    builder = GrammarBuilder()
    _, top = builder.network()
    network, start = builder.network()
    values = ["".join(letters) for letters in itertools.product("abc", repeat=3)][:10]
    for value in values:
        builder.end(builder.branch(start, value), value)
    node = top
    for slot in range(6):
        after = builder.node()
        builder.call(node, network, f"slot{slot}", after)
        node = builder.text(after, SPACE) if slot < 5 else after
    builder.end(node, 0)
    graph = graph_of(Automaton(builder.build("en", [{"intent": "x", "slots": {}}])))
    said = TOKENS.encode(" ".join(values[number] for number in (3, 1, 4, 1, 5, 9)))
    frames = np.full((2 * len(said), len(TOKENS)), -6.0)
    frames[::2, said] = -0.1
    frames[np.arange(0, len(frames), 2), said] = 0.0
    frames[1::2, BLANK] = 0.0
    found = best_sentences(graph, frames, 5, BLANK)
    assert found[0] == tuple(said)
    assert len(set(found)) == 5
    assert len(graph.tokens) < 1000


def test_too_few_frames_hold_no_sentence() -> None:
    assert best_sentences(phrases("abcabc"), random_log_probs(3, 0), 4, BLANK) == []
    assert best_sentences(phrases("a"), random_log_probs(0, 0), 4, BLANK) == []


def test_a_graph_may_be_shared_by_threads() -> None:
    texts = ["".join(letters) for size in range(1, 5) for letters in itertools.product("abc", repeat=size)]
    inputs = [random_log_probs(12, seed) for seed in range(8)]
    alone = [best_sentences(phrases(*texts), log_probs, 3, BLANK) for log_probs in inputs]
    shared = phrases(*texts)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda x: best_sentences(shared, x, 3, BLANK), inputs)) == alone


def test_what_leads_to_a_node_is_found() -> None:
    graph = phrases("ab", "cba", "acc")
    assert len(best_sentences(graph, random_log_probs(12, 1), 3, BLANK)) == 3

    def spelled(node: int) -> str:
        (before,) = graph.sources(node) or [None]
        return "" if before is None else spelled(before) + TOKENS.pieces[graph.tokens[node]]

    ends = np.flatnonzero(graph.may_end[: len(graph)]).astype(np.int32)
    assert {spelled(node) for node in ends} == {"▁ab", "▁cba", "▁acc"}
    one = ends[[spelled(node) == "▁cba" for node in ends]]
    assert [spelled(node) for node in np.flatnonzero(graph.leading_to(one))] == ["", "▁", "▁c", "▁cb", "▁cba"]
    assert graph.leading_to(ends).sum() == len(graph)
    assert not graph.leading_to(ends[:0]).any()


def test_a_graph_that_has_grown_large_is_begun_anew(monkeypatch) -> None:
    monkeypatch.setattr(constraint, "_MOST_NODES", 10)
    grammar = phrases_grammar(["abc", "cba", "a b c"], LETTERS, "en")
    held = constraint.Constraint(grammar, TOKENS, constraint.ConstraintConfig())
    first = held.sentences[0]
    found = best_sentences(first, random_log_probs(12, 1), 3, BLANK)
    assert len(found) == 3 and len(first) > 10
    assert held.sentences[0] is not first and len(held.sentences[0]) == 1
    assert best_sentences(held.sentences[0], random_log_probs(12, 1), 3, BLANK) == found


def test_rescoring_joins_speller_head_and_scorers() -> None:
    speller, config = HashedSpeller(len(TOKENS), seed=3), BeamConfig(ctc_weight=0.4, token_bonus=0.5)
    log_probs = random_log_probs(8, 5)
    sentences = [tuple(TOKENS.encode(text)) for text in ("ab", "a", "c b a")]

    class Boost:
        def initial_state(self) -> int:
            return 0

        def score(self, state: int, tokens: np.ndarray) -> np.ndarray:
            return np.where(tokens == EOS, 10.0 * state, 0.25)

        def advance(self, state: int, token: int) -> int:
            return state + 1

    found = {item.tokens: item for item in rescore(speller, config, log_probs, [Boost()], sentences)}
    heard = dict(zip(sentences, ctc_sums(log_probs, sentences, BLANK), strict=True))
    for sentence in sentences:
        size, spelled = len(sentence), speller.log_prob([*sentence, EOS])
        expected = 0.6 * spelled + 0.4 * heard[sentence] + size * (0.5 + 0.25) + 10.0 * size
        assert found[sentence].score == pytest.approx(expected)
        assert found[sentence].log_prob == pytest.approx(spelled)
        assert len(found[sentence].token_log_probs) == size
    assert speller.batch_sizes[0] == 3
    ordered = rescore(speller, config, log_probs, [], sentences)
    assert [item.score for item in ordered] == sorted((item.score for item in ordered), reverse=True)
    assert rescore(speller, config, log_probs, [], []) == []


def test_search_gives_the_best_of_all_sentences() -> None:
    """What a narrow beam would lose: all sentences of a small grammar are compared whole."""
    texts = ["a", "ab", "b a", "ba", "bb", "c", "a b c"]
    sentences = [tuple(TOKENS.encode(text)) for text in texts]
    for seed in range(6):
        speller, log_probs = HashedSpeller(len(TOKENS), seed=seed), random_log_probs(9, seed)
        best = rescore(speller, BeamConfig(), log_probs, [], sentences)[:4]
        found = search_sentences(speller, BeamConfig(), log_probs, [], phrases(*texts))
        assert [item.tokens for item in found] == [item.tokens for item in best]


def test_wildcards_are_spelled_by_the_beam_too() -> None:
    builder = GrammarBuilder()
    _, top = builder.network()
    inside = builder.node()
    builder.link(top, ANY, inside)
    builder.link(inside, ANY, inside)
    builder.end(inside, 0)
    graph = graph_of(Automaton(builder.build("en", [{"intent": "x", "slots": {}}])))
    assert graph.has_wildcards
    assert not phrases("a").has_wildcards
    speller, log_probs = HashedSpeller(len(TOKENS), seed=1), random_log_probs(9, 1)
    config = BeamConfig(beam_size=1, max_tokens=8)
    found = search_sentences(speller, config, log_probs, [], graph)
    judged = best_sentences(graph, log_probs, 4, BLANK)
    assert found[0].score >= rescore(speller, config, log_probs, [], judged)[0].score
