import gc
import itertools

import numpy as np
import pytest
from fake_speller import EOS, HashedSpeller

from edge_las.ngram_estimate import estimate_ngrams
from edge_las.search import prefix_search
from edge_las.search.config import BeamConfig
from edge_las.search.ngram import NgramScorer
from edge_las.search.prefix_search import PrefixSearch
from edge_las.search.rescoring import judge_proposals, rescore

VOCABULARY, BLANK, SOS = 7, 0, 2
LABELS = range(EOS + 1, VOCABULARY)
EVERYTHING = BeamConfig(prefixes=1000, ctc_weight=0.4)


@pytest.fixture
def nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the search exact: it keeps what is far behind."""
    for name in ("_TOKEN_MARGIN", "_PREFIX_MARGIN"):
        monkeypatch.setattr(prefix_search, name, 100.0)


def random_log_probs(frames: int, seed: int, sharpness: float = 1.0) -> np.ndarray:
    logits = sharpness * np.random.default_rng(seed).standard_normal((frames, VOCABULARY))
    logits[:, 1 : EOS + 1] = -30.0
    return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)


def path_sums(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Sum up the paths that spell each text."""
    sums: dict[tuple[int, ...], float] = {}
    for path in itertools.product([BLANK, *LABELS], repeat=len(log_probs)):
        spelled = tuple(token for token, _ in itertools.groupby(path) if token != BLANK)
        score = sum(float(row[token]) for row, token in zip(log_probs, path, strict=True))
        sums[spelled] = float(np.logaddexp(sums.get(spelled, -np.inf), score))
    return sums


def language_model(weight: float = 0.5) -> NgramScorer:
    texts = [[4, 5, 4], [4, 5, 5, 6], [6, 4, 5], [5]]
    return NgramScorer(estimate_ngrams(texts, 3, VOCABULARY, SOS, EOS), weight, SOS)


class Never:
    """Forbids a token, and ends before there are two."""

    def __init__(self, token: int) -> None:
        self.token = token

    def initial_state(self) -> int:
        return 0

    def score(self, state, tokens):
        return np.where((tokens == self.token) | ((tokens == EOS) & (state < 2)), -np.inf, 0.0)

    def advance(self, state, token):
        return state + 1


class Fond(Never):
    """Gives a nat for each 5."""

    def __init__(self) -> None:
        super().__init__(5)

    def score(self, state, tokens):
        return np.where(tokens == self.token, 1.0, 0.0)


def searched(config: BeamConfig, scorers, log_probs: np.ndarray, others=()) -> PrefixSearch:
    search = PrefixSearch(config, VOCABULARY, scorers, others)
    search.accept(log_probs)
    return search


@pytest.mark.parametrize("seed", range(4))
def test_with_room_for_all_it_sums_over_all_paths(seed: int, nothing_is_given_up: None) -> None:
    log_probs = random_log_probs(5, seed)
    sums = path_sums(log_probs)
    found = searched(EVERYTHING, [], log_probs).proposals(1000)
    assert len(found) > 100
    for proposal in found:
        assert proposal.ctc_log_prob == pytest.approx(sums[proposal.tokens], abs=1e-4)
        assert proposal.added == 0.0
    ranked = sorted(sums, key=lambda tokens: -sums[tokens])
    assert [proposal.tokens for proposal in found[:20]] == ranked[:20]


