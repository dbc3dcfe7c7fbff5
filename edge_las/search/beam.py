"""Beam search: all hypotheses in one Speller call a step, joint CTC/attention scores, pluggable scorers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_las.search.beam_state import NO_PREFIXES, Candidates, Live, Step, top_tokens
from edge_las.search.config import BeamConfig
from edge_las.search.ctc import CtcPrefixScorer, DoubleArray
from edge_las.search.fusion import Scorer
from edge_las.search.hypothesis import Hypothesis, is_loop
from edge_las.search.speller import FloatArray, SpellerStep, select_rows

# The CTC head may speak only for tokens that the Speller puts this high: with two (a beam of one), 8 % of
# digits were lost that both together got right.
_FEWEST_CANDIDATES = 12


def beam_search(
    speller: SpellerStep,
    config: BeamConfig,
    ctc_log_probs: FloatArray | None = None,
    scorers: Sequence[Scorer] = (),
) -> list[Hypothesis]:
    """Spell one utterance; return at most config.nbest hypotheses, best first, and always at least one.

    ctc_log_probs is (T, V). With neither it nor scorers, a beam of one is greedy search.
    """
    if ctc_log_probs is None or config.ctc_weight == 0.0 or not len(ctc_log_probs):
        return _BeamSearch(speller, config, None, scorers).run()
    ctc = CtcPrefixScorer(ctc_log_probs, config.blank_id)
    return _BeamSearch(speller, config, ctc, scorers).run()


class _BeamSearch:
    def __init__(
        self,
        speller: SpellerStep,
        config: BeamConfig,
        ctc: CtcPrefixScorer | None,
        scorers: Sequence[Scorer],
    ) -> None:
        self._speller = speller
        self._config = config
        self._ctc = ctc
        self._ctc_weight = config.ctc_weight if ctc else 0.0
        self._scorers = scorers
        self._finished: list[Hypothesis] = []
        self._num_finished = 0
        self._best_finished_total = -np.inf

    def run(self) -> list[Hypothesis]:
        live = self._begin()
        for length in range(self._config.max_tokens + 1):
            step = self._step(live)
            candidates = self._candidates(live, step)
            self._finish(live, step, candidates)
            kept = self._survivors(live, step, candidates)
            if length == self._config.max_tokens or not kept:
                break
            live = self._extend(live, step, candidates.select(kept))
            if self._is_settled(live):
                break
        return self._finished or self._unfinished(live)

    def _begin(self) -> Live:
        zero = np.zeros(1)
        prefixes = self._ctc.initial_state() if self._ctc else NO_PREFIXES
        states = [[scorer.initial_state() for scorer in self._scorers]]
        spelled = self._speller.initial_state()
        return Live([()], [()], [()], zero, zero, zero, prefixes, spelled, np.zeros((1, 1)), states)

    def _step(self, live: Live) -> Step:
        begun = [tokens[-1] if tokens else self._config.sos_id for tokens in live.tokens]
        # Said, since a whole number is 32 bits wide on a 32-bit board.
        last = np.array(begun, dtype=np.int64)
        next_log_probs, state = self._speller.step(last, live.state)
        log_probs = next_log_probs.astype(np.float64)
        fusion = self._fusion(live, log_probs.shape)
        ends, end_fusion = self._split_ends(log_probs), fusion[:, self._config.eos_id]
        alignment = state.get("alignment")
        if alignment is None:
            coverage, peaks = live.coverage, [len(live.tokens[0])] * len(last)
        else:
            coverage, peaks = live.coverage + alignment, alignment.argmax(axis=1).tolist()
        bonus = self._config.coverage_weight * (coverage > self._config.coverage_threshold).sum(axis=1)
        return Step(log_probs, fusion, ends, end_fusion, state, coverage, peaks, bonus)

    def _fusion(self, live: Live, shape: tuple[int, ...]) -> DoubleArray:
        scores = np.zeros(shape)
        every_token = np.arange(shape[1])
        for row, states in enumerate(live.scorer_states):
            for scorer, state in zip(self._scorers, states, strict=True):
                scores[row] += scorer.score(state, every_token)
        return scores

    def _split_ends(self, log_probs: DoubleArray) -> DoubleArray:
        """Take <eos> and what must never be spelled out of log_probs (B, V); return those of <eos>, (B,)."""
        config = self._config
        ends = log_probs[:, config.eos_id].copy()
        log_probs[:, [config.blank_id, config.unk_id, config.sos_id, config.eos_id]] = -np.inf
        if config.eos_threshold:
            ends[ends <= config.eos_threshold * log_probs.max(axis=1)] = -np.inf
        return ends

    def _candidates(self, live: Live, step: Step) -> Candidates:
        own_weight = 1.0 - self._ctc_weight
        width = 2 * self._config.beam_size
        if self._ctc:
            width = max(width, _FEWEST_CANDIDATES)
        rows, tokens = top_tokens(own_weight * step.log_probs + step.fusion, width)
        log_probs = step.log_probs[rows, tokens]
        added = live.added[rows] + step.fusion[rows, tokens] + self._config.token_bonus
        totals = own_weight * (live.log_prob[rows] + log_probs) + added + step.coverage_bonus[rows]
        if self._ctc:
            totals += self._ctc_weight * self._ctc.score(live.prefixes, rows, tokens)
        return Candidates(rows, tokens, log_probs, added, totals)

    def _end_totals(self, live: Live, step: Step) -> DoubleArray:
        totals = (1.0 - self._ctc_weight) * (live.log_prob + step.ends)
        totals += live.added + step.end_fusion + step.coverage_bonus
        if self._ctc:
            totals += self._ctc_weight * self._ctc.final(live.prefixes)
        return totals

    def _finish(self, live: Live, step: Step, candidates: Candidates) -> None:
        """Finish the hypotheses whose end is among the beam_size best of all continuations."""
        beam_size = self._config.beam_size
        ends = self._end_totals(live, step)
        rivals = np.concatenate([ends, candidates.totals])
        bar = np.partition(rivals, -beam_size)[-beam_size] if len(rivals) > beam_size else -np.inf
        for row in np.flatnonzero((ends >= bar) & (ends > -np.inf)).tolist():
            self._finished.append(self._hypothesis(live, row, float(ends[row]), float(step.ends[row])))
            self._best_finished_total = max(self._best_finished_total, float(ends[row]))
            self._num_finished += 1
        self._finished.sort(key=lambda hypothesis: -hypothesis.score)
        del self._finished[self._config.nbest :]

    def _hypothesis(self, live: Live, row: int, total: float, end: float | None) -> Hypothesis:
        tokens = live.tokens[row]
        return Hypothesis(
            tokens=tokens,
            score=total / (len(tokens) + 1) ** self._config.length_penalty,
            log_prob=float(live.log_prob[row]) + (end or 0.0),
            token_log_probs=live.token_log_probs[row],
            frames=live.frames[row],
            finished=end is not None,
        )

    def _survivors(self, live: Live, step: Step, candidates: Candidates) -> list[int]:
        """Choose the beam_size best candidates, best first, but none that goes round in circles."""
        kept: list[int] = []
        in_circles = step.coverage.max(axis=1) > self._config.max_frame_attention
        for index in np.argsort(-candidates.totals, kind="stable").tolist():
            row = int(candidates.rows[index])
            if candidates.totals[index] == -np.inf:
                break
            tokens = (*live.tokens[row], int(candidates.tokens[index]))
            if in_circles[row] or is_loop(tokens, (*live.frames[row], step.peaks[row])):
                continue
            kept.append(index)
            if len(kept) == self._config.beam_size:
                break
        return kept

    def _extend(self, live: Live, step: Step, chosen: Candidates) -> Live:
        rows = chosen.rows.tolist()
        prefixes = NO_PREFIXES
        if self._ctc:
            prefixes = self._ctc.extend(live.prefixes, chosen.rows, chosen.tokens)
        picked = list(zip(rows, chosen.tokens.tolist(), chosen.log_probs.tolist(), strict=True))
        return Live(
            tokens=[(*live.tokens[row], token) for row, token, _ in picked],
            token_log_probs=[(*live.token_log_probs[row], log_prob) for row, _, log_prob in picked],
            frames=[(*live.frames[row], step.peaks[row]) for row in rows],
            log_prob=live.log_prob[chosen.rows] + chosen.log_probs,
            added=chosen.added,
            totals=chosen.totals,
            prefixes=prefixes,
            state=select_rows(step.state, chosen.rows),
            coverage=step.coverage[chosen.rows],
            scorer_states=[self._advance_scorers(live, row, token) for row, token, _ in picked],
        )

    def _advance_scorers(self, live: Live, row: int, token: int) -> list[Any]:
        states = zip(self._scorers, live.scorer_states[row], strict=True)
        return [scorer.advance(state, token) for scorer, state in states]

    def _is_settled(self, live: Live) -> bool:
        """Tell whether no live hypothesis is likely to end better than the best that did."""
        full = self._num_finished >= self._config.beam_size
        margin = 0.0 if full else self._config.stop_margin
        return bool(live.totals[0] + margin <= self._best_finished_total)

    def _unfinished(self, live: Live) -> list[Hypothesis]:
        rows = range(min(len(live.tokens), self._config.nbest))
        return [self._hypothesis(live, row, float(live.totals[row]), None) for row in rows]
