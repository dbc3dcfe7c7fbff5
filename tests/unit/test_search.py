import itertools
from dataclasses import replace

import numpy as np
import pytest

from edge_las.config import from_dict
from edge_las.errors import ConfigError
from edge_las.search.beam import beam_search
from edge_las.search.config import BeamConfig
from edge_las.search.ctc import CtcPrefixScorer
from edge_las.search.greedy import greedy_search
from edge_las.search.hypothesis import is_loop
from tests.unit.fake_speller import BLANK, EOS, SOS, UNK, HashedSpeller, TableSpeller
from tests.unit.test_ctc import random_log_probs

WORDS = (4, 5, 6)
EXHAUSTIVE = BeamConfig(beam_size=400, nbest=400, max_tokens=4, stop_margin=1e9)


def every_sequence(max_tokens):
    for length in range(max_tokens + 1):
        yield from itertools.product(WORDS, repeat=length)


@pytest.mark.parametrize("seed", range(20))
def test_a_beam_of_one_is_greedy(seed):
    config = BeamConfig(beam_size=1, max_tokens=30)
    greedy = greedy_search(HashedSpeller(30, seed, frames=40), config)
    (beam,) = beam_search(HashedSpeller(30, seed, frames=40), config)
    assert beam.tokens == greedy.tokens
    assert beam.finished == greedy.finished
    assert beam.score == pytest.approx(greedy.score, abs=1e-5)
    assert beam.token_log_probs == pytest.approx(greedy.token_log_probs)
    assert beam.frames == greedy.frames


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("length_penalty", [0.0, 0.7])
def test_an_unbounded_beam_finds_what_enumeration_finds(seed, length_penalty):
    speller = HashedSpeller(7, seed)
    config = replace(EXHAUSTIVE, length_penalty=length_penalty)
    found = beam_search(speller, config)
    scores = {
        tokens: speller.log_prob((*tokens, EOS)) / (len(tokens) + 1) ** length_penalty
        for tokens in every_sequence(4)
    }
    ranked = sorted(scores, key=lambda tokens: -scores[tokens])
    assert [hypothesis.tokens for hypothesis in found] == ranked
    for hypothesis in found:
        assert hypothesis.score == pytest.approx(scores[hypothesis.tokens], abs=1e-4)
        assert hypothesis.log_prob == pytest.approx(speller.log_prob((*hypothesis.tokens, EOS)), abs=1e-4)
        assert len(hypothesis.token_log_probs) == len(hypothesis.frames) == len(hypothesis.tokens)


@pytest.mark.parametrize("seed", range(5))
def test_joint_scores_find_what_enumeration_finds(seed):
    speller, ctc = HashedSpeller(7, seed), random_log_probs(12, 7, seed)
    weight, bonus = 0.4, 0.3
    config = replace(EXHAUSTIVE, ctc_weight=weight, token_bonus=bonus)

    def score(tokens):
        scorer = CtcPrefixScorer(ctc, BLANK)
        state = scorer.initial_state()
        for token in tokens:
            state = scorer.extend(state, np.array([0]), np.array([token]))
        attention = speller.log_prob((*tokens, EOS))
        return (1 - weight) * attention + weight * scorer.final(state)[0] + bonus * len(tokens)

    scores = {tokens: score(tokens) for tokens in every_sequence(4)}
    found = beam_search(speller, config, ctc)
    assert found[0].tokens == max(scores, key=scores.__getitem__)
    assert len(found) == len(scores)
    for hypothesis in found:
        assert hypothesis.score == pytest.approx(scores[hypothesis.tokens], abs=1e-4)


def test_a_wider_beam_beats_greedy_where_greedy_is_lured_away():
    improvements = 0
    for seed in range(20):
        speller = HashedSpeller(12, seed, sharpness=3.0)
        config = BeamConfig(beam_size=6, max_tokens=12, ctc_weight=0.0)
        greedy, beam = greedy_search(speller, config), beam_search(speller, config)[0]
        assert beam.score >= greedy.score - 1e-6 or not greedy.finished
        improvements += beam.score > greedy.score + 1e-6
    assert improvements >= 5


