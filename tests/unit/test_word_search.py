import itertools

import numpy as np
import pytest

from edge_las.errors import ConfigError
from edge_las.lexicon import PHONES, SILENCE, Lexicon
from edge_las.ngram_estimate import estimate
from edge_las.ngram_prune import PruneConfig
from edge_las.search.config import BeamConfig, WordConfig
from edge_las.search.phones import phone_scores
from edge_las.search.word_fusion import WordJudge, rank
from edge_las.search.word_ngrams import WordNgrams
from edge_las.search.word_search import Said, Vocabulary, WordSearch
from edge_las.search.word_tree import make_word_tree
from edge_las.tokens import TokenTable
from edge_las.word_table import WordTable

LEXICON = Lexicon("a AH\na EY\nbus B AH S\nbuses B AH S AH Z\nsea S IY\nsee S IY\nstop S T AA P")
TABLE = WordTable(LEXICON.words())
SENTENCES = ["see a bus", "see a bus stop", "stop a bus", "a sea", "buses stop", "see buses"]
MODEL = estimate(SENTENCES, 3, TABLE)
VOCABULARY = Vocabulary(TABLE, make_word_tree(*LEXICON.table()), WordNgrams(MODEL))
LETTERS = TokenTable.characters()


def log_probs(frames: int, seed: int = 0) -> np.ndarray:
    logits = 3.0 * np.random.default_rng(seed).standard_normal((frames, len(PHONES)))
    return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)


def found(frames: np.ndarray, weight: float = 1.0, beam: int = 10_000, count: int = 50) -> list[Said]:
    search = WordSearch(VOCABULARY, beam, weight)
    search.accept(frames)
    return search.proposals(count)


def test_a_lexicon_lists_its_words_and_tables_how_they_are_said() -> None:
    words, (numbers, phones) = list(LEXICON.words()), LEXICON.table()
    assert words == ["a", "bus", "buses", "sea", "see", "stop"]
    assert phones.shape == (7, 5)
    for number, row in zip(numbers, phones, strict=True):
        assert tuple(row[row > 0].tolist()) in LEXICON.pronunciations(words[number])
    assert numbers.tolist() == [0, 0, 1, 2, 3, 4, 5]


def test_words_that_begin_alike_share_the_beginning_of_the_tree() -> None:
    tree = VOCABULARY.tree
    prefixes = {
        way[: n + 1]
        for word in LEXICON.words()
        for way in LEXICON.pronunciations(word)
        for n in range(len(way))
    }
    assert tree.size == 1 + len(prefixes) + 1 and tree.phones[tree.silence] == SILENCE

    def walk(node: int, said: tuple[int, ...]) -> set[tuple[tuple[int, ...], int]]:
        ends = {(said, int(word)) for word in tree.words[tree.first_words[node] : tree.first_words[node + 1]]}
        for child in range(tree.first_children[node], tree.first_children[node + 1]):
            ends |= walk(child, (*said, int(tree.phones[child])))
        return ends

    words = list(LEXICON.words())
    assert walk(0, ()) == {
        (way, number) for number, word in enumerate(words) for way in LEXICON.pronunciations(word)
    }


def test_a_node_expects_the_likeliest_word_below_it() -> None:
    tree, values = VOCABULARY.tree, np.arange(6, dtype=np.float32)

    def most(node: int) -> float:
        own = [float(values[w]) for w in tree.words[tree.first_words[node] : tree.first_words[node + 1]]]
        below = [most(child) for child in range(tree.first_children[node], tree.first_children[node + 1])]
        return max(own + below)

    assert tree.most_below(values)[:-1].tolist() == [most(node) for node in range(tree.silence)]


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("most", [0, 12])
def test_many_contexts_at_once_are_what_the_model_says_of_each(order: int, most: int) -> None:
    model = estimate(SENTENCES, order, TABLE, PruneConfig(most=most, whole=1))
    ngrams = WordNgrams(model)
    for sentence in [*SENTENCES, "stop stop see", "a a a"]:
        context, state = (), np.array([TABLE.sos_id])
        context = model.context([TABLE.sos_id])
        for word in [*TABLE.encode(sentence), TABLE.eos_id]:
            log_prob, state = ngrams.advance(state, np.array([word]))
            assert log_prob[0] == pytest.approx(model.log_probs(context)[word], abs=1e-5)
            context = model.extend(context, word)


