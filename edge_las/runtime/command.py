"""From what the Listener heard to a sentence of a grammar, and what speaks for it."""

from collections.abc import Sequence
from functools import partial

from edge_las.lexicon import SILENCE
from edge_las.runtime.confidence import CommandEvidence, command_evidence, lead
from edge_las.runtime.constraint import Constrained, Constraint
from edge_las.runtime.listener_stream import Heard
from edge_las.runtime.setup import Setup
from edge_las.runtime.spelling import Judged, judge, search_config, speller_of
from edge_las.search.closed import search_sentences
from edge_las.search.fusion import Scorer
from edge_las.search.phone_graph import PHONE_MARGIN
from edge_las.search.viterbi import best_sentences


def spell_command(
    setup: Setup, grammar: Constraint, heard: Heard, duration_s: float, scorers: Sequence[Scorer] = ()
) -> Constrained:
    """Search for the sentence of a grammar that an utterance fits best, however badly."""
    speller, config = speller_of(setup, heard), search_config(setup, duration_s)
    log_probs = grammar.sought_in(heard.ctc_log_probs)
    together = [*setup.scorers, *scorers]
    letters, sounds = grammar.sentences
    phones = grammar.phones_of(heard.encoded, heard.middle)
    judge_phones, propose = partial(grammar.judge_phones, phones), None
    if phones is not None and sounds is not None:
        propose = partial(best_sentences, sounds, phones, blank_id=SILENCE, margin=PHONE_MARGIN)
    found = search_sentences(speller, config, log_probs, together, letters, judge_phones, propose)
    return grammar.keep(found, log_probs)


def judge_command(
    setup: Setup, grammar: Constraint, found: Constrained, heard: Heard
) -> tuple[Judged, CommandEvidence]:
    """Gather what speaks for the first of some sentences of a grammar: as a text, and as said at all."""
    judged = judge(setup, found.kept, heard)
    margin = lead(found.kept, grammar.meaning)
    evidence = command_evidence(judged.placed, judged.evidence, margin, found.ctc_log_probs, setup.silent_ids)
    return judged, evidence
