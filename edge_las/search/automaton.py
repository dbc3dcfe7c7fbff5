"""A grammar at work: characters followed through its networks, and what a sentence means."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge_las.errors import ArtifactError
from edge_las.grammar import ANY, NOTHING, SPACE, Grammar
from edge_las.tokens import WORD_MARK

# Where in the text a path stands: inside a word, after a word's end, after the mark of the next word.
_INSIDE, _BETWEEN, _BEGUN = range(3)
_MAX_DEPTH = 60
OUTSIDE = -1

# Node, frame (where to go on after the network), and where in the text.
_Config = tuple[int, int, int]
# What was passed on the way, last first: slots entered, and values they were left with.
_Tags = tuple[Any, Any] | None
_Paths = dict[_Config, _Tags]


@dataclass(frozen=True)
class Match:
    """What a sentence of the grammar means."""

    intent: str
    slots: dict[str, Any]


class Automaton:
    """A grammar made deterministic as far as it is visited, so that its size never matters.

    A state is a small number, OUTSIDE for none; threads may share it.
    Texts are as the tokens spell them: a word mark before each word.
    """

    def __init__(self, grammar: Grammar) -> None:
        self._nodes, self._starts, self._ends = grammar.nodes, grammar.starts, grammar.ends
        self._blocks = grammar.blocks
        self._letters = [{str(arc[0]) for arc in arcs if _is_letter(arc)} for arcs in grammar.nodes]
        self._frames: list[tuple[int, str, int, int]] = [(-1, "", -1, 0)]
        self._frame_ids: dict[tuple[int, str, int], int] = {}
        # A state is the configs it may be in, by number: large grammars visit tens of thousands.
        self._configs: list[_Config] = []
        self._config_ids: dict[_Config, int] = {}
        self._states: list[tuple[tuple[int, ...], bool]] = []
        self._state_ids: dict[tuple[tuple[int, ...], bool], int] = {}
        self._moves: dict[tuple[int, str], int] = {}
        self._lock = threading.RLock()
        self._first: list[tuple[_Config, _Tags]] = [((grammar.starts[0], 0, _BETWEEN), None)]
        paths, _ = self._closure(self._first, 0)
        # Nothing at all is no sentence.
        self.start = self._state(paths, False)

    @property
    def has_wildcards(self) -> bool:
        """Whether any words may stand somewhere."""
        return any(ANY in letters for letters in self._letters)

    @property
    def num_states(self) -> int:
        """How many states were visited so far."""
        return len(self._states)

    def step(self, state: int, character: str) -> int:
        """Return the state after a character."""
        found = self._moves.get((state, character))
        if found is not None:
            return found
        with self._lock:
            paths, ended = self._advance(dict.fromkeys(self._configs_of(state)), character, 0)
            found = self._state(paths, ended is not None)
            self._moves[state, character] = found
        return found

    def walk(self, state: int, text: str) -> int:
        """Return the state after some characters."""
        for character in text:
            if state == OUTSIDE:
                return OUTSIDE
            state = self.step(state, character)
        return state

    def may_end(self, state: int) -> bool:
        """Tell whether a sentence may end at a state."""
        return state != OUTSIDE and self._states[state][1]

    def continuations(self, state: int) -> set[str]:
        """Return the characters that lead on; ANY among them stands for all letters."""
        found: set[str] = set()
        for node, _, place in self._configs_of(state):
            found |= {WORD_MARK} if place == _BETWEEN else self._letters[node]
        return found

    def accepts(self, text: str) -> bool:
        """Tell whether words with single spaces between them are a sentence of the grammar."""
        return self.may_end(self.walk(self.start, _marked(text)))

    def interpret(self, text: str) -> Match | None:
        """Read intent and slots of a sentence; of several readings the one written first."""
        marked = _marked(text)
        if not marked:
            return None
        with self._lock:
            paths, ended = self._closure(self._first, 0)
            for position, character in enumerate(marked, start=1):
                paths, ended = self._advance(paths, character, position)
        if ended is None:
            return None
        block, tags = ended
        slots = {**self._blocks[block]["slots"], **_slots(tags, marked)}
        return Match(self._blocks[block]["intent"], slots)

    def _state(self, paths: _Paths, ended: bool) -> int:
        if not paths and not ended:
            return OUTSIDE
        for config in paths:
            if config not in self._config_ids:
                self._config_ids[config] = len(self._configs)
                self._configs.append(config)
        numbers = tuple([self._config_ids[config] for config in paths])
        key = tuple(sorted(numbers)), ended
        if key not in self._state_ids:
            self._state_ids[key] = len(self._states)
            self._states.append((numbers, ended))
        return self._state_ids[key]

    def _configs_of(self, state: int) -> list[_Config]:
        return [self._configs[number] for number in self._states[state][0]]

    def _advance(
        self, paths: _Paths, character: str, position: int
    ) -> tuple[_Paths, tuple[int, _Tags] | None]:
        """Follow paths over one character, the first of equal ones."""
        if character == WORD_MARK:
            begun = {
                (node, frame, _BEGUN): tags
                for (node, frame, place), tags in paths.items()
                if place == _BETWEEN
            }
            return begun, None
        seeds = [
            ((arc[-1], frame, _INSIDE), tags)
            for (node, frame, place), tags in paths.items()
            if place != _BETWEEN
            for arc in self._nodes[node]
            if len(arc) == 2 and arc[0] in (character, ANY)
        ]
        return self._closure(seeds, position)

    def _closure(
        self, seeds: Iterable[tuple[_Config, _Tags]], position: int
    ) -> tuple[_Paths, tuple[int, _Tags] | None]:
        """Follow everything that takes no letter; keep what can take one, and the first way to the end."""
        kept: _Paths = {}
        ended: tuple[int, _Tags] | None = None
        seen: set[_Config] = set()
        agenda = list(seeds)[::-1]
        while agenda:
            config, tags = agenda.pop()
            if config in seen:
                continue
            seen.add(config)
            node, frame, place = config
            if self._letters[node]:
                kept[config] = tags
            if node in self._ends and frame == 0 and place != _BEGUN and ended is None:
                ended = self._ends[node], tags
            agenda.extend(self._onward(config, tags, position)[::-1])
        return kept, ended

    def _onward(self, config: _Config, tags: _Tags, position: int) -> list[tuple[_Config, _Tags]]:
        """List the configs that are reached without a letter."""
        node, frame, place = config
        onward: list[tuple[_Config, _Tags]] = []
        for arc in self._nodes[node]:
            if len(arc) == 3:
                network, slot, target = arc
                inner = self._starts[network], self._frame(target, slot, frame), place
                onward.append((inner, (tags, (slot, position)) if slot else tags))
            elif arc[0] == NOTHING:
                onward.append(((arc[1], frame, place), tags))
            elif arc[0] == SPACE:
                onward.append(((arc[1], frame, _BETWEEN if place == _INSIDE else place), tags))
        if node in self._ends and frame:
            target, slot, outer, _ = self._frames[frame]
            after = (tags, (None, position, self._ends[node])) if slot else tags
            onward.append(((target, outer, place), after))
        return onward

    def _frame(self, target: int, slot: str, outer: int) -> int:
        key = target, slot, outer
        if key not in self._frame_ids:
            depth = self._frames[outer][3] + 1
            if depth > _MAX_DEPTH:
                raise ArtifactError(f"grammar: networks are nested more than {_MAX_DEPTH} deep")
            self._frame_ids[key] = len(self._frames)
            self._frames.append((*key, depth))
        return self._frame_ids[key]


def _is_letter(arc: tuple[Any, ...]) -> bool:
    return len(arc) == 2 and arc[0] not in (NOTHING, SPACE)


def _marked(text: str) -> str:
    return "".join(WORD_MARK + word for word in text.split())


def _slots(tags: _Tags, marked: str) -> dict[str, Any]:
    """Pair the slots entered with the values they were left with."""
    passed = []
    while tags is not None:
        tags, tag = tags
        passed.append(tag)
    open_slots: list[tuple[str, int]] = []
    slots: dict[str, Any] = {}
    for tag in reversed(passed):
        if tag[0] is not None:
            open_slots.append(tag)
            continue
        slot, first = open_slots.pop()
        words = marked[first : tag[1]].replace(WORD_MARK, " ").split()
        slots[slot] = " ".join(words) if tag[2] is None else tag[2]
    return slots
