"""The words that the sentences of a grammar are made of."""

from collections import defaultdict
from dataclasses import dataclass, field

from edge_las.arcs import ANY, SPACE
from edge_las.grammar import Grammar

# The beginning of a word as far as it has been read; None: it holds letters that may be any.
_Letters = str | None


@dataclass
class _Network:
    """What the texts of a network hold: whole words, and what may be a part of one at its ends.

    through: texts without a space; first, last: what lies before the first and after the last space.
    """

    words: set[_Letters] = field(default_factory=set)
    through: set[_Letters] = field(default_factory=set)
    first: set[_Letters] = field(default_factory=set)
    last: set[_Letters] = field(default_factory=set)


def grammar_words(grammar: Grammar) -> set[str]:
    """List the words that a grammar can say; those that may be any words are no part of it."""
    whole = _Words(grammar).network(0)
    parts = whole.words | whole.through | whole.first | whole.last
    return {word for word in parts if word}


class _Words:
    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._networks: dict[int, _Network] = {}

    def network(self, number: int) -> _Network:
        """Read a network once."""
        if number not in self._networks:
            self._networks[number] = self._read(self._grammar.starts[number])
        return self._networks[number]

    def _read(self, start: int) -> _Network:
        found = _Network()
        # What may have been read of a word at each node; apart whether a space was passed before.
        seen: dict[tuple[int, bool], set[_Letters]] = defaultdict(set)
        agenda: list[tuple[int, bool, _Letters]] = [(start, False, "")]
        while agenda:
            node, passed, letters = agenda.pop()
            if letters in seen[node, passed]:
                continue
            seen[node, passed].add(letters)
            if node in self._grammar.ends:
                (found.last if passed else found.through).add(letters)
            for arc in self._grammar.arcs.of(node):
                if len(arc) == 3:
                    inner = self.network(arc[0])
                    agenda += [(arc[2], passed, _joined(letters, text)) for text in inner.through]
                    for text in inner.first:
                        (found.words if passed else found.first).add(_joined(letters, text))
                    agenda += [(arc[2], True, text) for text in inner.last]
                    found.words |= inner.words
                elif arc[0] == SPACE:
                    (found.words if passed else found.first).add(letters)
                    agenda.append((arc[1], True, ""))
                else:
                    agenda.append((arc[1], passed, None if arc[0] == ANY else _joined(letters, arc[0])))
        return found


def _joined(letters: _Letters, more: _Letters) -> _Letters:
    return None if letters is None or more is None else letters + more
