"""Scores of sentences that are given: by Speller, CTC head and scorers together, as the beam would."""

from collections.abc import Sequence

import numpy as np

from edge_las.search.config import BeamConfig
from edge_las.search.ctc import CtcPrefixScorer, DoubleArray
from edge_las.search.fusion import Scorer
from edge_las.search.hypothesis import Hypothesis
from edge_las.search.speller import FloatArray, IntArray, SpellerStep


def rescore(
    speller: SpellerStep,
    config: BeamConfig,
    ctc_log_probs: FloatArray,
    scorers: Sequence[Scorer],
    sentences: Sequence[Sequence[int]],
) -> list[Hypothesis]:
    """Spell sentences with ends of their own, all in one Speller call a step; best first.

    ctc_log_probs: (T, V). Scores are as the beam's, but for its coverage.
    """
    if not sentences:
        return []
    spelled, frames = _spell(speller, config, sentences)
    log_probs = np.nansum(spelled, axis=1)
    totals = (1.0 - config.ctc_weight) * log_probs
    if config.ctc_weight:
        totals += config.ctc_weight * ctc_sums(ctc_log_probs, sentences, config.blank_id)
    hypotheses = []
    for row, sentence in enumerate(sentences):
        size = len(sentence)
        total = totals[row] + _scored(scorers, sentence, config.eos_id) + size * config.token_bonus
        hypotheses.append(
            Hypothesis(
                tokens=tuple(sentence),
                score=float(total) / (size + 1) ** config.length_penalty,
                log_prob=float(log_probs[row]),
                token_log_probs=tuple(spelled[row, :size].tolist()),
                frames=tuple(frames[row, :size].tolist()),
                finished=True,
            )
        )
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)


def _spell(
    speller: SpellerStep, config: BeamConfig, sentences: Sequence[Sequence[int]]
) -> tuple[DoubleArray, IntArray]:
    """Give the Speller's log prob of each token, <eos> last and NaN after it, and the frame it looked at."""
    longest = max(map(len, sentences))
    asked = np.full((len(sentences), longest + 1), config.eos_id)
    for row, sentence in enumerate(sentences):
        asked[row, : len(sentence)] = sentence
    state = speller.initial_state()
    state = {name: np.repeat(array, len(sentences), axis=0) for name, array in state.items()}
    last = np.full(len(sentences), config.sos_id)
    spelled, frames = np.empty(asked.shape), np.empty(asked.shape, dtype=np.int64)
    for step in range(longest + 1):
        log_probs, state = speller.step(last, state)
        last = asked[:, step]
        spelled[:, step] = log_probs[np.arange(len(sentences)), last]
        alignment = state.get("alignment")
        frames[:, step] = step if alignment is None else alignment.argmax(axis=1)
    for row, sentence in enumerate(sentences):
        spelled[row, len(sentence) + 1 :] = np.nan
    return spelled, frames


def ctc_sums(log_probs: FloatArray, sentences: Sequence[Sequence[int]], blank_id: int) -> DoubleArray:
    """Give the CTC log prob of each sentence, summed over all paths of log probs (T, V)."""
    scorer = CtcPrefixScorer(log_probs, blank_id)
    state, rows = scorer.initial_state(), np.zeros(len(sentences), dtype=np.int64)
    totals = np.full(len(sentences), float(scorer.final(state)[0]))
    for step in range(max(map(len, sentences), default=0)):
        # One that has ended goes on with its last token; nobody looks at it any more.
        tokens = np.array([sentence[min(step, len(sentence) - 1)] for sentence in sentences])
        state = scorer.extend(state, rows, tokens)
        rows = np.arange(len(sentences))
        ending = [row for row, sentence in enumerate(sentences) if len(sentence) == step + 1]
        totals[ending] = scorer.final(state)[ending]
    return totals


def _scored(scorers: Sequence[Scorer], sentence: Sequence[int], eos_id: int) -> float:
    total = 0.0
    for scorer in scorers:
        state = scorer.initial_state()
        for token in sentence:
            total += float(scorer.score(state, np.array([token]))[0])
            state = scorer.advance(state, token)
        total += float(scorer.score(state, np.array([eos_id]))[0])
    return total
