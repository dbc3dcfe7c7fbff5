"""One utterance: samples in, live partial text, final result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_las.errors import AudioError
from edge_las.runtime.gate import LevelMeter, expected_ctc_tokens
from edge_las.runtime.listener_stream import Heard, ListenerStream
from edge_las.runtime.result import Alternative, Result
from edge_las.runtime.setup import Setup
from edge_las.runtime.spelling import Judged, free_search, judge, spell
from edge_las.runtime.words import words_of
from edge_las.search.fusion import Scorer
from edge_las.search.hypothesis import Hypothesis
from edge_las.tokens import TokenTable

if TYPE_CHECKING:
    from edge_las.runtime.constraint import Constraint

FloatArray = npt.NDArray[np.float32]


class Utterance:
    """One utterance being recognized; not for use by several threads at once."""

    def __init__(self, setup: Setup, scorers: Sequence[Scorer] = ()) -> None:
        self._setup = setup
        self._scorers = scorers
        self._listener = ListenerStream(setup.engine, setup.manifest)
        self._level = LevelMeter(setup.manifest.features.sample_rate)
        self._partial = PartialText(setup.tokens)
        # Commands seldom need it: not before they turn out to be something else.
        grammar = setup.grammar
        self._search = None if grammar and grammar.is_strict else free_search(setup, scorers)
        self._processing_s = 0.0
        self._last_accept_s = 0.0
        self._ahead: Result | None = None
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
        if samples.size:
            self._ahead = None
        self._level.accept(samples)
        self._listener.accept(samples)
        if self._search:
            self._search.listen(self._listener)
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

    def spell_ahead(self) -> None:
        """Spell in a pause what `finish` would, which is then done at once unless more samples come."""
        started = time.perf_counter()
        self._ahead = self._recognize(self._listener.heard_so_far)
        self._processing_s += time.perf_counter() - started
        # The text was there before the end was known.
        self._last_accept_s = 0.0

    def finish(self) -> Result:
        """Spell what was heard; the utterance is then over."""
        started = time.perf_counter()
        self._finished = True
        result = self._ahead or self._recognize(self._listener.finish)
        finish_s = time.perf_counter() - started
        self._processing_s += finish_s
        return replace(
            result,
            rtf=self._processing_s / self.duration_s if self.duration_s else 0.0,
            latency_ms=1000.0 * (self._last_accept_s + finish_s),
        )

    def _recognize(self, listen: Callable[[], Heard | None]) -> Result:
        heard = listen() if self._is_loud_enough() else None
        if heard is None:
            return self._nothing()
        grammar = self._setup.grammar
        if grammar is None or not grammar.is_strict:
            return self._text(heard, grammar)
        return self._command(heard, grammar)

    def _is_loud_enough(self) -> bool:
        # Digital silence is refused whatever the threshold.
        return self._level.dbfs > max(self._setup.gate.gate_min_level_dbfs, -1000.0)

    def _text(self, heard: Heard, grammar: Constraint | None) -> Result:
        """Recognize any text; a grammar that is not strict may tell what it means."""
        found = self._free(heard)
        if found is None:
            return self._nothing()
        judged, hypotheses = found
        return self._result(judged, hypotheses, grammar.meaning(hypotheses[0]) if grammar else None)

    def _command(self, heard: Heard, grammar: Constraint) -> Result:
        """Recognize a sentence of a grammar, or tell that something else was said."""
        # Only those with a grammar need it.
        from edge_las.runtime.command import judge_command, spell_command

        setup = self._setup
        found = spell_command(setup, grammar, heard, self.duration_s, self._scorers)
        if found.kept and found.loss <= grammar.config.grammar_max_loss:
            judged, evidence = judge_command(setup, grammar, found, heard)
            if setup.confidence.command(evidence) >= setup.gate.gate_min_command:
                return self._result(judged, found.kept, found.intent)
        freely = self._free(heard)
        if freely is None:
            return self._nothing()
        return replace(self._nothing(), intent=grammar.outside(freely[0].text, found.loss))

    def _free(self, heard: Heard) -> tuple[Judged, list[Hypothesis]] | None:
        """Spell without a strict grammar; None if it was no speech."""
        setup = self._setup
        if expected_ctc_tokens(heard.ctc_log_probs, setup.silent_ids) < setup.gate.gate_min_ctc_tokens:
            return None
        hypotheses = spell(setup, heard, self.duration_s, self._scorers, self._search)
        judged = judge(setup, hypotheses, heard)
        if not judged.text or setup.confidence.speech(judged.evidence) < setup.gate.gate_min_speech:
            return None
        return judged, hypotheses

    def _nothing(self) -> Result:
        return Result("", 0.0, (), (), self.duration_s, 0.0, 0.0)

    def _result(
        self, judged: Judged, hypotheses: Sequence[Hypothesis], intent: dict[str, Any] | None
    ) -> Result:
        setup = self._setup
        confidence = setup.confidence.text(judged.evidence)
        if confidence < setup.gate.gate_min_confidence:
            return self._nothing()
        return Result(
            judged.text,
            confidence,
            words_of(judged.placed, setup.tokens, setup.confidence, setup.frame_s, self.duration_s),
            distinct_texts(hypotheses, setup.tokens),
            self.duration_s,
            rtf=0.0,
            latency_ms=0.0,
            intent=intent,
            finished=judged.placed.hypothesis.finished,
        )


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