def test_all_hypotheses_share_one_call_a_step():
    speller = HashedSpeller(30, 3, sharpness=0.5)
    beam_search(speller, BeamConfig(beam_size=4, max_tokens=10))
    assert speller.batch_sizes[0] == 1
    assert len(speller.batch_sizes) <= 11
    assert set(speller.batch_sizes[1:]) == {4}


def test_specials_are_never_spelled():
    log_probs = np.full((3, 8), -9.0, dtype=np.float32)
    log_probs[:, [BLANK, UNK, SOS]] = -0.1
    log_probs[0, 5] = log_probs[1, 6] = log_probs[2, EOS] = -1.0
    assert greedy_search(TableSpeller(log_probs), BeamConfig()).tokens == (5, 6)
    found = beam_search(TableSpeller(log_probs), BeamConfig())
    assert found[0].tokens == (5, 6)
    assert all(min(hypothesis.tokens, default=EOS) >= EOS for hypothesis in found)


def test_max_tokens_cuts_off_and_says_so():
    never_ends = np.full((1, 8), -3.0, dtype=np.float32)
    never_ends[0, EOS] = -30.0
    config = BeamConfig(max_tokens=5)
    greedy = greedy_search(HashedSpeller(8, 0, frames=50), replace(config, eos_id=7, max_tokens=2))
    assert len(greedy.tokens) <= 2
    found = beam_search(TableSpeller(never_ends, np.eye(9)), config)
    assert max(len(hypothesis.tokens) for hypothesis in found) <= 5
    spread = np.full((1, 8), -3.0, dtype=np.float32)
    spread[0, EOS] = -np.inf
    found = beam_search(TableSpeller(spread), config)
    assert all(not hypothesis.finished for hypothesis in found)


def test_length_penalty_and_token_bonus_favour_longer_spellings():
    log_probs = np.log(np.full((4, 6), 0.01, dtype=np.float32))
    log_probs[0, [EOS, 4]] = np.log([0.5, 0.45])
    log_probs[1, 5] = log_probs[2, EOS] = np.log(0.9)
    config = BeamConfig()
    assert beam_search(TableSpeller(log_probs), config)[0].tokens == ()
    assert beam_search(TableSpeller(log_probs), replace(config, length_penalty=1.0))[0].tokens == (4, 5)
    assert beam_search(TableSpeller(log_probs), replace(config, token_bonus=0.5))[0].tokens == (4, 5)


def test_eos_threshold_forbids_an_early_end():
    log_probs = np.log(np.full((4, 6), 0.01, dtype=np.float32))
    log_probs[0, [EOS, 4]] = np.log([0.45, 0.4])
    log_probs[1, EOS] = np.log(0.9)
    config = BeamConfig(ctc_weight=0.0)
    assert beam_search(TableSpeller(log_probs), config)[0].tokens == ()
    strict = replace(config, eos_threshold=0.5)
    assert beam_search(TableSpeller(log_probs), strict)[0].tokens == (4,)


def test_coverage_favours_what_explains_more_frames():
    log_probs = np.log(np.full((3, 6), 0.01, dtype=np.float32))
    log_probs[0, [EOS, 4]] = np.log([0.5, 0.4])
    log_probs[1, EOS] = np.log(0.9)
    speller = TableSpeller(log_probs, np.eye(5))
    assert beam_search(speller, BeamConfig())[0].tokens == ()
    assert beam_search(speller, BeamConfig(coverage_weight=0.5))[0].tokens == (4,)


def stuck_speller(unit, frames):
    """Repeats `unit` for ever, looking at `frames` again and again."""
    rows = np.full((60, 12), -8.0, dtype=np.float32)
    rows[np.arange(60), np.resize(unit, 60)] = -0.01
    return TableSpeller(rows, np.eye(40)[np.resize(frames, 60)])


