import itertools

import numpy as np
import pytest

from edge_las.search.ctc import CtcPrefixScorer, ctc_align, ctc_greedy

BLANK = 0


def random_log_probs(frames, vocabulary, seed=0, sharpness=1.5):
    logits = sharpness * np.random.default_rng(seed).standard_normal((frames, vocabulary))
    return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)


def collapse(path):
    return tuple(token for token, _ in itertools.groupby(path) if token != BLANK)


def brute_force(log_probs):
    """Log prob of every label sequence: the sum over all paths that collapse to it."""
    frames, vocabulary = log_probs.shape
    totals = {}
    for path in itertools.product(range(vocabulary), repeat=frames):
        log_prob = sum(float(log_probs[t, token]) for t, token in enumerate(path))
        labels = collapse(path)
        totals[labels] = np.logaddexp(totals.get(labels, -np.inf), log_prob)
    return totals


def scored(log_probs, tokens):
    """Prefix log prob and final log prob of `tokens`, token by token."""
    scorer = CtcPrefixScorer(log_probs, BLANK)
    state, prefix = scorer.initial_state(), np.zeros(1)
    for token in tokens:
        row, token = np.array([0]), np.array([token])
        prefix, state = scorer.score(state, row, token), scorer.extend(state, row, token)
    return prefix[0], scorer.final(state)[0]


@pytest.mark.parametrize("seed", range(3))
def test_prefix_and_final_scores_equal_sums_over_all_paths(seed):
    log_probs = random_log_probs(6, 4, seed)
    totals = brute_force(log_probs)
    for length in range(5):
        for tokens in itertools.product((1, 2, 3), repeat=length):
            prefix, final = scored(log_probs, tokens)
            begins = [value for labels, value in totals.items() if labels[:length] == tokens]
            assert prefix == pytest.approx(np.logaddexp.reduce(begins), abs=1e-5)
            assert final == pytest.approx(totals.get(tokens, -np.inf), abs=1e-5)


def test_batched_extension_equals_single():
    log_probs = random_log_probs(40, 20, 1)
    scorer = CtcPrefixScorer(log_probs, BLANK)
    rows, tokens = np.zeros(6, dtype=int), np.array([3, 4, 5, 6, 7, 8])
    first = scorer.extend(scorer.initial_state(), rows, tokens)
    parents, nexts = np.array([5, 0, 0, 2]), np.array([8, 3, 4, 9])
    scores, states = scorer.score(first, parents, nexts), scorer.extend(first, parents, nexts)
    for index, (parent, token) in enumerate(zip(parents, nexts, strict=True)):
        alone = np.array([parent]), np.array([token])
        assert scorer.score(first, *alone)[0] == pytest.approx(scores[index], rel=1e-12)
        np.testing.assert_array_equal(scorer.extend(first, *alone).blank[0], states.blank[index])


def test_long_utterances_keep_their_precision():
    log_probs = random_log_probs(1500, 5, 2, sharpness=4.0)
    tokens, _, _ = ctc_greedy(log_probs, BLANK)
    fast = scored(log_probs, tokens[:30])[0]
    assert fast == pytest.approx(slow_prefix_score(log_probs, tokens[:30]), rel=1e-9)


def slow_prefix_score(log_probs, tokens):
    """The recurrence of Watanabe et al. 2017, frame by frame."""
    x = log_probs.astype(np.float64)
    frames = len(x)
    nonblank, blank = np.full(frames, -np.inf), np.cumsum(x[:, BLANK])
    last = None
    for token in tokens:
        next_nonblank, next_blank = np.full(frames, -np.inf), np.full(frames, -np.inf)
        next_nonblank[0] = x[0, token] if last is None else -np.inf
        prefix = next_nonblank[0]
        for t in range(1, frames):
            phi = blank[t - 1] if token == last else np.logaddexp(blank[t - 1], nonblank[t - 1])
            next_nonblank[t] = np.logaddexp(next_nonblank[t - 1], phi) + x[t, token]
            next_blank[t] = np.logaddexp(next_nonblank[t - 1], next_blank[t - 1]) + x[t, BLANK]
            prefix = np.logaddexp(prefix, phi + x[t, token])
        nonblank, blank, last = next_nonblank, next_blank, token
    return prefix


def test_impossible_tokens_and_no_frames_do_no_harm():
    log_probs = random_log_probs(5, 3)
    log_probs[:, 2] = -np.inf
    prefix, final = scored(log_probs, (2,))
    assert prefix < -50 and final < -50
    empty = np.zeros((0, 3), dtype=np.float32)
    assert scored(empty, (1,)) == (-np.inf, -np.inf)
    assert scored(empty, ())[1] == 0.0


def path_log_probs(path, vocabulary=6):
    log_probs = np.full((len(path), vocabulary), np.log(0.1 / (vocabulary - 1)), dtype=np.float32)
    log_probs[np.arange(len(path)), path] = np.log(0.9)
    return log_probs


def test_greedy_collapses_repeats_and_blanks():
    tokens, frames, log_probs = ctc_greedy(path_log_probs([0, 3, 3, 0, 3, 4, 0]), BLANK)
    assert tokens == [3, 3, 4]
    assert frames == [1, 4, 5]
    assert log_probs == pytest.approx([np.log(0.9)] * 3)
    assert ctc_greedy(np.zeros((0, 3), dtype=np.float32), BLANK) == ([], [], [])


def test_alignment_finds_the_frames_of_each_token():
    log_probs = path_log_probs([0, 3, 3, 0, 3, 4, 0, 0])
    assert ctc_align(log_probs, (3, 3, 4), BLANK) == [(1, 2), (4, 4), (5, 5)]


@pytest.mark.parametrize("tokens", [(1,), (1, 2), (2, 2), (1, 2, 1)])
def test_alignment_is_the_best_of_all_paths(tokens):
    log_probs = random_log_probs(7, 3, 5)
    best = max(
        (path for path in itertools.product(range(3), repeat=7) if collapse(path) == tokens),
        key=lambda path: sum(float(log_probs[t, token]) for t, token in enumerate(path)),
    )
    spans = ctc_align(log_probs, tokens, BLANK)
    rebuilt = [BLANK] * 7
    for token, (first, last) in zip(tokens, spans, strict=True):
        rebuilt[first : last + 1] = [token] * (last + 1 - first)
    assert tuple(rebuilt) == best


def test_alignment_of_too_few_frames_is_none():
    log_probs = random_log_probs(3, 3)
    assert ctc_align(log_probs, (1, 1), BLANK) == [(0, 0), (2, 2)]
    assert ctc_align(log_probs, (1, 1, 1), BLANK) is None
    assert ctc_align(log_probs, (), BLANK) is None
