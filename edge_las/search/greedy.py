"""Greedy search: always the likeliest next token."""

import numpy as np

from edge_las.search.config import BeamConfig
from edge_las.search.hypothesis import Hypothesis, is_loop
from edge_las.search.speller import FloatArray, SpellerStep


def greedy_search(speller: SpellerStep, config: BeamConfig) -> Hypothesis:
    """Spell one utterance token by token until <eos>, or until a loop or max_tokens cuts it off."""
    never = [config.blank_id, config.unk_id, config.sos_id]
    state, last = speller.initial_state(), config.sos_id
    tokens: tuple[int, ...] = ()
    log_probs: list[float] = []
    frames: tuple[int, ...] = ()
    coverage: FloatArray = np.zeros((1, 1))
    finished = False
    for _ in range(config.max_tokens + 1):
        next_log_probs, state = speller.step(np.array([last], dtype=np.int64), state)
        row = next_log_probs[0].copy()
        row[never] = -np.inf
        last = int(row.argmax())
        finished = last == config.eos_id
        if finished:
            log_probs.append(float(row[last]))
        if finished or len(tokens) == config.max_tokens:
            break
        peak = len(tokens)
        if "alignment" in state:
            coverage = coverage + state["alignment"]
            peak = int(state["alignment"][0].argmax())
        longer = (*tokens, last), (*frames, peak)
        if coverage.max() > config.max_frame_attention or is_loop(*longer):
            break
        tokens, frames = longer
        log_probs.append(float(row[last]))
    total = sum(log_probs)
    return Hypothesis(tokens, total, total, tuple(log_probs[: len(tokens)]), frames, finished)
