"""Draws commands from a domain's templates so that each part of it is heard about as often as it needs."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edge_las.domain.compiled import Compiled
from edge_las.domain.corpora_lists import load_lists
from edge_las.domain.numbers import spell_number
from edge_las.domain.sampling import TemplateSampler, Values
from edge_las.domain.sentences import NumberRange, SlotList, Wildcard
from edge_las.domain.spoken import as_spoken
from edge_las.errors import ConfigError

MAX_WORDS = 25
_MAX_TRIES = 50
# A template that stands for a million sentences is drawn twenty times as often as one that stands for one.
_MOST_BITS = 20.0
# Now and then people say "two hundred five" and the like.
_SHORTER_SHARE = 0.3
_ANYTHING = ("grocery", "task", "song", "topic", "person", "place")


class Turns:
    """Gives each of several its turn, as often as its weight asks, in no fixed order."""

    def __init__(self, weights: Sequence[float], rng: np.random.Generator) -> None:
        self._weights = np.array(weights) / np.sum(weights)
        self._owed = rng.random(len(weights))

    def next(self) -> int:
        """Choose the one that has waited longest for its weight."""
        self._owed += self._weights
        chosen = int(self._owed.argmax())
        self._owed[chosen] -= 1.0
        return chosen


class BalancedSampler(TemplateSampler):
    """Draws every value of a list once before any comes again."""

    def __init__(self, rules: Mapping[str, str], values: Values, decks: dict[str, list[int]]) -> None:
        """`decks` holds what each list still has to give; samplers may share it."""
        super().__init__(rules, values)
        self._decks = decks

    def _pick(self, name: str, values: Sequence[str], rng: np.random.Generator) -> str:
        deck = self._decks.setdefault(name, [])
        if not deck:
            deck.extend(rng.permutation(len(values)).tolist())
        return values[deck.pop()]


class _Intent:
    """The templates of an intent, drawn by how much each can say."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._turns = rng, Turns([1.0], rng)
        self._templates: list[tuple[TemplateSampler, str]] = []
        self.sizes: list[float] = []

    def add(self, sampler: TemplateSampler, template: str, size: float) -> None:
        self._templates.append((sampler, template))
        self.sizes.append(size)
        self._turns = Turns([_bits(size) for size in self.sizes], self._rng)

    def draw(self) -> str:
        sampler, template = self._templates[self._turns.next()]
        return sampler.sample(template, self._rng)


def draw_commands(compiled: Compiled, rng: np.random.Generator) -> Iterator[str]:
    """Draw commands without end; ends only if none can be said."""
    intents = _intents(compiled, rng)
    turns = Turns([_bits(sum(intent.sizes)) for intent in intents], rng)
    accepts, failures = compiled.automaton.accepts, 0
    while failures < _MAX_TRIES * len(intents):
        text = _spelled(intents[turns.next()].draw(), compiled)
        shorter = text.replace(" and ", " ")
        if rng.random() < _SHORTER_SHARE and accepts(shorter):
            text = shorter
        failures += 1
        if len(text.split()) <= MAX_WORDS and accepts(text):
            failures = 0
            yield text


def _intents(compiled: Compiled, rng: np.random.Generator) -> list[_Intent]:
    domain = compiled.domain
    decks: dict[str, list[int]] = {}
    values = {str(name): _said(entry) for name, entry in domain.lists.items()}
    intents: dict[str, _Intent] = {}
    for block, sizes in zip(domain.blocks, compiled.sizes, strict=True):
        sampler = BalancedSampler({**domain.rules, **block.rules}, values, decks)
        intent = intents.setdefault(block.intent, _Intent(rng))
        for sentence, size in zip(block.sentences, sizes, strict=True):
            intent.add(sampler, str(sentence), size)
    return list(intents.values())


def _bits(size: float) -> float:
    return min(_MOST_BITS, 1.0 + float(np.log2(size)))


def _said(entry: SlotList) -> Sequence[str]:
    if isinstance(entry, NumberRange):
        return [spell_number(n) for n in range(entry.first, entry.last + 1, entry.step)]
    if isinstance(entry, Wildcard):
        lists = load_lists()
        return [text for name in _ANYTHING for text in lists[name] if "{" not in text]
    return [str(value.said) for value in entry]


def _spelled(text: str, compiled: Compiled) -> str:
    try:
        return " ".join(as_spoken(text, compiled.alphabet).split())
    except ConfigError:
        return ""
