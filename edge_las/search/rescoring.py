"""Scores of sentences that are given: by Speller, CTC head and scorers together, as the beam would."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_las.search.config import BeamConfig
from edge_las.search.ctc import LOG_PROB_FLOOR, CtcPrefixScorer, DoubleArray
from edge_las.search.fusion import Scorer
from edge_las.search.hypothesis import Hypothesis
from edge_las.search.speller import FloatArray, IntArray, SpellerStep


@dataclass(frozen=True)
class Proposal:
    """A sentence for the Speller to judge.

    ctc_log_prob: the CTC head's, summed over all paths; added: what scorers and bonuses add to its score.
    """

    tokens: tuple[int, ...]
    ctc_log_prob: float
    added: float


def rescore(
    speller: SpellerStep,
    config: BeamConfig,
    ctc_log_probs: FloatArray,
    scorers: Sequence[Scorer],
    sentences: Sequence[Sequence[int]],
    added: Sequence[float] | None = None,
) -> list[Hypothesis]:
    """Score sentences with ends of their own, best first; ctc_log_probs: (T, V).

    Scores are as the beam's, but for its coverage, and for what is added to each.
    """
    heard = ctc_sums(ctc_log_probs, sentences, config.blank_id).tolist()
    proposals = [
        Proposal(
            tuple(sentence),
            log_prob,
            scored(scorers, sentence, config) + len(sentence) * config.token_bonus + more,
        )
        for sentence, log_prob, more in zip(sentences, heard, added or [0.0] * len(sentences), strict=True)
    ]
    return judge_proposals(speller, config, proposals)


def judge_proposals(
    speller: SpellerStep, config: BeamConfig, proposals: Sequence[Proposal]
) -> list[Hypothesis]:
    """Add the Speller's judgement, in one call a step for all proposals; best first."""
    if not proposals:
        return []
    spelled, frames = _spell(speller, config, [proposal.tokens for proposal in proposals])
    hypotheses = []
    for row, proposal in enumerate(proposals):
        size = len(proposal.tokens)
        log_prob = float(spelled[row, : size + 1].sum())
        total = (1.0 - config.ctc_weight) * log_prob + proposal.added
        if config.ctc_weight:
            total += config.ctc_weight * proposal.ctc_log_prob
        hypotheses.append(
            Hypothesis(
                tokens=proposal.tokens,
                score=total / (size + 1) ** config.length_penalty,
                log_prob=log_prob,
                token_log_probs=tuple(spelled[row, :size].tolist()),
                frames=tuple(frames[row, :size].tolist()),
                finished=True,
                ctc_log_prob=proposal.ctc_log_prob,
            )
        )
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)


def _spell(
    speller: SpellerStep, config: BeamConfig, sentences: Sequence[Sequence[int]]
) -> tuple[DoubleArray, IntArray]:
    """Give the Speller's log prob of each token and of <eos>, what follows being void, and its frame."""
    longest = max(map(len, sentences))
    # Engines take tokens of 64 bits, which numpy does not make by itself on a 32-bit board.
    asked = np.full((len(sentences), longest + 1), config.eos_id, dtype=np.int64)
    for row, sentence in enumerate(sentences):
        asked[row, : len(sentence)] = sentence
    state = speller.initial_state()
    state = {name: np.repeat(array, len(sentences), axis=0) for name, array in state.items()}
    last = np.full(len(sentences), config.sos_id, dtype=np.int64)
    spelled, frames = np.empty(asked.shape), np.empty(asked.shape, dtype=np.int64)
    for step in range(longest + 1):
        log_probs, state = speller.step(last, state)
        last = asked[:, step]
        spelled[:, step] = log_probs[np.arange(len(sentences)), last]
        alignment = state.get("alignment")
        frames[:, step] = step if alignment is None else alignment.argmax(axis=1)
    return spelled, frames


def ctc_sums(log_probs: FloatArray, sentences: Sequence[Sequence[int]], blank_id: int) -> DoubleArray:
    """Give the CTC log prob of each sentence, summed over all paths of log probs (T, V).

    Where that is too small for plain probabilities, logarithms find it, which takes five times as long.
    """
    totals = _scaled_ctc_sums(log_probs, sentences, blank_id)
    lost = np.flatnonzero(~np.isfinite(totals))
    if lost.size:
        totals[lost] = _log_ctc_sums(log_probs, [sentences[row] for row in lost.tolist()], blank_id)
    return totals


def _scaled_ctc_sums(log_probs: FloatArray, sentences: Sequence[Sequence[int]], blank_id: int) -> DoubleArray:
    """Give the same, -inf where it underflows.

    Source: Graves et al. 2006, section 4.1, the forward variables rescaled at each frame.
    """
    lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
    labels = np.full((len(sentences), 2 * lengths.max(initial=0) + 1), blank_id)
    for row, sentence in enumerate(sentences):
        labels[row, 1 : 2 * len(sentence) : 2] = sentence
    # A blank may be left out between two tokens that differ.
    skips = np.zeros(labels.shape)
    skips[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    # Two columns before the first, where no path is.
    paths = np.zeros((labels.shape[0], labels.shape[1] + 2))
    paths[:, 2] = 1.0
    totals = np.zeros(len(sentences))
    first = np.zeros_like(paths)
    first[:, 2:4] = 1.0
    for frame, probs in enumerate(np.exp(np.maximum(log_probs, LOG_PROB_FLOOR).astype(np.float64))):
        arrived = paths[:, 2:] + paths[:, 1:-1] + paths[:, :-2] * skips if frame else first[:, 2:]
        arrived = arrived * probs[labels]
        scale = arrived.sum(axis=1)
        scale[scale == 0.0] = 1.0
        paths[:, 2:] = arrived / scale[:, None]
        totals += np.log(scale)
    rows = np.arange(len(sentences))
    ended = paths[rows, 2 + 2 * lengths] + np.where(lengths > 0, paths[rows, 1 + 2 * lengths], 0.0)
    with np.errstate(divide="ignore"):
        result: DoubleArray = totals + np.log(ended)
    return result


def _log_ctc_sums(log_probs: FloatArray, sentences: Sequence[Sequence[int]], blank_id: int) -> DoubleArray:
    scorer = CtcPrefixScorer(log_probs, blank_id)
    state, rows = scorer.initial_state(), np.zeros(len(sentences), dtype=np.int64)
    totals = np.full(len(sentences), float(scorer.final(state)[0]))
    for step in range(max(map(len, sentences), default=0)):
        # One that has ended goes on with blanks; nobody looks at it any more.
        tokens = np.array([(*sentence, blank_id)[min(step, len(sentence))] for sentence in sentences])
        state = scorer.extend(state, rows, tokens)
        rows = np.arange(len(sentences))
        ending = [row for row, sentence in enumerate(sentences) if len(sentence) == step + 1]
        totals[ending] = scorer.final(state)[ending]
    return totals


def scored(scorers: Sequence[Scorer], sentence: Sequence[int], config: BeamConfig) -> float:
    total = 0.0
    for scorer in scorers:
        state = scorer.initial_state()
        for token in sentence:
            total += float(scorer.score(state, np.array([token]))[0])
            state = scorer.advance(state, token)
        total += float(scorer.score(state, np.array([config.eos_id]))[0])
    return total
