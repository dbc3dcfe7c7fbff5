"""What may be said: a network of characters with the intents and slots of its sentences, and its file."""

import gzip
import json
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_las.errors import ArtifactError, ConfigError

GRAMMAR_NAME = "grammar.json.gz"
FORMAT = 1
# Labels of arcs that are no character: one that takes nothing, and one that takes any letter.
NOTHING, ANY, SPACE = "", "*", " "
_MAX_BYTES = 64 << 20
_SIGNS = {"%": " percent ", "&": " and ", "°": " degrees ", "\u2019": "'", "\u02bc": "'"}
_READ_ALOUD = "@#‰"
_VOWELS = frozenset("aeiouy")

# A character and where it leads, or a network to go through, the slot for what it holds, and where to go on.
Arc = tuple[str, int] | tuple[int, str, int]


@dataclass(frozen=True)
class Grammar:
    """Networks that refer to each other, never in circles; starts[0] is the start of whole sentences.

    nodes holds the arcs of each node; ends the nodes where a network may be left: with an index into `blocks`
    in the first network, else with a slot's value, None for the words themselves.
    """

    language: str
    blocks: tuple[dict[str, Any], ...]
    starts: tuple[int, ...]
    nodes: tuple[tuple[Arc, ...], ...]
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
        nodes = tuple(tuple(arcs) for arcs in self._nodes)
        return Grammar(language, tuple(blocks), tuple(self._starts), nodes, dict(self._ends))


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


def save_grammar(path: str | Path, grammar: Grammar) -> None:
    """Write a grammar, the same bytes for the same grammar."""
    values = {
        "format": FORMAT,
        "language": grammar.language,
        "blocks": grammar.blocks,
        "starts": grammar.starts,
        "nodes": grammar.nodes,
        "ends": [[node, value] for node, value in grammar.ends.items()],
    }
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    Path(path).write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))


def load_grammar(path: str | Path) -> Grammar:
    """Read a grammar.

    Raises: ArtifactError naming the file.
    """
    try:
        with gzip.open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ValueError("too large")
        values = json.loads(data)
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}, this edge-las reads {FORMAT}")
        grammar = Grammar(
            language=str(values["language"]),
            blocks=tuple(values["blocks"]),
            starts=tuple(values["starts"]),
            nodes=tuple(tuple(tuple(arc) for arc in arcs) for arcs in values["nodes"]),
            ends=dict(values["ends"]),
        )
        _check(grammar)
    except (OSError, EOFError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtifactError(f"{path}: not a grammar that can be read: {error}") from None
    return grammar


def _check(grammar: Grammar) -> None:
    """Raise ValueError unless everything that is referred to is there."""
    nodes, networks = range(len(grammar.nodes)), range(len(grammar.starts))
    if not networks or any(start not in nodes for start in grammar.starts):
        raise ValueError("a start is not a node")
    if any(node not in nodes for node in grammar.ends):
        raise ValueError("an end is not a node")
    for arcs in grammar.nodes:
        for arc in arcs:
            label, target = arc[0], arc[-1]
            known = label in networks if len(arc) == 3 else isinstance(label, str) and len(label) < 2
            if not known or target not in nodes:
                raise ValueError(f"the arc {arc} leads nowhere")
    for block in grammar.blocks:
        if not isinstance(block["intent"], str) or not isinstance(block["slots"], dict):
            raise ValueError("an intent has no name or no slots")
