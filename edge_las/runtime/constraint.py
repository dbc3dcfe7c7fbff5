"""Commands: recognition kept in a grammar, and "outside the grammar" where something else was said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edge_las.errors import ConfigError
from edge_las.grammar import Grammar, phrases_grammar
from edge_las.runtime.phones import PhoneJudge
from edge_las.search.automaton import Automaton
from edge_las.search.config import ConstraintConfig
from edge_las.search.fusion import Scorer
from edge_las.search.grammar import GrammarScorer
from edge_las.search.hotwords import HotwordScorer, check_hotword
from edge_las.search.hypothesis import Hypothesis
from edge_las.search.phone_graph import PhoneGraph
from edge_las.search.phones import phone_scores
from edge_las.search.sentence_graph import SentenceGraph
from edge_las.search.speller import FloatArray
from edge_las.textfiles import read_lines
from edge_las.tokens import SPECIALS, WORD_MARK, TokenTable

# What a sentence loses is shared out over its tokens and so many more: one letter heard badly is no worse in
# a short command. Where 2 % of other sentences pass, so do of single words 97.1 % with 2, 97.9 with 4, 98.0
# with 8, and of real sentences with slots, as recorded and in kitchen noise at 12 dB, 79 and 66, 78 and 64,
# 77 and 61 % (understood at all: 81 and 72).
_SPARE_TOKENS = 4
# A sentence whose phones need more frames than there are is so far (nats) behind the best.
_MOST_BEHIND = 100.0
# Each utterance visits parts of a large grammar: 60 of Home Assistant's grew 58,000 nodes, of 400 bytes.
_MOST_NODES = 30_000
# Larger grammars have no graph of phones: in Home Assistant's (74,500 nodes) a command took thrice as long.
_MOST_PHONE_GRAMMAR = 20_000


@dataclass(frozen=True)
class Constrained:
    """The likeliest sentences of a grammar, best first; what the first means and loses (`loss_of`)."""

    kept: list[Hypothesis]
    intent: dict[str, Any] | None
    loss: float
    ctc_log_probs: FloatArray  # (T, V) that they were judged by


class Constraint:
    """A grammar that a recognizer's utterances share."""

    def __init__(
        self,
        grammar: Grammar,
        tokens: TokenTable,
        config: ConstraintConfig,
        phones: PhoneJudge | None = None,
    ) -> None:
        self.grammar, self.config, self._tokens, self.phones = grammar, config, tokens, phones
        self.automaton = Automaton(grammar)
        weight = config.grammar_weight if config.mode == "soft" else math.inf
        self._scorer = GrammarScorer(self.automaton, tokens.pieces, tokens.eos_id, weight)
        self._graphs = self._new_graphs()

    @property
    def sentences(self) -> tuple[SentenceGraph, PhoneGraph | None]:
        """The grammar as far as utterances have grown it, in letters, and in phones where they count.

        Begun anew before it gets too large.
        """
        if sum(len(graph) for graph in self._graphs if graph) > _MOST_NODES:
            self._graphs = self._new_graphs()
        return self._graphs

    def _new_graphs(self) -> tuple[SentenceGraph, PhoneGraph | None]:
        automaton, tokens = Automaton(self.grammar), self._tokens
        letters = SentenceGraph(automaton, GrammarScorer(automaton, tokens.pieces, tokens.eos_id))
        is_large = len(self.grammar.arcs.first) > _MOST_PHONE_GRAMMAR
        counts = self.config.grammar_phone_weight and self.config.is_strict
        if self.phones is None or not counts or automaton.has_wildcards or is_large:
            return letters, None
        return letters, PhoneGraph(automaton, tokens, self.phones)

    @property
    def is_strict(self) -> bool:
        """Whether nothing but sentences of the grammar may come out."""
        return self.config.is_strict

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of its sentences."""
        # Asked of soft grammars alone.
        from edge_las.grammar_words import grammar_words

        return frozenset(grammar_words(self.grammar))

    @property
    def scorers(self) -> tuple[Scorer, ...]:
        """What joins a search for any text: that is drawn to the grammar if it is not strict."""
        return () if self.is_strict else (self._scorer,)

    def sought_in(self, ctc_log_probs: FloatArray) -> FloatArray:
        """Give the log probs (T, V) that sentences are sought and judged by: blanks count less in them."""
        penalty, blank = self.config.grammar_blank_penalty, self._tokens.blank_id
        if not penalty:
            return ctc_log_probs
        changed = ctc_log_probs.copy()
        changed[:, blank] -= np.float32(penalty)
        changed -= np.logaddexp.reduce(changed, axis=1, keepdims=True)
        return changed

    def phones_of(self, encoded: FloatArray, middle: FloatArray | None) -> FloatArray | None:
        """Give the log probs (T, P) of the phones in encoded (1, T, E), middle (1, T, M).

        None where phones do not count.
        """
        if self.phones is None or not self.config.grammar_phone_weight:
            return None
        return self.phones.log_probs(encoded, middle)

    def judge_phones(
        self, phone_log_probs: FloatArray | None, sentences: Sequence[tuple[int, ...]]
    ) -> list[float]:
        """Give what each sentence's phones add to its score, of log probs as `phones_of` gives them."""
        nothing, weight = [0.0] * len(sentences), self.config.grammar_phone_weight
        if self.phones is None or phone_log_probs is None or not sentences:
            return nothing
        texts = [self._tokens.decode(item) for item in sentences]
        found = phone_scores(self.phones, phone_log_probs, texts)
        if found is None or not np.isfinite(found.max()):
            return nothing
        added: list[float] = (weight * np.maximum(found, found.max() - _MOST_BEHIND)).tolist()
        return added

    def keep(self, found: Sequence[Hypothesis], ctc_log_probs: FloatArray) -> Constrained:
        """Keep those of some hypotheses that are sentences of the grammar; ctc_log_probs: (T, V)."""
        kept = [item for item in found if item.finished and self.automaton.accepts(self._text(item))]
        if not kept:
            return Constrained([], None, math.inf, ctc_log_probs)
        return Constrained(kept, self.meaning(kept[0]), loss_of(kept[0], ctc_log_probs), ctc_log_probs)

    def meaning(self, hypothesis: Hypothesis) -> dict[str, Any] | None:
        """Read intent and slots; None where it is no sentence of the grammar."""
        match = self.automaton.interpret(self._text(hypothesis))
        return {"intent": match.intent, "slots": match.slots} if match else None

    def outside(self, heard: str, loss: float) -> dict[str, Any]:
        """Describe what was heard and is not of the grammar, whose best sentence loses so much."""
        rounded = round(loss, 3) if math.isfinite(loss) else None
        return {"intent": None, "slots": {}, "outside_grammar": True, "heard": heard, "loss": rounded}

    def _text(self, hypothesis: Hypothesis) -> str:
        return self._tokens.decode(hypothesis.tokens)