def test_scorers_and_bonus_weigh_as_in_rescoring(nothing_is_given_up: None) -> None:
    config, log_probs = BeamConfig(prefixes=1000, ctc_weight=0.4, token_bonus=0.3), random_log_probs(5, 7)
    speller, scorers = HashedSpeller(VOCABULARY, seed=3), [language_model(), Fond()]
    proposals = [
        item for item in searched(config, scorers[:1], log_probs, scorers[1:]).proposals(30) if item.tokens
    ]
    found = judge_proposals(speller, config, proposals)
    again = rescore(speller, config, log_probs, scorers, [proposal.tokens for proposal in proposals])
    assert [item.tokens for item in found] == [item.tokens for item in again]
    for one, other in zip(found, again, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert one.ctc_log_prob == pytest.approx(other.ctc_log_prob, abs=1e-4)


def test_only_language_models_weigh_more_before_the_speller_is_asked(nothing_is_given_up: None) -> None:
    config, log_probs = BeamConfig(prefixes=1000, ctc_weight=0.4), random_log_probs(5, 7)
    for models, others, scale in (([Fond()], [], 1 / 0.4), ([], [Fond()], 1.0)):
        found = searched(config, models, log_probs, others).proposals(1000)
        assert all(item.added == item.tokens.count(5) for item in found)
        ranks = [item.ctc_log_prob + scale * item.added for item in found]
        assert ranks == sorted(ranks, reverse=True) and ranks != sorted(ranks)


def test_a_language_model_leads_to_what_is_less_likely_by_sound() -> None:
    log_probs = np.full((5, VOCABULARY), -9.0, dtype=np.float32)
    log_probs[[1, 3], BLANK] = -0.01
    log_probs[0, 4] = log_probs[2, 5] = -0.01
    log_probs[4, [4, 6]] = -0.9, -0.6
    narrow = BeamConfig(prefixes=3, ctc_weight=0.5)
    assert searched(narrow, [], log_probs).proposals(1)[0].tokens == (4, 5, 6)
    assert searched(narrow, [language_model()], log_probs).proposals(1)[0].tokens == (4, 5, 4)


@pytest.mark.parametrize("sizes", [[1], [3, 5], [40]])
def test_frames_may_come_in_any_portions(sizes: list[int]) -> None:
    log_probs, config = random_log_probs(40, 5, 3.0), BeamConfig(prefixes=6, ctc_weight=0.4)
    whole = searched(config, [language_model()], log_probs).proposals(4)
    search = PrefixSearch(config, VOCABULARY, [language_model()])
    for size in itertools.cycle(sizes):
        if search.frames == len(log_probs):
            break
        search.accept(log_probs[search.frames : search.frames + size])
    assert search.proposals(4) == whole
    assert len({proposal.tokens for proposal in whole}) == 4


def test_a_fork_leaves_the_search_as_it_was() -> None:
    log_probs, config = random_log_probs(30, 6, 3.0), BeamConfig(prefixes=6, ctc_weight=0.4)
    search = searched(config, [language_model()], log_probs[:12])
    ahead = search.fork()
    ahead.accept(random_log_probs(9, 8, 3.0))
    assert (search.frames, ahead.frames) == (12, 21)
    search.accept(log_probs[12:])
    assert search.proposals(4) == searched(config, [language_model()], log_probs).proposals(4)


def test_what_a_scorer_forbids_is_never_proposed() -> None:
    log_probs = random_log_probs(6, 2)
    found = searched(EVERYTHING, [], log_probs, [Never(5)]).proposals(1000)
    allowed = [item for item in found if item.added > -np.inf]
    assert allowed and all(len(item.tokens) >= 2 and 5 not in item.tokens for item in allowed)
    assert all(item.added == -np.inf for item in found[len(allowed) :])


def test_long_silence_and_no_frames_propose_nothing_said() -> None:
    silence = np.full((3000, VOCABULARY), -40.0, dtype=np.float32)
    silence[:, BLANK] = -0.5
    search = searched(BeamConfig(), [language_model()], silence)
    (nothing,) = search.proposals(4)
    assert nothing.tokens == () and nothing.ctc_log_prob == pytest.approx(-1500.0, rel=1e-4)
    (nothing,) = searched(BeamConfig(), [], silence[:0]).proposals(4)
    assert (nothing.tokens, nothing.ctc_log_prob) == ((), 0.0)


@pytest.mark.parametrize("only", [BLANK, 1, SOS, EOS])
def test_a_table_without_letters_and_specials_alone_say_nothing(only: int) -> None:
    frames = np.full((20, 4), -40.0, dtype=np.float32)
    frames[:, only] = 0.0
    search = PrefixSearch(BeamConfig(), 4, [])
    search.accept(frames)
    assert [proposal.tokens for proposal in search.proposals(4)] == [()]


def test_a_letter_is_heard_through_unknown_ones() -> None:
    frames = np.full((20, VOCABULARY), -np.inf, dtype=np.float32)
    frames[::2, 5] = frames[1::2, 1] = 0.0
    assert [proposal.tokens for proposal in searched(BeamConfig(), [], frames).proposals(4)] == [(5,)]


def test_a_frame_that_nothing_passes_is_passed_over() -> None:
    log_probs = random_log_probs(6, 4)
    log_probs[3] = -np.inf
    assert searched(BeamConfig(), [], log_probs).proposals(1)[0].tokens


def test_what_a_search_held_is_given_back_without_looking_for_circles() -> None:
    def prefixes() -> int:
        return sum(isinstance(thing, prefix_search._Prefix) for thing in gc.get_objects())

    gc.collect()
    before = prefixes()
    gc.disable()
    try:
        search = PrefixSearch(EVERYTHING, VOCABULARY, [language_model()])
        search.accept(random_log_probs(12, seed=1))
        assert prefixes() > before + 12
        del search
        assert prefixes() == before
    finally:
        gc.enable()