@pytest.mark.parametrize("unit", [(5,), (5, 6), (5, 6, 7, 8, 9)])
def test_a_loop_is_broken_even_if_the_speller_wants_it(unit):
    speller = stuck_speller(unit, [7 + i for i in range(len(unit))])
    greedy = greedy_search(speller, BeamConfig())
    assert not greedy.finished and len(greedy.tokens) < 3 * len(unit)
    for hypothesis in beam_search(speller, BeamConfig()):
        assert hypothesis.tokens[: 3 * len(unit)] != unit * 3


def test_one_frame_cannot_be_spelled_on_and_on():
    rows = np.full((60, 80), -8.0, dtype=np.float32)
    rows[np.arange(60), 10 + np.arange(60)] = -0.01  # always something new, from the same frame
    speller, config = TableSpeller(rows, np.eye(3)[[1]].repeat(60, axis=0)), BeamConfig(max_frame_attention=8)
    greedy = greedy_search(speller, config)
    assert not greedy.finished and len(greedy.tokens) == 8
    assert max(len(hypothesis.tokens) for hypothesis in beam_search(speller, config)) <= 8


def test_loops_are_told_from_words_said_again():
    assert is_loop((5, 5, 5), (9, 9, 9))
    assert not is_loop((5, 5), (9, 9))
    assert not is_loop((5, 5, 5), (9, 12, 15))
    assert is_loop((4, 5, 6, 5, 6, 5, 6), (1, 7, 8, 7, 8, 7, 8))
    assert not is_loop((4, 5, 6, 7, 4, 5, 6, 7), (1, 3, 4, 6, 9, 12, 13, 15))
    assert is_loop((4, 5, 6, 7, 4, 5, 6, 7), (1, 3, 4, 6, 1, 3, 4, 6))
    assert not is_loop((), ())


class Forbid:
    """A scorer that allows only one sequence and rewards its end."""

    def __init__(self, tokens):
        self.tokens = tokens

    def initial_state(self):
        return 0

    def score(self, state, tokens):
        wanted = (*self.tokens, EOS)[state]
        return np.where(tokens == wanted, 0.0, -np.inf) + (1.0 if wanted == EOS else 0.0)

    def advance(self, state, token):
        assert token == self.tokens[state]
        return state + 1


@pytest.mark.parametrize("use_ctc", [False, True])
def test_scorers_can_add_and_forbid(use_ctc):
    speller = HashedSpeller(7, 1)
    ctc = random_log_probs(10, 7, 1) if use_ctc else None
    found = beam_search(speller, BeamConfig(max_tokens=6), ctc, [Forbid((4, 6, 4))])
    assert [hypothesis.tokens for hypothesis in found] == [(4, 6, 4)]
    if not use_ctc:
        assert found[0].score == pytest.approx(speller.log_prob((4, 6, 4, EOS)) + 1.0, abs=1e-4)


def test_config_is_read_strictly():
    config = from_dict(BeamConfig, {"beam_size": 8, "length_penalty": 1}, "manifest.json", where="search")
    assert (config.beam_size, config.length_penalty) == (8, 1.0)
    with pytest.raises(ConfigError, match=r"manifest\.json: search\.beam_siez is unknown"):
        from_dict(BeamConfig, {"beam_siez": 8}, "manifest.json", where="search")
    with pytest.raises(ConfigError, match="beam_size is 1001, must be at most 1000"):
        BeamConfig(beam_size=1001)
    with pytest.raises(ConfigError, match=r"search\.beam_size is 0, must be at least 1"):
        from_dict(BeamConfig, {"beam_size": 0}, "manifest.json", where="search")
    with pytest.raises(ConfigError, match=r"ctc_weight is 1\.0"):
        BeamConfig(ctc_weight=1.0)
    with pytest.raises(ConfigError, match="stop_margin"):
        BeamConfig(stop_margin=-1.0)
