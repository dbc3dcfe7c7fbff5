"""A grammar's networks followed: where all paths stand, and what may come next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from edge_las.arcs import ANY_CODE, NOTHING_CODE, SPACE_CODE
from edge_las.errors import ArtifactError
from edge_las.grammar import Grammar
from edge_las.tokens import WORD_MARK

# Where in the text a path stands: inside a word, after a word's end, after the mark of the next word.
_INSIDE, _BETWEEN, _BEGUN = range(3)
_MAX_DEPTH = 60

# A config is where a path stands: frame (where to go on after the network), node, and where in the text, in
# one number. Large grammars visit hundreds of thousands, and as tuples they took 30 MB.
_PLACE_BITS, _NODE_BITS = 2, 26
_PLACE, _NODE = (1 << _PLACE_BITS) - 1, (1 << _NODE_BITS) - 1
_FRAME_SHIFT = _PLACE_BITS + _NODE_BITS
_FRAME = ~((1 << _FRAME_SHIFT) - 1)
_MARK_CODE = ord(WORD_MARK)
# What a node may do; letters alone are by far the most, and quickly done.
_TAKES_LETTER, _GOES_ON = 1, 2

# What was passed on the way, last first: slots entered, and values they were left with.
Tags = tuple[Any, Any] | None
Paths = dict[int, Tags]
# The first way to the end of a sentence, if there is one: the value of the end, and what was passed.
Ended = tuple[Any, Tags] | None
# Configs after each character, by its code, before what takes no letter; the first column is their order.
Spread = dict[int, list[tuple[int, int, Tags]]]


class Networks:
    """All paths through a grammar's networks at once, each at a config."""

    def __init__(self, grammar: Grammar) -> None:
        self._arcs, self._starts, self._ends = grammar.arcs, grammar.starts, grammar.ends
        self._kinds = _kinds(grammar)
        self._frames: list[tuple[int, str, int, int]] = [(-1, "", -1, 0)]
        self._frame_ids: dict[tuple[int, str, int], int] = {}

    def start(self) -> Paths:
        """Return where sentences begin."""
        return self._closure([(_config(0, self._starts[0], _BETWEEN), None)], 0)[0]

    def spread(self, paths: Paths) -> Spread:
        """Sort the ways onward from paths by their characters."""
        first, codes, targets = self._arcs.first, self._arcs.codes, self._arcs.targets
        found: Spread = defaultdict(list)
        for order, (config, tags) in enumerate(paths.items()):
            if config & _PLACE == _BETWEEN:
                found[_MARK_CODE].append((order, config ^ _BETWEEN ^ _BEGUN, tags))
                continue
            node, frame = config >> _PLACE_BITS & _NODE, config & _FRAME
            for arc in range(first[node], first[node + 1]):
                if codes[arc] > SPACE_CODE:
                    found[codes[arc]].append((order, frame | targets[arc] << _PLACE_BITS | _INSIDE, tags))
        return found

    def enter(self, spread: Spread, character: str, position: int) -> tuple[Paths, Ended]:
        """Follow paths over one character, which is at a position of the text; the first of equal ones."""
        entered = spread.get(ord(character), [])
        if character == WORD_MARK:
            return {config: tags for _, config, tags in entered}, None
        if ANY_CODE in spread:
            entered = sorted([*entered, *spread[ANY_CODE]], key=lambda way: way[0])
        return self._closure([(config, tags) for _, config, tags in entered], position)

    def _closure(self, seeds: Iterable[tuple[int, Tags]], position: int) -> tuple[Paths, Ended]:
        """Follow everything that takes no letter; keep what can take one, and the first way to the end."""
        kept: Paths = {}
        ended: Ended = None
        seen: set[int] = set()
        agenda = list(seeds)[::-1]
        while agenda:
            config, tags = agenda.pop()
            if config in seen:
                continue
            seen.add(config)
            node = config >> _PLACE_BITS & _NODE
            if self._kinds[node] & _TAKES_LETTER:
                kept[config] = tags
            if not self._kinds[node] & _GOES_ON:
                continue
            if ended is None and node in self._ends and not config & _FRAME and config & _PLACE != _BEGUN:
                ended = self._ends[node], tags
            agenda.extend(self._onward(config, tags, position)[::-1])
        return kept, ended

    def _onward(self, config: int, tags: Tags, position: int) -> list[tuple[int, Tags]]:
        """List the configs that are reached without a letter."""
        frame, node, place = config >> _FRAME_SHIFT, config >> _PLACE_BITS & _NODE, config & _PLACE
        arcs = self._arcs
        onward: list[tuple[int, Tags]] = []
        for arc in range(arcs.first[node], arcs.first[node + 1]):
            code, target = arcs.codes[arc], arcs.targets[arc]
            if code < 0:
                slot = arcs.names[arcs.slots[arc]]
                inner = _config(self._frame(target, slot, frame), self._starts[-1 - code], place)
                onward.append((inner, (tags, (slot, position)) if slot else tags))
            elif code == NOTHING_CODE:
                onward.append((_config(frame, target, place), tags))
            elif code == SPACE_CODE:
                onward.append((_config(frame, target, _BETWEEN if place == _INSIDE else place), tags))
        if node in self._ends and frame:
            target, slot, outer, _ = self._frames[frame]
            after = (tags, (None, position, self._ends[node])) if slot else tags
            onward.append((_config(outer, target, place), after))
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


def _config(frame: int, node: int, place: int) -> int:
    return (frame << _NODE_BITS | node) << _PLACE_BITS | place


def _kinds(grammar: Grammar) -> bytes:
    """Tell of each node whether letters lead on, and whether one can go on without."""
    codes, first = (np.asarray(values) for values in (grammar.arcs.codes, grammar.arcs.first))
    letters = np.concatenate([[0], np.cumsum(codes > SPACE_CODE)])
    letters = letters[first[1:]] - letters[first[:-1]]
    goes_on = letters < np.diff(first)
    goes_on[list(grammar.ends)] = True
    return (_TAKES_LETTER * (letters > 0) + _GOES_ON * goes_on).astype(np.uint8).tobytes()
