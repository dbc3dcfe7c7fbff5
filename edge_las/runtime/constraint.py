"""Commands: recognition kept in a grammar, and "outside the grammar" where something else was said."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_las.config import read_lines
from edge_las.errors import ConfigError
from edge_las.grammar import Grammar, phrases_grammar
from edge_las.search.automaton import Automaton
from edge_las.search.ctc import ctc_cost
from edge_las.search.fusion import Scorer
from edge_las.search.grammar import GrammarScorer
from edge_las.search.hotwords import HotwordScorer
from edge_las.search.hypothesis import Hypothesis
from edge_las.search.sentence_graph import SentenceGraph
from edge_las.search.speller import FloatArray
from edge_las.tokens import SPECIALS, WORD_MARK, TokenTable

MODES = ("strict", "soft", "off")
# A beam search with more scorers, and one among the sentences of a grammar.
Search = Callable[[Sequence[Scorer]], list[Hypothesis]]
SearchSentences = Callable[[SentenceGraph], list[Hypothesis]]


@dataclass(frozen=True)
class ConstraintConfig:
    """How a grammar holds recognition; an artifact sets its own numbers in `search`."""

    # strict: a sentence of the grammar or nothing. soft: other text may come out, and has no intent.
    mode: str = "strict"
    # soft: what text outside the grammar must be better by, in nats.
    grammar_weight: float = 6.0
    # strict: what the CTC head's likeliest path may lose to a sentence of the grammar, in nats a token.
    grammar_max_loss: float = 1.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"grammar mode is {self.mode!r}, must be one of {', '.join(MODES)}")
        for name in ("grammar_weight", "grammar_max_loss"):
            if not getattr(self, name) >= 0.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, must not be negative")


@dataclass(frozen=True)
class Constrained:
    """What was found: `free` as heard without the grammar; `kept` is empty where that was outside of it.

    loss: what the likeliest path of the CTC head loses to the best of `kept`, in nats a token.
    """

    free: list[Hypothesis]
    kept: list[Hypothesis]
    intent: dict[str, Any] | None
    loss: float = 0.0


class Constraint:
    """A grammar that a recognizer's utterances share."""

    def __init__(self, grammar: Grammar, tokens: TokenTable, config: ConstraintConfig) -> None:
        self.grammar, self.config, self._tokens = grammar, config, tokens
        self.automaton = Automaton(grammar)
        weight = config.grammar_weight if config.mode == "soft" else math.inf
        self._scorer = GrammarScorer(self.automaton, tokens.pieces, tokens.eos_id, weight)
        self._sentences = SentenceGraph(self.automaton, self._scorer)

    def search(self, search: Search, inside: SearchSentences, ctc_log_probs: FloatArray) -> Constrained:
        """Search freely, and in the grammar where that did not end in it; ctc_log_probs: (T, V)."""
        if self.config.mode == "soft":
            found = search([self._scorer])
            return Constrained(found, found, self._intent(found))
        free = search([])
        if not free or not self._tokens.decode(free[0].tokens):
            return Constrained(free, [], None)
        found = free if self._is_inside(free[0]) else inside(self._sentences)
        kept = [hypothesis for hypothesis in found if self._is_inside(hypothesis)]
        loss = ctc_cost(ctc_log_probs, kept[0].tokens, self._tokens.blank_id) if kept else math.inf
        if loss > self.config.grammar_max_loss:
            return Constrained(free, [], self._outside(free[0], loss), loss)
        return Constrained(free, kept, self._intent(kept), loss)

    def _is_inside(self, hypothesis: Hypothesis) -> bool:
        return hypothesis.finished and self.automaton.accepts(self._tokens.decode(hypothesis.tokens))

    def _intent(self, hypotheses: list[Hypothesis]) -> dict[str, Any] | None:
        match = self.automaton.interpret(self._tokens.decode(hypotheses[0].tokens)) if hypotheses else None
        return {"intent": match.intent, "slots": match.slots} if match else None

    def _outside(self, free: Hypothesis, loss: float) -> dict[str, Any]:
        heard = self._tokens.decode(free.tokens)
        rounded = round(loss, 3) if math.isfinite(loss) else None
        return {"intent": None, "slots": {}, "outside_grammar": True, "heard": heard, "loss": rounded}


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
    for number, line in enumerate(read_lines(path), start=1):
        phrase, _, amount = line.partition("\t")
        if not phrase.strip() or phrase.startswith("#"):
            continue
        try:
            boosts[" ".join(phrase.lower().split())] = float(amount) if amount.strip() else boost
        except ValueError:
            raise ConfigError(f"{path}: line {number}: {amount!r} is no boost") from None
    if not boosts:
        raise ConfigError(f"{path}: holds no phrase")
    try:
        return HotwordScorer(tokens.pieces, boosts, tokens.eos_id)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
