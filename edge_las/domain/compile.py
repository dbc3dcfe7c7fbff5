"""Sentence templates to a grammar: linear in what is written, however many sentences it stands for."""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from edge_las.arcs import ANY, NOTHING, SPACE
from edge_las.domain.numbers import spell_number
from edge_las.domain.sampling import INLINE_RANGE
from edge_las.domain.sentences import Block, Domain, NumberRange, Value, Wildcard, is_template
from edge_las.domain.spoken import as_spoken
from edge_las.domain.yaml_lines import Text
from edge_las.errors import ConfigError
from edge_las.grammar import Grammar, GrammarBuilder

# Orders of a permutation are not listed, but the sets of what was said so far are: 2 ** items.
_MAX_PERMUTED = 10
_MAX_NUMBERS, _MAX_SPELLED = 20_000, 999_999

# A network and how many sentences it stands for (more than once if they can be read in several ways).
_Part = tuple[int, float]


def compile_domain(
    domain: Domain, alphabet: Collection[str]
) -> tuple[Grammar, tuple[tuple[float, ...], ...]]:
    """Make the grammar of a domain; also count what each block's templates stand for, inf with wildcards.

    Raises: ConfigError naming file and line.
    """
    try:
        return _Compiler(domain, alphabet).run()
    except RecursionError:
        raise domain.place.error(0, "templates are nested too deeply") from None


