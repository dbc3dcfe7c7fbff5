"""A domain read and compiled for a model: what the steps of a build work from."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edge_las.domain.compile import compile_domain
from edge_las.domain.sentences import Domain, read_domain
from edge_las.grammar import Grammar
from edge_las.search.automaton import Automaton
from edge_las.tokens import SPECIALS, WORD_MARK, TokenTable


@dataclass(frozen=True)
class Compiled:
    """A domain as read, its grammar, and its letters.

    sizes: how many sentences each template of each block stands for.
    """

    source: Path
    domain: Domain
    grammar: Grammar
    sizes: tuple[tuple[float, ...], ...]
    alphabet: frozenset[str]

    @cached_property
    def automaton(self) -> Automaton:
        """The grammar at work."""
        return Automaton(self.grammar)

    def __str__(self) -> str:
        intents, nodes = len({block.intent for block in self.domain.blocks}), len(self.grammar.arcs)
        sentences = sum(map(sum, self.sizes))
        return f"{self.source}: {intents} intents, {sentences:.4g} sentences, {nodes} nodes"


def read_compiled(source: Path, tokens: TokenTable, language: str) -> Compiled:
    """Read and compile a file of sentence templates for a model.

    Raises: ConfigError naming file and line.
    """
    domain = read_domain(source)
    if domain.language != language:
        raise domain.place.error(0, f"language is {domain.language}, the model's is {language}")
    alphabet = frozenset("".join(tokens.pieces[len(SPECIALS) :])) - {WORD_MARK}
    return Compiled(source, domain, *compile_domain(domain, alphabet), alphabet)
