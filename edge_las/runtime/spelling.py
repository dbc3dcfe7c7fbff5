"""From what the Listener heard to hypotheses, and what speaks for them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_las.runtime.confidence import UNKNOWN_MARGIN, Evidence, evidence_of, lead
from edge_las.runtime.constraint import Constrained
from edge_las.runtime.engine import EngineSpeller
from edge_las.runtime.listener_stream import Heard
from edge_las.runtime.placing import Placed, place
from edge_las.runtime.setup import Setup
from edge_las.search.beam import beam_search
from edge_las.search.closed import search_sentences
from edge_las.search.fusion import Scorer
from edge_las.search.greedy import greedy_search
from edge_las.search.hypothesis import Hypothesis
from edge_las.search.sentence_graph import SentenceGraph

# Tokens allowed whatever the length: a very short recording may hold a word.
_EXTRA_TOKENS = 4


@dataclass(frozen=True)
class Judged:
    """A hypothesis, where it lies in time, and what speaks for it."""

    text: str
    placed: Placed
    evidence: Evidence


def spell(setup: Setup, heard: Heard, duration_s: float, scorers: Sequence[Scorer] = ()) -> Constrained:
    """Search for the text of an utterance that lasted duration_s, in the grammar if there is one."""
    graph = setup.manifest.engines[setup.engine.name].speller
    speller = EngineSpeller(setup.engine, graph, heard.encoded, heard.keys)
    most = int(setup.manifest.speller.max_tokens_per_s * duration_s) + _EXTRA_TOKENS
    config = replace(setup.search, max_tokens=most)

    def search(more: Sequence[Scorer]) -> list[Hypothesis]:
        together = [*setup.scorers, *scorers, *more]
        if config.beam_size == 1 and config.ctc_weight == 0.0 and not together and not setup.grammar:
            return [greedy_search(speller, config)]
        return beam_search(speller, config, heard.ctc_log_probs, together)

    def inside(graph: SentenceGraph) -> list[Hypothesis]:
        together = [*setup.scorers, *scorers]
        return search_sentences(speller, config, heard.ctc_log_probs, together, graph)

    if setup.grammar:
        return setup.grammar.search(search, inside, heard.ctc_log_probs)
    hypotheses = search([])
    return Constrained(hypotheses, hypotheses, None)


def judge(setup: Setup, hypotheses: Sequence[Hypothesis], heard: Heard) -> Judged:
    """Gather what speaks for the first of some hypotheses, the others being its rivals."""
    best, tokens = hypotheses[0], setup.tokens
    placed = place(best, heard.ctc_log_probs, tokens.blank_id, setup.silent_ids)
    margin = UNKNOWN_MARGIN if setup.search.beam_size == 1 else lead(hypotheses, tokens)
    evidence = evidence_of(placed, margin, heard.ctc_log_probs, setup.silent_ids)
    return Judged(tokens.decode(best.tokens), placed, evidence)
