"""Random sentences from hassil templates, balanced over templates rather than over what they expand to."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from edge_las.domain.numbers import spell_number
from edge_las.errors import ConfigError

Values = Mapping[str, Sequence[str]]
MAX_DEPTH = 30
# Ours may do without a slot name, which hassil itself demands.
INLINE_RANGE = re.compile(r"(\d+)\.\.(\d+)(?:,(\d+))?")


@lru_cache(maxsize=20000)
def _parse(template: str) -> Any:
    from hassil.errors import HassilError  # type: ignore[attr-defined, unused-ignore]
    from hassil.parse_expression import parse_sentence

    try:
        return parse_sentence(template).expression
    except HassilError as error:
        raise ConfigError(f"template {template!r}: {error}") from error


class _Numbers(Sequence[str]):
    """The numbers of a range in words, spelled when asked for."""

    def __init__(self, numbers: range) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        return spell_number(self._numbers[index])


class TemplateSampler:
    """Draws sentences from templates with `<rules>` and `{lists}`; a list value may itself be a template."""

    def __init__(self, rules: Mapping[str, str], values: Values, optional_share: float = 0.4) -> None:
        self._rules, self._values, self._optional = rules, values, optional_share

    def sample(self, template: str, rng: np.random.Generator) -> str:
        """One sentence: lower case, single spaces. Raises: ConfigError for an unknown rule or list."""
        return " ".join(self._draw(_parse(template), rng, 0).lower().split())

    def _draw(self, node: Any, rng: np.random.Generator, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise ConfigError("template: rules refer to each other without end")
        kind = type(node).__name__
        if kind == "TextChunk":
            return str(node.original_text)
        if kind == "Alternative":
            return self._draw(self._branch(node, rng), rng, depth + 1)
        if kind == "Permutation":
            return "".join(
                self._draw(node.items[i], rng, depth + 1) for i in rng.permutation(len(node.items))
            )
        if kind == "RuleReference":
            return self._draw(_parse(self._lookup(self._rules, "rule", node.rule_name)), rng, depth + 1)
        if kind == "ListReference":
            return self._draw_value(node, rng, depth)
        return "".join(self._draw(item, rng, depth + 1) for item in node.items)

    def _branch(self, node: Any, rng: np.random.Generator) -> Any:
        if node.is_optional and len(node.items) > 1:
            taken = rng.random() < self._optional
            return node.items[int(rng.integers(len(node.items) - 1))] if taken else node.items[-1]
        return node.items[int(rng.integers(len(node.items)))]

    def _draw_value(self, node: Any, rng: np.random.Generator, depth: int) -> str:
        name = str(node.list_name)
        if span := INLINE_RANGE.fullmatch(name):
            start, stop, step = (int(group) for group in span.groups(default="1"))
            return self._pick(name, _Numbers(range(start, stop + 1, step)), rng)
        values = self._lookup(self._values, "list", name)
        return self._draw(_parse(self._pick(name, values, rng)), rng, depth + 1)

    def _pick(self, name: str, values: Sequence[str], rng: np.random.Generator) -> str:
        """Choose a value of a list."""
        return values[int(rng.integers(len(values)))]

    @staticmethod
    def _lookup(table: Mapping[str, Any], what: str, name: str) -> Any:
        if name not in table:
            raise ConfigError(f"template: unknown {what} {name!r}")
        return table[name]