def loss_of(hypothesis: Hypothesis, ctc_log_probs: FloatArray) -> float:
    """Compute the nats a token that a rescored sentence loses to the likeliest CTC path and in the Speller.

    To the CTC head, of log probs (T, V), no sound goes unexplained: a short text pays for all of long speech.
    """
    likeliest = float(ctc_log_probs.max(axis=1).sum(dtype=np.float64))
    return (likeliest - hypothesis.ctc_log_prob - hypothesis.log_prob) / (
        len(hypothesis.tokens) + _SPARE_TOKENS
    )


def alphabet_of(tokens: TokenTable) -> frozenset[str]:
    """List the letters that the tokens spell."""
    return frozenset("".join(tokens.pieces[len(SPECIALS) :])) - {WORD_MARK}


def read_phrases(path: str | Path, tokens: TokenTable, language: str) -> Grammar:
    """Make a grammar of a file with a phrase a line; `#` begins a comment.

    Raises: ConfigError naming file and line.
    """
    return phrases_grammar(read_lines(path), alphabet_of(tokens), language, str(path))


def read_hotwords(path: str | Path, tokens: TokenTable, boost: float = 4.0) -> HotwordScorer:
    """Read a file with a phrase a line, and if wanted a tab and its boost in nats.

    Raises: ConfigError naming file and line.
    """
    boosts: dict[str, float] = {}
    letters = alphabet_of(tokens)
    for number, line in enumerate(read_lines(path), start=1):
        phrase, _, amount = line.partition("\t")
        if not phrase.strip() or phrase.startswith("#"):
            continue
        phrase = " ".join(phrase.lower().split())
        try:
            boosts[phrase] = float(amount) if amount.strip() else boost
            check_hotword(phrase, boosts[phrase], letters)
        except ValueError:
            raise ConfigError(f"{path}: line {number}: {amount!r} is no boost") from None
        except ConfigError as error:
            raise ConfigError(f"{path}: line {number}: {error}") from None
    if not boosts:
        raise ConfigError(f"{path}: holds no phrase")
    return HotwordScorer(tokens.pieces, boosts, tokens.eos_id)
