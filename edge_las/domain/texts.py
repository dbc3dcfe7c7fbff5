"""What a domain's model is taught to hear: its commands, what nearly is one, and other speech."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from edge_las.domain.commands import MAX_WORDS, draw_commands
from edge_las.domain.compiled import Compiled
from edge_las.domain.corpora import clean, digit_texts, everyday_texts, home_texts, word_texts

COMMAND, NEAR, OTHER = "domain_command", "domain_near", "domain_other"
_MAX_TRIES = 50
_MAX_REPEATS = 3

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


def domain_texts(compiled: Compiled, counts: Counts, seed: Sequence[int]) -> list[tuple[str, str]]:
    """Make rows (text, COMMAND, NEAR or OTHER), the same for the same arguments.

    Raises: ConfigError if no sentence can be made of the templates.
    """
    rngs = [np.random.default_rng([*seed, number]) for number in range(3)]
    commands = list(islice(draw_commands(compiled, rngs[0]), counts.command))
    if not commands:
        raise compiled.domain.place.error(0, "no sentence comes of these templates")
    near = islice(_near_misses(commands, compiled, rngs[1]), counts.near)
    other = islice(_other(compiled, rngs[2]), counts.other)
    kinds = ((commands, COMMAND), (near, NEAR), (other, OTHER))
    return [(text, kind) for texts, kind in kinds for text in texts]


def _near_misses(commands: Sequence[str], compiled: Compiled, rng: np.random.Generator) -> Iterator[str]:
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
        text = " ".join(changed[:MAX_WORDS])
        if _is_outside(text, compiled):
            tried = 0
            yield text


def _other(compiled: Compiled, rng: np.random.Generator) -> Iterator[str]:
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
        if text and seen.get(text, 0) < _MAX_REPEATS and _is_outside(text, compiled):
            seen[text] = seen.get(text, 0) + 1
            tried = 0
            yield text


def _is_outside(text: str, compiled: Compiled) -> bool:
    """Tell whether text can be spelled and is no command."""
    letters = set(text) - {" "}
    return bool(letters) and letters <= compiled.alphabet and not compiled.automaton.accepts(text)
