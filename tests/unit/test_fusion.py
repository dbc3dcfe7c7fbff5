import itertools

import numpy as np
import pytest

from edge_las.errors import ConfigError
from edge_las.ngram import NgramLevel, NgramModel
from edge_las.ngram_estimate import estimate_ngrams
from edge_las.ngram_prune import PruneConfig
from edge_las.search.beam import beam_search
from edge_las.search.config import BeamConfig
from edge_las.search.hotwords import HotwordScorer
from edge_las.search.ngram import NgramScorer
from edge_las.tokens import TokenTable
from tests.unit.fake_speller import EOS, SOS, TableSpeller

LETTERS = TokenTable.characters("abcdefghijklmnopqrstuvwxyz")
MIXED = TokenTable.from_subwords(
    ["▁", *"abcdefghijklmnopqrstuvwxyz", "▁turn", "▁on", "on", "▁the", "▁light", "ing", "▁tur"], [-1.0] * 34
)


def total(scorer, ids, finish=True):
    """Sum of all scores on the way through ids, each looked up among all tokens."""
    state, score = scorer.initial_state(), 0.0
    for token in [*ids, *([EOS] if finish else [])]:
        score += float(scorer.score(state, np.array([4, token]))[1])
        state = scorer.advance(state, token)
    return score


def pieces(table, text):
    return [table.pieces.index(piece) for piece in text.split()]


@pytest.mark.parametrize("table", [LETTERS, MIXED])
def test_only_whole_phrases_keep_their_boost(table):
    scorer = HotwordScorer(table.pieces, {"turn on": 3.0, "light": 2.0}, EOS)
    for text, expected in {
        "turn on": 3.0,
        "turn": 0.0,
        "turn off": 0.0,
        "turning on": 0.0,
        "turn once": 0.0,
        "return on": 0.0,
        "please turn on now": 3.0,
        "turn turn on": 3.0,
        "turn on turn on": 6.0,
        "turn on the light": 5.0,
        "lights": 0.0,
        "light light": 4.0,
        "": 0.0,
    }.items():
        assert total(scorer, table.encode(text)) == pytest.approx(expected), text


def test_the_boost_does_not_depend_on_how_a_phrase_is_split():
    scorer = HotwordScorer(MIXED.pieces, {"turn on": 3.0}, EOS)
    for split in ("▁turn ▁on", "▁tur n ▁on", "▁ t u r n ▁ on", "▁turn ▁ o n"):
        assert total(scorer, pieces(MIXED, split)) == pytest.approx(3.0)
    assert total(scorer, pieces(MIXED, "▁turn on")) == pytest.approx(0.0)


def test_boosts_come_as_the_phrase_is_spelled_and_go_if_it_is_left():
    scorer = HotwordScorer(LETTERS.pieces, {"abcd": 4.0}, EOS)
    half = LETTERS.encode("ab")
    assert total(scorer, half, finish=False) == pytest.approx(2.0)
    assert total(scorer, [*half, LETTERS.pieces.index("x")], finish=False) == pytest.approx(0.0)
    assert total(scorer, half) == pytest.approx(0.0)


def test_phrases_that_share_beginnings_and_endings():
    scorer = HotwordScorer(LETTERS.pieces, {"a b": 2.0, "a b c": 5.0, "b d": 1.5, "c": 9.0}, EOS)
    expected = {
        "a b": 2.0,
        "a b c": 5.0,
        "a b d": 3.5,
        "a b a b": 4.0,
        "b d": 1.5,
        "a b x c": 11.0,
        "b c": 9.0,
    }
    for text, boost in expected.items():
        assert total(scorer, LETTERS.encode(text)) == pytest.approx(boost), text


def test_every_token_is_scored_as_if_walked_alone():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abc"), rng.integers(1, 4))) for _ in range(12)]
    phrases = {" ".join(rng.choice(words, rng.integers(1, 4))): float(i + 1) for i in range(8)}
    table = TokenTable.characters("abcd")
    together = HotwordScorer(table.pieces, phrases, EOS)
    for _ in range(30):
        text = " ".join("".join(rng.choice(list("abcd"), rng.integers(1, 4))) for _ in range(5))
        state = 0
        for token in table.encode(text):
            gained, node = together._trie.walk(state, table.pieces[token])
            assert together.score(state, np.array([token]))[0] == pytest.approx(gained)
            assert together.advance(state, token) == node
            state = node


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        ({"turn 2": 1.0}, "hotword 'turn 2' has '2', which no token spells"),
        ({" ": 1.0}, "hotword ' ' is empty"),
        ({"a": 0.0}, "hotword 'a' .* above 0"),
    ],
)
def test_impossible_hotwords_are_named(phrases, message):
    with pytest.raises(ConfigError, match=message):
        HotwordScorer(LETTERS.pieces, phrases, EOS)


