"""One utterance: samples in, live partial text, final result."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_las.artifact import Manifest
from edge_las.errors import AudioError
from edge_las.runtime.constraint import Constrained, Constraint
from edge_las.runtime.engine import Engine, EngineSpeller
from edge_las.runtime.gate import GateConfig, LevelMeter, expected_ctc_tokens, silent_ids
from edge_las.runtime.listener_stream import Heard, ListenerStream
from edge_las.runtime.result import Alternative, Result
from edge_las.runtime.words import mean_prob, words_of
from edge_las.search.beam import beam_search
from edge_las.search.config import BeamConfig
from edge_las.search.fusion import Scorer
from edge_las.search.greedy import greedy_search
from edge_las.search.hypothesis import Hypothesis
from edge_las.tokens import TokenTable

FloatArray = npt.NDArray[np.float32]

# Tokens allowed whatever the length: a very short recording may hold a word.
_EXTRA_TOKENS = 4


@dataclass(frozen=True)
class Setup:
    """What all utterances of a recognizer share; nothing in it changes."""

    manifest: Manifest
    tokens: TokenTable
    engine: Engine
    search: BeamConfig
    gate: GateConfig
    grammar: Constraint | None = None

    @property
    def frame_s(self) -> float:
        """Seconds of one encoded frame."""
        features = self.manifest.features
        return features.hop_length * self.manifest.listener.subsampling / features.sample_rate


class Utterance:
    """One utterance being recognized; not for use by several threads at once."""

    def __init__(self, setup: Setup, scorers: Sequence[Scorer] = ()) -> None:
        self._setup = setup
        self._scorers = scorers
        self._listener = ListenerStream(setup.engine, setup.manifest)
        self._level = LevelMeter(setup.manifest.features.sample_rate)
        self._partial = PartialText(setup.tokens)
        self._processing_s = 0.0
        self._last_accept_s = 0.0
        self._finished = False

    @property
    def duration_s(self) -> float:
        """Seconds of samples taken so far."""
        return self._listener.num_samples / self._setup.manifest.features.sample_rate

    def accept(self, samples: FloatArray) -> None:
        """Take samples (s,), float32 in [-1, 1) at the manifest's sample rate, and run the Listener on them.

        Raises: AudioError if they hold NaN or go beyond the manifest's max_utterance_s.
        """
        started = time.perf_counter()
        if self._finished:
            raise AudioError("samples came after the end of their utterance")
        if not np.isfinite(samples.sum()):
            raise AudioError("holds samples that are NaN or infinite")
        self._check_room(samples.size)
        self._level.accept(samples)
        self._listener.accept(samples)
        self._last_accept_s = time.perf_counter() - started
        self._processing_s += self._last_accept_s

    def _check_room(self, more: int) -> None:
        manifest = self._setup.manifest
        limit_s = manifest.speller.max_utterance_s
        if self._listener.num_samples + more > math.ceil(limit_s * manifest.features.sample_rate):
            raise AudioError(
                f"an utterance is longer than {limit_s:g} s; Recognizer.transcribe cuts long audio"
            )

    def partial(self) -> str:
        """Read the text so far from the CTC head; only its last word can still change."""
        return self._partial.update(self._listener.ctc_log_probs(self._partial.frames))

    def finish(self) -> Result:
        """Spell what was heard; the utterance is then over."""
        started = time.perf_counter()
        self._finished = True
        found = Constrained([], [], None)
        heard = self._listener.finish() if self._is_loud_enough() else None
        if heard is not None and self._has_ctc_tokens(heard):
            found = self._search(heard)
        result = self._result(found, heard)
        finish_s = time.perf_counter() - started
        self._processing_s += finish_s
        return replace(
            result,
            rtf=self._processing_s / self.duration_s if self.duration_s else 0.0,
            latency_ms=1000.0 * (self._last_accept_s + finish_s),
        )

    def _is_loud_enough(self) -> bool:
        # Digital silence is refused whatever the threshold.
        return self._level.dbfs > max(self._setup.gate.gate_min_level_dbfs, -1000.0)

    def _has_ctc_tokens(self, heard: Heard) -> bool:
        expected = expected_ctc_tokens(heard.ctc_log_probs, silent_ids(self._setup.tokens))
        return expected >= self._setup.gate.gate_min_ctc_tokens

    def _search(self, heard: Heard) -> Constrained:
        setup = self._setup
        graph = setup.manifest.engines[setup.engine.name].speller
        speller = EngineSpeller(setup.engine, graph, heard.encoded, heard.keys)
        most = int(setup.manifest.speller.max_tokens_per_s * self.duration_s) + _EXTRA_TOKENS
        config = replace(setup.search, max_tokens=most)

        def search(more: Sequence[Scorer]) -> list[Hypothesis]:
            scorers = [*self._scorers, *more]
            if config.beam_size == 1 and not scorers and not setup.grammar:
                return [greedy_search(speller, config)]
            return beam_search(speller, config, heard.ctc_log_probs, scorers)

        if setup.grammar:
            return setup.grammar.search(search, config)
        hypotheses = search([])
        return Constrained(hypotheses, hypotheses, None)

    def _result(self, found: Constrained, heard: Heard | None) -> Result:
        tokens, setup = self._setup.tokens, self._setup
        nothing = Result("", 0.0, (), (), self.duration_s, 0.0, 0.0)
        # What was heard without the grammar tells whether it was speech at all.
        if heard is None or not found.free or not self._is_believed(found.free[0]):
            return nothing
        best = found.kept[0] if found.kept else None
        if best is None or not tokens.decode(best.tokens):
            return replace(nothing, intent=found.intent)
        confidence, text = mean_prob(best.token_log_probs), tokens.decode(best.tokens)
        words = words_of(best, tokens, heard.ctc_log_probs, setup.frame_s, self.duration_s)
        nbest = distinct_texts(found.kept, tokens)
        return Result(
            text, confidence, words, nbest, self.duration_s, 0.0, 0.0, found.intent, finished=best.finished
        )

    def _is_believed(self, hypothesis: Hypothesis) -> bool:
        return mean_prob(hypothesis.token_log_probs) >= self._setup.gate.gate_min_confidence


class PartialText:
    """The CTC head's reading of a growing utterance."""

    def __init__(self, tokens: TokenTable) -> None:
        self._tokens = tokens
        self._ids: list[int] = []
        self._last = tokens.blank_id
        self.frames = 0

    def update(self, ctc_log_probs: npt.NDArray[np.floating]) -> str:
        """Add the log probs (t, V) of the frames not yet seen; return the text so far."""
        for token in ctc_log_probs.argmax(axis=1).tolist():
            if token not in (self._last, self._tokens.blank_id):
                self._ids.append(token)
            self._last = token
        self.frames += len(ctc_log_probs)
        return self._tokens.decode(self._ids)


def distinct_texts(hypotheses: Sequence[Hypothesis], tokens: TokenTable) -> tuple[Alternative, ...]:
    """List the texts of hypotheses, best first; the same text spelled by other tokens counts once."""
    best: dict[str, float] = {}
    for hypothesis in hypotheses:
        best.setdefault(tokens.decode(hypothesis.tokens), hypothesis.score)
    return tuple(Alternative(text, score) for text, score in best.items())
