"""From what the Listener heard to hypotheses, and what speaks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_las.runtime.confidence import (
    UNKNOWN_MARGIN,
    Evidence,
    evidence_of,
    lead,
)
from edge_las.runtime.engine import EngineSpeller
from edge_las.runtime.listener_stream import Heard
from edge_las.runtime.phones import PhoneEvidence, phone_evidence
from edge_las.runtime.placing import Placed, place
from edge_las.runtime.setup import Setup
from edge_las.search.beam import beam_search
from edge_las.search.config import BeamConfig
from edge_las.search.fusion import Scorer
from edge_las.search.greedy import greedy_search
from edge_las.search.hotwords import HotwordScorer
from edge_las.search.hypothesis import Hypothesis
from edge_las.search.ngram import NgramScorer
from edge_las.search.rescoring import judge_proposals

if TYPE_CHECKING:
    from edge_las.runtime.free_text import FreeSearch

# Tokens allowed whatever the length: a very short recording may hold a word.
_EXTRA_TOKENS = 4


@dataclass(frozen=True)
class Judged:
    """A hypothesis, where it lies in time, and what speaks for it."""

    text: str
    placed: Placed
    evidence: Evidence


def free_search(setup: Setup, scorers: Sequence[Scorer] = ()) -> FreeSearch | None:
    """Begin the search for free text along the Listener's frames; None where the Speller leads alone."""
    together = _together(setup, scorers)
    language_models = [scorer for scorer in together if isinstance(scorer, NgramScorer)]
    # Without a language model the Speller leads better (docs/export.md).
    if not (language_models and setup.search.prefixes and setup.search.ctc_weight):
        return None
    # Only free text is sought by all that this imports.
    from edge_las.runtime.free_text import FreeSearch
    from edge_las.search.prefix_search import PrefixSearch

    others = [scorer for scorer in together if scorer not in language_models]
    letters = PrefixSearch(setup.search, setup.manifest.tokens.size, language_models, others)
    # What is no command seldom matters: it need not be found in all words there are.
    is_strict = setup.grammar is not None and setup.grammar.is_strict
    words = None if is_strict else setup.words()
    if words and (phrases := _expected(setup, scorers)):
        words = words.expecting(phrases)
    return FreeSearch(setup.search, letters, words, others)


def _expected(setup: Setup, scorers: Sequence[Scorer]) -> dict[str, float]:
    """Collect the words of a soft grammar, and the phrases of hotwords among scorers with their boosts."""
    phrases = dict.fromkeys(setup.grammar.words, 0.0) if setup.grammar else {}
    for scorer in scorers:
        if isinstance(scorer, HotwordScorer):
            phrases.update(scorer.phrases)
    return phrases


def spell(
    setup: Setup,
    heard: Heard,
    duration_s: float,
    scorers: Sequence[Scorer] = (),
    begun: FreeSearch | None = None,
) -> list[Hypothesis]:
    """Search for the text of an utterance that lasted duration_s, best first; a soft grammar joins in.

    begun: a `free_search` with the same scorers that has read the beginning; it is left as it is.
    """
    speller, config = speller_of(setup, heard), search_config(setup, duration_s)
    search = begun.fork() if begun else free_search(setup, scorers)
    if search:
        found = judge_proposals(speller, config, search.finish(heard))
        return found[: config.nbest]
    together = _together(setup, scorers)
    if config.beam_size == 1 and config.ctc_weight == 0.0 and not together:
        return [greedy_search(speller, config)]
    return beam_search(speller, config, heard.ctc_log_probs, together)


def _together(setup: Setup, scorers: Sequence[Scorer]) -> list[Scorer]:
    return [*setup.scorers, *scorers, *(setup.grammar.scorers if setup.grammar else ())]


def speller_of(setup: Setup, heard: Heard) -> EngineSpeller:
    """Give the Speller of what was heard."""
    graph = setup.manifest.engines[setup.engine.name].speller
    return EngineSpeller(setup.engine, graph, heard.encoded, heard.keys)


def search_config(setup: Setup, duration_s: float) -> BeamConfig:
    """Give the settings for an utterance of so many seconds."""
    most = int(setup.manifest.speller.max_tokens_per_s * duration_s) + _EXTRA_TOKENS
    return replace(setup.search, max_tokens=most)


def judge(setup: Setup, hypotheses: Sequence[Hypothesis], heard: Heard) -> Judged:
    """Gather what speaks for the first of some hypotheses, the others being its rivals."""
    best, tokens = hypotheses[0], setup.tokens
    placed = place(best, heard.ctc_log_probs, tokens.blank_id, setup.silent_ids)
    margin = lead(hypotheses, lambda item: tokens.decode(item.tokens))
    if setup.search.beam_size == 1:
        margin = UNKNOWN_MARGIN
    text, phones = tokens.decode(best.tokens), setup.phones()
    sounds = PhoneEvidence()
    if phones is not None:
        sounds = phone_evidence(phones, phones.log_probs(heard.encoded, heard.middle), text)
    return Judged(text, placed, evidence_of(placed, margin, heard.ctc_log_probs, setup.silent_ids, sounds))