def test_hotwords_turn_a_close_decision():
    table = TokenTable.from_subwords(["▁lamp", "▁camp", "▁x"], [-1.0] * 3)
    log_probs = np.log(np.full((2, 7), 0.01, dtype=np.float32))
    log_probs[0, [4, 5]] = np.log([0.3, 0.6])
    log_probs[1, EOS] = np.log(0.9)
    config = BeamConfig(beam_size=2)
    assert table.decode(beam_search(TableSpeller(log_probs), config)[0].tokens) == "camp"
    scorer = HotwordScorer(table.pieces, {"lamp": 1.5}, EOS)
    assert table.decode(beam_search(TableSpeller(log_probs), config, None, [scorer])[0].tokens) == "lamp"


TEXTS = [[4, 5, 6], [4, 5, 7], [4, 6, 6], [5, 4, 5, 6], [8], []]
VOCABULARY = 10


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize(("min_count", "most"), [(1, 0), (2, 0), (1, 33), (1, 30)])
def test_probabilities_sum_to_one_in_every_context(order, min_count, most):
    model = estimate_ngrams(TEXTS, order, VOCABULARY, SOS, EOS, PruneConfig(min_count, most))
    for context in [[], [SOS], [SOS, 4], [4, 5], [SOS, 4, 5], [9], [6, 6, 6], [5, 4, 5]]:
        log_probs = model.log_probs(model.context(context))
        assert np.exp(log_probs).sum() == pytest.approx(1.0, abs=1e-5)


def slow_kneser_ney(texts, context, token, order):
    """Interpolated Kneser-Ney straight from its definition, over tuples."""
    texts = [(SOS, *text, EOS) for text in texts]

    def grams(n):
        return [text[i : i + n] for text in texts for i in range(len(text) - n + 1)]

    def count(gram):
        n = len(gram)
        if n == order or gram[0] == SOS:
            return grams(n).count(gram)
        return len({longer for longer in grams(n + 1) if longer[1:] == gram})

    def prob(context, token):
        followers = {gram[-1] for gram in grams(len(context) + 1) if gram[:-1] == context} - {SOS}
        counts = {follower: count((*context, follower)) for follower in followers}
        lower = prob(context[1:], token) if context else 1 / VOCABULARY
        if not counts:
            return lower
        everything = sum(counts.values())
        own = max(counts.get(token, 0) - 0.75, 0) / everything
        return own + 0.75 * len(counts) / everything * lower

    return prob(tuple(context), token)


@pytest.mark.parametrize("order", [2, 3])
def test_estimates_are_those_of_the_definition(order):
    model = estimate_ngrams(TEXTS, order, VOCABULARY, SOS, EOS)
    for context in itertools.chain([()], itertools.product([SOS, 4, 5, 6], repeat=order - 1)):
        if SOS in context[1:]:
            continue
        log_probs = model.log_probs(model.context(context))
        for token in (EOS, 4, 5, 6, 7, 8, 9):
            expected = np.log(slow_kneser_ney(TEXTS, context, token, order))
            assert log_probs[token] == pytest.approx(expected, abs=1e-5), (context, token)


def test_the_scorer_follows_the_text():
    model = estimate_ngrams(TEXTS, 3, VOCABULARY, SOS, EOS)
    scorer = NgramScorer(model, 0.5, SOS)
    state, score = scorer.initial_state(), 0.0
    for token in (4, 5, 7, EOS):
        score += float(scorer.score(state, np.arange(VOCABULARY))[token])
        state = scorer.advance(state, token)
    expected = [(SOS,), (SOS, 4), (4, 5), (5, 7)]
    expected = sum(
        model.log_probs(model.context(context))[token]
        for context, token in zip(expected, (4, 5, 7, EOS), strict=True)
    )
    assert score == pytest.approx(0.5 * expected)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("most", [0, 32])
def test_the_scorer_keeps_the_context_that_the_model_finds(order, most):
    model = estimate_ngrams(TEXTS, order, VOCABULARY, SOS, EOS, PruneConfig(1, most))
    scorer = NgramScorer(model, 1.0, SOS)
    for text in itertools.product([4, 5, 6, 9], repeat=4):
        state = scorer.initial_state()
        for size, token in enumerate(text, start=1):
            state = scorer.advance(state, token)
            assert state == model.context([SOS, *text[:size]])


def test_damaged_models_are_refused():
    level = estimate_ngrams(TEXTS, 2, VOCABULARY, SOS, EOS).levels
    for keys in (level[1].keys[::-1], level[1].keys + 10**6, level[1].keys[:-1]):
        with pytest.raises(ConfigError, match="level 2 of an n-gram model is damaged"):
            NgramModel((level[0], NgramLevel(keys, level[1].log_probs, level[1].backoffs)))
    with pytest.raises(ConfigError, match="no levels"):
        NgramModel(())
    with pytest.raises(ConfigError, match="needs texts"):
        estimate_ngrams([], 2, VOCABULARY, SOS, EOS)