@pytest.mark.parametrize("seed", range(4))
def test_words_that_are_favoured_are_found_first_and_worth_what_they_were(seed: int) -> None:
    buses, new = TABLE.encode("buses")[0], len(TABLE)
    frames, table, weight = log_probs(7, seed), TABLE.with_words(["say"]), 1.3
    numbers, said = LEXICON.table()
    say = np.zeros((1, said.shape[1]), np.uint8)
    say[0, :2] = [PHONES.index("S"), PHONES.index("EY")]
    tree = make_word_tree(np.append(numbers, np.int32(new - table.first_id)), np.concatenate([said, say]))
    favours = {buses: 3.0, new: 2.5}
    vocabulary = Vocabulary(table, tree, WordNgrams(MODEL), favours)
    lexicon = Lexicon(f"{LEXICON}say S EY")
    words = list(table.pieces)[table.first_id :]
    sentences = [" ".join(s) for n in range(1, 4) for s in itertools.product(words, repeat=n)]
    encoded = [table.encode(sentence) for sentence in sentences]
    log_prob, phones = vocabulary.log_probs(encoded), phone_scores(lexicon, frames, sentences)
    favoured = [log_prob[n] + sum(favours.get(word, 0.0) for word in row) for n, row in enumerate(encoded)]
    totals = phones + weight * np.array(favoured)
    search = WordSearch(vocabulary, 10_000, weight)
    search.accept(frames)
    first, best = search.proposals(5)[0], int(np.argmax(totals))
    assert first.text == sentences[best]
    assert first.word_log_prob == pytest.approx(log_prob[best], abs=1e-4)
    assert first.phone_log_prob == pytest.approx(phones[best], abs=1e-3)
    rare = WordNgrams(MODEL).single[TABLE.first_id :].min()
    assert vocabulary.log_probs([[new]])[0] == pytest.approx(
        rare + WordNgrams(MODEL).advance(np.array([TABLE.unk_id]), np.array([TABLE.eos_id]))[0][0], abs=1e-5
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("weight", [1.0, 1.7])
def test_the_best_sentence_is_that_of_all_sentences(seed: int, weight: float) -> None:
    frames = log_probs(9, seed)
    sentences = [" ".join(s) for n in range(1, 5) for s in itertools.product(list(LEXICON.words()), repeat=n)]
    phones = phone_scores(LEXICON, frames, sentences)
    totals = [
        p + weight * w
        for p, w in zip(phones, VOCABULARY.log_probs([TABLE.encode(s) for s in sentences]), strict=True)
    ]
    best = int(np.argmax(totals))
    said = found(frames, weight)
    first = said[0]
    assert first.phone_log_prob + weight * first.word_log_prob == pytest.approx(totals[best], abs=1e-3)
    assert first.text == sentences[best]
    assert first.word_log_prob == pytest.approx(VOCABULARY.log_probs([TABLE.encode(first.text)])[0], abs=1e-4)
    # The rest follow in order, each once, none better than its best way.
    scores = [item.phone_log_prob + weight * item.word_log_prob for item in said]
    assert scores == sorted(scores, reverse=True) and len({item.text for item in said}) == len(said) > 5
    for item in said:
        assert item.phone_log_prob <= phone_scores(LEXICON, frames, [item.text])[0] + 1e-3


def test_frames_may_come_in_any_pieces_and_a_fork_goes_its_own_way() -> None:
    frames = log_probs(12, 7)
    whole = found(frames)
    search = WordSearch(VOCABULARY, 10_000, 1.0)
    search.accept(frames[:5])
    early = search.proposals(3)
    twin = search.fork()
    twin.accept(log_probs(4, 8))
    twin.proposals(10)
    for frame in frames[5:]:
        search.accept(frame[None])
    assert search.proposals(50) == whole and early != whole[:3]


def test_where_no_word_can_have_ended_there_is_no_sentence() -> None:
    frames = np.full((2, len(PHONES)), -40.0, np.float32)
    frames[:, PHONES.index("T")] = 0.0
    assert found(frames) == []
    assert found(frames[:0]) == []


def test_a_narrow_beam_still_finds_what_is_clear() -> None:
    names = ["SIL", "S", "IY", "EY", "B", "AH", "S", "SIL"]
    frames = np.full((len(names), len(PHONES)), -8.0, np.float32)
    frames[np.arange(len(names)), [PHONES.index(name) for name in names]] = -0.02
    assert found(frames, beam=20, count=1)[0].text == "see a bus"


def test_texts_of_letters_and_words_are_weighed_alike() -> None:
    frames, ctc = log_probs(10, 3), np.log(np.full((10, len(LETTERS)), 1 / len(LETTERS), np.float32))
    judge = WordJudge(VOCABULARY, LEXICON, LETTERS)
    said = found(frames)[:2]
    spelled = [tuple(LETTERS.encode(text)) for text in (said[0].text, "see a buz", "")]
    evidence = judge.evidence(ctc, frames, spelled, said)
    assert [LETTERS.decode(item.tokens) for item in evidence] == [said[0].text, said[1].text, "see a buz", ""]
    by_words, unknown, nothing = evidence[0].values, evidence[2].values, evidence[3].values
    assert by_words[0] == said[0].phone_log_prob and by_words[1] == said[0].word_log_prob
    assert by_words[2:] == (len(evidence[0].tokens), len(said[0].text.split()), 0)
    # Any phones will do for a word that nobody knows, which costs elsewhere.
    assert unknown[0] >= phone_scores(LEXICON, frames, ["see a bus"])[0] and unknown[2:] == (10, 3, 1)
    assert nothing[2:] == (0, 0, 0) and np.isfinite(nothing).all()


def test_the_best_text_comes_first_and_hotwords_have_a_say() -> None:
    class Hot:
        def initial_state(self) -> None:
            return None

        def score(self, state: None, tokens: np.ndarray) -> np.ndarray:
            return np.where(tokens == LETTERS.encode("bus")[1], 50.0, 0.0)

        def advance(self, state: None, token: int) -> None:
            return None

    frames, ctc = log_probs(10, 3), np.log(np.full((10, len(LETTERS)), 1 / len(LETTERS), np.float32))
    evidence = WordJudge(VOCABULARY, LEXICON, LETTERS).evidence(ctc, frames, [], found(frames))
    config, search = WordConfig(), BeamConfig(ctc_weight=0.5)
    ranked = rank(config, search, evidence)
    scores = [item.ctc_log_prob + item.added for item in ranked]
    assert scores == sorted(scores, reverse=True)
    values = {item.tokens: item.values for item in evidence}
    assert ranked[0].added == pytest.approx(np.dot(config.weights, values[ranked[0].tokens]))
    assert LETTERS.decode(rank(config, search, evidence, [Hot()])[0].tokens).count("b") == max(
        LETTERS.decode(item.tokens).count("b") for item in ranked
    )


@pytest.mark.parametrize(
    "wrong", [{"word_beam": -1}, {"word_proposals": 0}, {"word_model": -0.1}, {"word_count": float("nan")}]
)
def test_weights_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        WordConfig(**wrong)