class _Compiler:
    def __init__(self, domain: Domain, alphabet: Collection[str]) -> None:
        self._domain, self._alphabet, self._builder = domain, alphabet, GrammarBuilder()
        self._parts: dict[tuple[Any, ...], _Part] = {}
        self._active: list[str] = []
        # The template being read, for errors; rules of its block, and a number for them.
        self._at = Text()
        self._rules, self._scope = domain.rules, 0

    def run(self) -> tuple[Grammar, tuple[tuple[float, ...], ...]]:
        builder, domain = self._builder, self._domain
        _, top = builder.network()
        sizes = tuple(self._block(top, index, block) for index, block in enumerate(domain.blocks))
        # What no sentence uses must be right as well.
        self._rules, self._scope = domain.rules, 0
        for name in domain.rules:
            self._rule(name)
        for name in domain.lists:
            self._list(name)
        slots = [{"intent": block.intent, "slots": block.slots} for block in domain.blocks]
        return builder.build(domain.language, slots), sizes

    def _block(self, top: int, index: int, block: Block) -> tuple[float, ...]:
        self._rules = {**self._domain.rules, **block.rules}
        self._scope = index + 1 if block.rules else 0
        last, sizes = self._builder.node(), []
        for sentence in block.sentences:
            start = self._builder.node()
            self._builder.link(top, NOTHING, start)
            end, count = self._template(sentence, start)
            if end in self._builder.silent(start):
                raise self._domain.place.error(sentence, f"{str(sentence)!r} can be said by saying nothing")
            self._builder.link(end, NOTHING, last)
            sizes.append(count)
        self._builder.end(last, index)
        return tuple(sizes)

    def _template(self, template: Text, source: int) -> tuple[int, float]:
        from hassil.parse_expression import parse_sentence
        from hassil.parser import ParseError

        outer, self._at = self._at, template
        try:
            expression = parse_sentence(str(template)).expression
        except (ParseError, AssertionError, ValueError) as error:
            raise self._error(f"not a template: {error}") from None
        result = self._expression(expression, source)
        self._at = outer
        return result

    def _expression(self, node: Any, source: int) -> tuple[int, float]:
        kind = type(node).__name__
        if kind == "TextChunk":
            return self._builder.text(source, self._spoken(str(node.original_text))), 1.0
        if kind == "Alternative":
            return self._alternative(node.items, source)
        if kind == "Permutation":
            return self._permutation(node.items, source)
        if kind == "RuleReference":
            return self._call(source, self._rule(str(node.rule_name)), "")
        if kind == "ListReference":
            return self._reference(node, source)
        total = 1.0
        for item in node.items:
            source, count = self._expression(item, source)
            total *= count
        return source, total

    def _alternative(self, items: list[Any], source: int) -> tuple[int, float]:
        target, total = self._builder.node(), 0.0
        for item in items:
            end, count = self._expression(item, source)
            self._builder.link(end, NOTHING, target)
            total += count
        return target, total

    def _permutation(self, items: list[Any], source: int) -> tuple[int, float]:
        if len(items) > _MAX_PERMUTED:
            raise self._error(f"{len(items)} parts in any order; at most {_MAX_PERMUTED} can be")
        parts = []
        for item in items:
            network, start = self._builder.network()
            end, count = self._expression(item, start)
            self._builder.end(end, None)
            parts.append((network, count))
        nodes = [source] + [self._builder.node() for _ in range((1 << len(items)) - 1)]
        for said, node in enumerate(nodes):
            for bit, (network, _) in enumerate(parts):
                if not said & 1 << bit:
                    self._builder.call(node, network, "", nodes[said | 1 << bit])
        return nodes[-1], math.factorial(len(items)) * math.prod(count for _, count in parts)

    def _reference(self, node: Any, source: int) -> tuple[int, float]:
        name = str(node.list_name)
        span = INLINE_RANGE.fullmatch(name)
        if span is None:
            return self._call(source, self._list(name), str(node.slot_name))
        first, last, step = (int(group) for group in span.groups(default="1"))
        if step < 1 or last < first:
            raise self._error(f"the range {name} holds no number")
        numbers = NumberRange(first, last, step)
        part = self._part(("range", numbers), lambda start: self._numbers(numbers, start))
        # Without a name of its own an inline range is no slot.
        return self._call(source, part, "" if str(node.slot_name) == name else str(node.slot_name))

    def _call(self, source: int, part: _Part, slot: str) -> tuple[int, float]:
        target = self._builder.node()
        self._builder.call(source, part[0], slot, target)
        return target, part[1]

    def _rule(self, name: str) -> _Part:
        if name not in self._rules:
            raise self._error(f"unknown rule <{name}>")
        with self._entered(f"<{name}>"):
            return self._part(("rule", self._scope, name), lambda start: self._rule_body(name, start))

    def _rule_body(self, name: str, start: int) -> float:
        end, count = self._template(self._rules[name], start)
        self._builder.end(end, None)
        return count

    def _list(self, name: str) -> _Part:
        key = next((key for key in self._domain.lists if key == name), None)
        if key is None:
            raise self._error(f"unknown list {{{name}}}")
        with self._entered(f"{{{name}}}"):
            return self._part(("list", self._scope, name), lambda start: self._list_body(key, start))

    def _list_body(self, name: Text, start: int) -> float:
        slot_list = self._domain.lists[name]
        if isinstance(slot_list, Wildcard):
            return self._wildcard(start)
        if isinstance(slot_list, NumberRange):
            outer, self._at = self._at, name
            count = self._numbers(slot_list, start)
            self._at = outer
            return count
        return sum(self._value(name, value, start) for value in slot_list)

    def _value(self, name: str, value: Value, start: int) -> float:
        if is_template(value.said):
            first = self._builder.node()
            self._builder.link(start, NOTHING, first)
            end, count = self._template(value.said, first)
            # A node of its own: another value may end in the same place with another meaning.
            last = self._builder.node()
            self._builder.link(end, NOTHING, last)
            self._builder.end(last, value.out)
            return count
        outer, self._at = self._at, value.said
        words = self._spoken(str(value.said)).split()
        if not words:
            raise self._error(f"list {name}: {str(value.said)!r} holds no word")
        node = self._builder.branch(start, SPACE.join(words))
        taken, other = self._builder.value_at(node)
        if taken and other != value.out:
            raise self._error(f"list {name}: {str(value.said)!r} stands for {other!r} already")
        self._builder.end(node, value.out)
        self._at = outer
        return 1.0

    def _numbers(self, span: NumberRange, start: int) -> float:
        numbers = range(span.first, span.last + 1, span.step)
        if len(numbers) > _MAX_NUMBERS or max(abs(span.first), abs(span.last)) > _MAX_SPELLED:
            raise self._error(f"the range {span.first} to {span.last} is too large (limit {_MAX_NUMBERS})")
        for number in numbers:
            words = spell_number(number)
            for text in {words: 0, words.replace(" and ", " "): 0}:
                self._builder.end(self._builder.branch(start, self._spoken(text)), number)
        return float(len(numbers))

    def _wildcard(self, start: int) -> float:
        inside = self._builder.node()
        self._builder.link(start, SPACE, start)
        self._builder.link(start, ANY, inside)
        self._builder.link(inside, ANY, inside)
        self._builder.link(inside, SPACE, start)
        self._builder.end(inside, None)
        return math.inf

    def _part(self, key: tuple[Any, ...], fill: Callable[[int], float]) -> _Part:
        """Make a network once; `fill` adds to its start, and counts."""
        if key not in self._parts:
            network, start = self._builder.network()
            self._parts[key] = network, fill(start)
        return self._parts[key]

    @contextmanager
    def _entered(self, name: str) -> Iterator[None]:
        if name in self._active:
            circle = " -> ".join([*self._active[self._active.index(name) :], name])
            raise self._error(f"refers to itself: {circle}")
        self._active.append(name)
        try:
            yield
        finally:
            self._active.pop()

    def _spoken(self, text: str) -> str:
        try:
            return as_spoken(text, self._alphabet)
        except ConfigError as error:
            raise self._error(str(error)) from None

    def _error(self, message: str) -> ConfigError:
        return self._domain.place.error(self._at, message)
