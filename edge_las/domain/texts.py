"""What a domain's model is taught to hear: its commands, what nearly is one, and other speech."""

import importlib.util
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from edge_las.domain.corpora import clean, digit_texts, everyday_texts, home_texts, word_texts
from edge_las.domain.corpora_lists import load_lists
from edge_las.domain.numbers import spell_number
from edge_las.domain.sampling import TemplateSampler, Values
from edge_las.domain.sentences import Domain, NumberRange, SlotList, Wildcard
from edge_las.domain.spoken import as_spoken
from edge_las.errors import ConfigError
from edge_las.search.automaton import Automaton

COMMAND, NEAR, OTHER = "domain_command", "domain_near", "domain_other"
_MAX_TRIES = 50
_MAX_REPEATS = 3
_MAX_WORDS = 25

Texts = Callable[[np.random.Generator], Iterator[str]]


@dataclass(frozen=True)
class Counts:
    """How many sentences of each kind."""

    command: int
    near: int
    other: int

    @property
    def total(self) -> int:
        return self.command + self.near + self.other


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


def domain_texts(
    domain: Domain, automaton: Automaton, alphabet: Collection[str], counts: Counts, seed: Sequence[int]
) -> list[tuple[str, str]]:
    """Make rows (text, COMMAND, NEAR or OTHER), the same for the same arguments.

    Raises: ConfigError if no sentence can be made of the templates.
    """
    rngs = [np.random.default_rng([*seed, number]) for number in range(3)]
    commands = list(islice(_commands(domain, automaton, alphabet, rngs[0]), counts.command))
    if not commands:
        raise domain.place.error(0, "no sentence comes of these templates")
    near = islice(_near_misses(commands, automaton, rngs[1]), counts.near)
    other = islice(_other(automaton, rngs[2]), counts.other)
    kinds = ((commands, COMMAND), (near, NEAR), (other, OTHER))
    return [(text, kind) for texts, kind in kinds for text in texts]


def _commands(
    domain: Domain, automaton: Automaton, alphabet: Collection[str], rng: np.random.Generator
) -> Iterator[str]:
    """Draw from intents in turn, from the templates of each in turn; ends only if none can be said."""
    decks: dict[str, list[int]] = {}
    values = {str(name): _said(entry) for name, entry in domain.lists.items()}
    templates: dict[str, list[tuple[TemplateSampler, str]]] = {}
    for block in domain.blocks:
        sampler = BalancedSampler({**domain.rules, **block.rules}, values, decks)
        templates.setdefault(block.intent, []).extend((sampler, str(text)) for text in block.sentences)
    waiting: dict[str, list[int]] = {intent: [] for intent in templates}
    intents, failures = list(templates), 0
    while failures < _MAX_TRIES * len(intents):
        for index in rng.permutation(len(intents)):
            intent = intents[int(index)]
            if not waiting[intent]:
                waiting[intent] = rng.permutation(len(templates[intent])).tolist()
            drawn, template = templates[intent][waiting[intent].pop()]
            text = _spelled(drawn.sample(template, rng), alphabet)
            if rng.random() < 0.3 and automaton.accepts(shorter := text.replace(" and ", " ")):
                text = shorter
            usable = len(text.split()) <= _MAX_WORDS and automaton.accepts(text)
            failures = 0 if usable else failures + 1
            if usable:
                yield text


def _said(entry: SlotList) -> Sequence[str]:
    if isinstance(entry, NumberRange):
        return [spell_number(n) for n in range(entry.first, entry.last + 1, entry.step)]
    if isinstance(entry, Wildcard):
        lists = load_lists()
        names = ("grocery", "task", "song", "topic", "person", "place")
        return [text for name in names for text in lists[name] if "{" not in text]
    return [str(value.said) for value in entry]


def _spelled(text: str, alphabet: Collection[str]) -> str:
    try:
        return " ".join(as_spoken(text, alphabet).split())
    except ConfigError:
        return ""


def _near_misses(commands: Sequence[str], automaton: Automaton, rng: np.random.Generator) -> Iterator[str]:
    """Change commands by a word, or cut and join them, to what is no command; ends if that hardly works."""
    vocabulary = sorted({word for text in commands for word in text.split()})
    vocabulary += list(islice(word_texts(rng), 300))
    tried = 0
    while tried < _MAX_TRIES:
        tried += 1
        words, other = (commands[int(rng.integers(len(commands)))].split() for _ in range(2))
        at, word = int(rng.integers(len(words))), vocabulary[int(rng.integers(len(vocabulary)))]
        changed = (
            [*words[:at], word, *words[at + 1 :]], [*words[:at], *words[at + 1 :]],
            [*words[:at], word, *words[at:]], [*words[:at], *other[len(other) // 2 :]],
        )[int(rng.integers(4))]  # fmt: skip
        text = " ".join(changed[:_MAX_WORDS])
        if text and not automaton.accepts(text):
            tried = 0
            yield text


def _other(automaton: Automaton, rng: np.random.Generator) -> Iterator[str]:
    """Mix everyday requests, numbers, single words and, if they are installed, Home Assistant's sentences."""
    makers: list[Texts] = [everyday_texts, everyday_texts, digit_texts, word_texts]
    if importlib.util.find_spec("home_assistant_intents"):
        makers.append(home_texts)
    sources = [make(rng) for make in makers]
    seen: dict[str, int] = {}
    tried = 0
    while tried < _MAX_TRIES:  # a grammar of wildcards leaves nothing outside
        tried += 1
        text = clean(next(sources[int(rng.integers(len(sources)))]))
        if text and seen.get(text, 0) < _MAX_REPEATS and not automaton.accepts(text):
            seen[text] = seen.get(text, 0) + 1
            tried = 0
            yield text
