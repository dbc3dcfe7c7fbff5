"""A domain as written: intents with sentence templates, lists and rules, read strictly."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_las.domain.yaml_lines import Place, Text, read_yaml
from edge_las.errors import ConfigError

# What Home Assistant keeps in these files for other uses than recognition.
_IGNORED = {"settings", "responses"}
_BLOCK_IGNORED = {"response", "requires_context", "excludes_context", "metadata", "required_keywords"}
_VALUE_IGNORED = {"context", "metadata", "requires_context", "excludes_context"}
_WHOLE = re.compile(r"[-+]?\d{1,9}")


@dataclass(frozen=True)
class Value:
    """A list's value: the template that is said, and what goes in the slot; None = the words said."""

    said: Text
    out: Any


@dataclass(frozen=True)
class NumberRange:
    """Whole numbers from first to last."""

    first: int
    last: int
    step: int = 1


@dataclass(frozen=True)
class Wildcard:
    """Any words."""


SlotList = tuple[Value, ...] | NumberRange | Wildcard


@dataclass(frozen=True)
class Block:
    """Templates of one intent that share fixed slots."""

    intent: str
    sentences: tuple[Text, ...]
    slots: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, Text] = field(default_factory=dict)


@dataclass(frozen=True)
class Domain:
    """A file of sentence templates."""

    place: Place
    language: str
    blocks: tuple[Block, ...]
    lists: dict[Text, SlotList]
    rules: dict[str, Text]


def read_domain(path: str | Path) -> Domain:
    """Read a file in Home Assistant's format.

    Raises: ConfigError naming file and line.
    """
    return _Reader(Place(path)).domain(read_yaml(Path(path)))


class _Reader:
    def __init__(self, place: Place) -> None:
        self._place = place

    def domain(self, values: Any) -> Domain:
        self._keys(values, "the file", {"language", "intents", "lists", "expansion_rules"} | _IGNORED)
        intents = self._mapping(values.get("intents"), "intents")
        blocks = tuple(block for name, intent in intents.items() for block in self._blocks(name, intent))
        if not blocks:
            raise self._place.error(0, "holds no intent: write intents, their data and sentences")
        lists = {name: self._list(name, entry) for name, entry in self._part(values, "lists").items()}
        rules = self._texts(self._part(values, "expansion_rules"))
        return Domain(self._place, str(values.get("language", "en")), blocks, lists, rules)

    def _blocks(self, name: Text, intent: Any) -> list[Block]:
        self._keys(intent, f"intent {name}", {"data", "description"}, name)
        data = intent.get("data")
        if not isinstance(data, list) or not data:
            raise self._place.error(name, f"intent {name} has no data")
        return [self._block(name, entry) for entry in data]

    def _block(self, name: Text, entry: Any) -> Block:
        where = f"intent {name}"
        self._keys(entry, where, {"sentences", "slots", "expansion_rules"} | _BLOCK_IGNORED, name)
        sentences = entry.get("sentences")
        if not isinstance(sentences, list) or not sentences:
            raise self._place.error(_line_of(entry, name), f"intent {name} has no sentences")
        for sentence in sentences:
            if not isinstance(sentence, Text) or not sentence.strip():
                raise self._place.error(_line_of(sentence, name), f"{where}: a sentence is no text or empty")
        slots = {str(key): _scalar(value) for key, value in self._part(entry, "slots").items()}
        return Block(str(name), tuple(sentences), slots, self._texts(self._part(entry, "expansion_rules")))

    def _list(self, name: Text, entry: Any) -> SlotList:
        where = f"list {name}"
        self._keys(entry, where, {"values", "range", "wildcard"} | _VALUE_IGNORED, name)
        kinds = [key for key in entry if key not in _VALUE_IGNORED]
        if len(kinds) != 1:
            raise self._place.error(name, f"{where} must have one of values, range, wildcard")
        kind = kinds[0]
        if kind == "range":
            return self._range(kind, entry[kind], where)
        if kind == "wildcard":
            if entry[kind] != "true":
                raise self._place.error(kind, f"{where}: wildcard can only be true")
            return Wildcard()
        if not isinstance(entry[kind], list) or not entry[kind]:
            raise self._place.error(kind, f"{where} has no values")
        return tuple(self._value(kind, value, where) for value in entry[kind])

    def _value(self, above: Text, value: Any, where: str) -> Value:
        if isinstance(value, Text):
            if not value.strip():
                raise self._place.error(value, f"{where}: a value is empty")
            return Value(value, None if is_template(value) else str(value).strip())
        self._keys(value, where, {"in", "out"} | _VALUE_IGNORED, above)
        said = value.get("in")
        if not isinstance(said, Text) or not said.strip():
            raise self._place.error(_line_of(value, above), f"{where}: a value has no `in`, or it is empty")
        if "out" in value:
            return Value(said, _scalar(value["out"]))
        return Value(said, None if is_template(said) else str(said).strip())

    def _range(self, above: Text, entry: Any, where: str) -> NumberRange:
        self._keys(entry, f"{where}: range", {"from", "to", "step", "type"}, above)
        numbers = []
        for key, default in (("from", None), ("to", None), ("step", "1")):
            text = entry.get(key, default)
            if text is None:
                raise self._place.error(above, f"{where}: range.{key} is missing")
            if not isinstance(text, str) or not _WHOLE.fullmatch(text):
                raise self._place.error(_line_of(text, above), f"{where}: range.{key} is not a whole number")
            numbers.append(int(text))
        span = NumberRange(*numbers)
        if span.step < 1 or span.last < span.first:
            raise self._place.error(above, f"{where}: the range {span.first} to {span.last} holds no number")
        return span

    def _part(self, values: dict[Text, Any], name: str) -> dict[Text, Any]:
        return self._mapping(values[next(k for k in values if k == name)], name) if name in values else {}

    def _texts(self, values: dict[Text, Any]) -> dict[str, Text]:
        for key, value in values.items():
            if not isinstance(value, Text) or not value.strip():
                raise self._place.error(_line_of(value, key), f"rule {key} is no text or empty")
        return {str(key): value for key, value in values.items()}

    def _mapping(self, value: Any, name: str) -> dict[Text, Any]:
        if value is None:
            raise self._place.error(0, f"{name} is missing")
        if not isinstance(value, dict):
            raise self._place.error(_line_of(value, 0), f"{name} must hold names and what they mean")
        return value

    def _keys(self, value: Any, where: str, known: set[str], above: Any = 0) -> None:
        if not isinstance(value, dict):
            raise self._place.error(_line_of(value, above), f"{where}: must hold {', '.join(sorted(known))}")
        for key in value:
            if key not in known:
                raise self._place.error(key, f"{where}: unknown key {key}")


def is_template(text: str) -> bool:
    """Tell whether text holds signs of the template language."""
    return any(sign in text for sign in "()[]{}<>|;\\")


def _line_of(value: Any, otherwise: Any) -> Any:
    """Find the line of something: its own, that of its first part, or else that of what it belongs to."""
    if isinstance(value, Text):
        return value.line
    parts = list(value) if isinstance(value, (dict, list)) else []
    return _line_of(parts[0], otherwise) if parts else otherwise


def _scalar(value: Any) -> Any:
    """Read an unquoted whole number or truth value as such; anything else stays the text it is."""
    if not isinstance(value, Text):
        raise ConfigError(f"{value!r} is no single value")
    if value.plain and _WHOLE.fullmatch(value):
        return int(value)
    return {"true": True, "false": False}.get(value, str(value)) if value.plain else str(value)
