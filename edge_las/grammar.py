"""What may be said: a network of characters with the intents and slots of its sentences."""

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from edge_las.arcs import NOTHING, SPACE, Arc, Arcs, pack
from edge_las.errors import ConfigError

_SIGNS = {"%": " percent ", "&": " and ", "°": " degrees ", "\u2019": "'", "\u02bc": "'"}
_READ_ALOUD = "@#‰"
_VOWELS = frozenset("aeiouy")


@dataclass(frozen=True)
class Grammar:
    """Networks that refer to each other, never in circles; starts[0] is the start of whole sentences.

    arcs holds those of each node; ends the nodes where a network may be left: with an index into `blocks`
    in the first network, else with a slot's value, None for the words themselves.
    """

    language: str
    blocks: tuple[dict[str, Any], ...]
    starts: tuple[int, ...]
    arcs: Arcs
    ends: dict[int, Any]


class GrammarBuilder:
    """Grows the networks of a grammar."""

    def __init__(self) -> None:
        self._nodes: list[list[Arc]] = []
        self._starts: list[int] = []
        self._ends: dict[int, Any] = {}

    def node(self) -> int:
        """Add a node."""
        self._nodes.append([])
        return len(self._nodes) - 1

    def network(self) -> tuple[int, int]:
        """Add a network; return its number and its start."""
        self._starts.append(self.node())
        return len(self._starts) - 1, self._starts[-1]

    def link(self, source: int, label: str, target: int) -> None:
        """Let a character (or NOTHING, SPACE, ANY) lead on."""
        self._nodes[source].append((label, target))

    def call(self, source: int, network: int, slot: str, target: int) -> None:
        """Lead through a network; its value goes in `slot`, if that has a name."""
        self._nodes[source].append((network, slot, target))

    def end(self, node: int, value: Any) -> None:
        """Let the network be left at a node."""
        self._ends[node] = value

    def text(self, source: int, text: str) -> int:
        """Add characters after a node; return the last node."""
        for character in text:
            target = self.node()
            self.link(source, character, target)
            source = target
        return source

    def branch(self, source: int, text: str) -> int:
        """Add characters after a node, sharing the beginnings of what was added so before."""
        for character in text:
            found = next((arc[1] for arc in self._nodes[source] if arc[0] == character), None)
            if not isinstance(found, int):
                found = self.node()
                self.link(source, character, found)
            source = found
        return source

    def value_at(self, node: int) -> tuple[bool, Any]:
        """Tell whether a network may be left at a node, and with what value."""
        return node in self._ends, self._ends.get(node)

    def silent(self, source: int) -> set[int]:
        """Find the nodes that can be reached from a node without a letter."""
        reached, agenda = {source}, [source]
        while agenda:
            for arc in self._nodes[agenda.pop()]:
                silent = self._is_silent(arc[0]) if len(arc) == 3 else arc[0] in (NOTHING, SPACE)
                if silent and arc[-1] not in reached:
                    reached.add(arc[-1])
                    agenda.append(arc[-1])
        return reached

    def _is_silent(self, network: int) -> bool:
        return not self._ends.keys().isdisjoint(self.silent(self._starts[network]))

    def build(self, language: str, blocks: Iterable[dict[str, Any]]) -> Grammar:
        """Give the grammar."""
        return Grammar(language, tuple(blocks), tuple(self._starts), pack(self._nodes), dict(self._ends))


def spoken_text(text: str, alphabet: Collection[str]) -> str:
    """Write text in the letters of an alphabet: lower case, punctuation as spaces, accents dropped.

    Raises: ConfigError naming what cannot be spelled.
    """
    spelled = []
    for character in unicodedata.normalize("NFC", text.lower()):
        character = _SIGNS.get(character, character)
        if character in alphabet or len(character) > 1:
            spelled.append(character)
        elif character.isspace() or (
            unicodedata.category(character).startswith("P") and character not in _READ_ALOUD
        ):
            spelled.append(SPACE)
        else:
            spelled.append(_plain_letter(character, alphabet))
    result = "".join(spelled)
    for word in result.split():
        if len(word) > 4 and (_VOWELS.isdisjoint(word) or max(map(word.count, word)) == len(word)):
            raise ConfigError(f"{word!r} cannot be pronounced: write it as it is said")
    return result


def _plain_letter(character: str, alphabet: Collection[str]) -> str:
    plain = [c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c)]
    if plain and all(c in alphabet for c in plain):
        return "".join(plain)
    if character.isdigit():
        raise ConfigError(f"the number {character!r} must be written in words")
    name = f"{character!r} (U+{ord(character):04X})"
    if character.isalpha():
        raise ConfigError(f"{name} is not in the alphabet of this model")
    raise ConfigError(f"{name} must be written as it is said")


def phrases_grammar(
    phrases: Iterable[str], alphabet: Collection[str], language: str, source: str = "phrases"
) -> Grammar:
    """Make the grammar of a list of phrases; each is intent `phrase` with itself in slot `phrase`.

    Raises: ConfigError naming the line that cannot be spelled.
    """
    builder = GrammarBuilder()
    _, top = builder.network()
    network, start = builder.network()
    for number, phrase in enumerate(phrases, start=1):
        written = phrase.strip()
        if not written or written.startswith("#"):
            continue
        try:
            words = spoken_text(written, alphabet).split()
        except ConfigError as error:
            raise ConfigError(f"{source}: line {number}: {error}") from None
        if not words:
            raise ConfigError(f"{source}: line {number}: {written!r} holds no word")
        node = builder.branch(start, SPACE.join(words))
        if not builder.value_at(node)[0]:
            builder.end(node, written)
    last = builder.node()
    builder.call(top, network, "phrase", last)
    builder.end(last, 0)
    grammar = builder.build(language, [{"intent": "phrase", "slots": {}}])
    if len(grammar.ends) < 2:
        raise ConfigError(f"{source}: holds no phrase")
    return grammar
