"""A grammar at work: characters followed through its networks, and what a sentence means."""

from __future__ import annotations

import threading
from array import array
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edge_las.arcs import ANY_CODE
from edge_las.grammar import Grammar
from edge_las.search.networks import Ended, Networks, Paths, Spread, Tags
from edge_las.tokens import WORD_MARK

OUTSIDE = -1
_CODE_BITS = 21


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
        self._networks, self._blocks = Networks(grammar), grammar.blocks
        self._has_wildcards = ANY_CODE in grammar.arcs.codes
        # A state is whether a sentence may end there, and the configs it may be in, as the bytes of an array.
        self._states: list[bytes] = []
        self._state_ids: dict[bytes, int] = {}
        self._moves: dict[int, int] = {}
        # Of the state that was last looked at: its characters are mostly asked for one after the other.
        self._spread: tuple[int, Spread] = OUTSIDE, {}
        self._lock = threading.RLock()
        # Nothing at all is no sentence.
        self.start = self._state(self._networks.start(), False)

    @property
    def has_wildcards(self) -> bool:
        """Whether any words may stand somewhere."""
        return self._has_wildcards

    @property
    def num_states(self) -> int:
        """How many states were visited so far."""
        return len(self._states)

    def step(self, state: int, character: str) -> int:
        """Return the state after a character."""
        key = state << _CODE_BITS | ord(character)
        found = self._moves.get(key)
        if found is None:
            with self._lock:
                paths, ended = self._networks.enter(self._spread_of(state), character, 0)
                found = self._moves[key] = self._state(paths, ended is not None)
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
        return state != OUTSIDE and bool(self._states[state][0])

    def continuations(self, state: int) -> set[str]:
        """Return the characters that lead on; ANY among them stands for all letters."""
        with self._lock:
            return set(map(chr, self._spread_of(state)))

    def accepts(self, text: str) -> bool:
        """Tell whether words with single spaces between them are a sentence of the grammar."""
        return self.may_end(self.walk(self.start, _marked(text)))

    def interpret(self, text: str) -> Match | None:
        """Read intent and slots of a sentence; of several readings the one written first."""
        marked = _marked(text)
        if not marked:
            return None
        with self._lock:
            spread: Spread = self._opening
            ended: Ended = None
            for position, character in enumerate(marked[1:], start=2):
                paths, ended = self._networks.enter(spread, character, position)
                spread = self._networks.spread(paths)
        if ended is None:
            return None
        block, tags = ended
        slots = {**self._blocks[block]["slots"], **_slots(tags, marked)}
        return Match(self._blocks[block]["intent"], slots)

    @cached_property
    def _opening(self) -> Spread:
        """What all texts begin with: the ways onward after the first word mark."""
        networks = self._networks
        paths, _ = networks.enter(networks.spread(networks.start()), WORD_MARK, 1)
        return networks.spread(paths)

    def _state(self, paths: Paths, ended: bool) -> int:
        if not paths and not ended:
            return OUTSIDE
        key = bytes([ended]) + array("q", sorted(paths)).tobytes()
        found = self._state_ids.get(key)
        if found is None:
            found = self._state_ids[key] = len(self._states)
            self._states.append(key)
        return found

    def _spread_of(self, state: int) -> Spread:
        if self._spread[0] != state:
            configs = array("q")
            configs.frombytes(self._states[state][1:])
            self._spread = state, self._networks.spread(dict.fromkeys(configs))
        return self._spread[1]


def _marked(text: str) -> str:
    return "".join(WORD_MARK + word for word in text.split())


def _slots(tags: Tags, marked: str) -> dict[str, Any]:
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
