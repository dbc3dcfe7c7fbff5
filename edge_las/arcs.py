"""The arcs of a grammar's nodes, in arrays: as tuples they took 350 bytes each, 75 MB for a large grammar."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Labels of arcs that are no character: one that takes nothing, and one that takes any letter.
NOTHING, ANY, SPACE = "", "*", " "
# The codes that stand for them in `Arcs`.
NOTHING_CODE, ANY_CODE, SPACE_CODE = 0, ord(ANY), ord(SPACE)

# A character and where it leads, or a network to go through, the slot for what it holds, and where to go on.
Arc = tuple[str, int] | tuple[int, str, int]


@dataclass(frozen=True)
class Arcs:
    """Node n has the arcs numbered from first[n] up to first[n + 1].

    codes: the code point of a character, NOTHING_CODE, or -1 - network; targets: the node that an arc leads
    to, or where to go on after its network; slots: indices into names, the first of which is no slot.
    """

    first: array[int]
    codes: array[int]
    targets: array[int]
    slots: array[int]
    names: tuple[str, ...]

    def __len__(self) -> int:
        """Count the nodes."""
        return len(self.first) - 1

    def of(self, node: int) -> list[Arc]:
        """List the arcs of a node."""
        return [self._arc(number) for number in range(self.first[node], self.first[node + 1])]

    def _arc(self, number: int) -> Arc:
        code, target = self.codes[number], self.targets[number]
        if code < 0:
            return -1 - code, self.names[self.slots[number]], target
        return chr(code) if code else NOTHING, target

    def runs(self) -> list[str | list[Arc]]:
        """List what `pack` takes: a text for nodes that each lead by one character to the next one."""
        found: list[str | list[Arc]] = []
        run = ""
        for node in range(len(self)):
            arcs = self.of(node)
            label, *_, target = arcs[0] if len(arcs) == 1 else (0, 0)
            if isinstance(label, str) and label and target == node + 1:
                run += label
                continue
            found += [run, arcs] if run else [arcs]
            run = ""
        return [*found, run] if run else found


def pack(nodes: Iterable[str | Sequence[Arc]]) -> Arcs:
    """Put arcs in arrays, those of a node, or a text for as many nodes, each leading to the next one.

    Raises: TypeError or ValueError for what is no arc.
    """
    first, codes, targets, slots = array("i", [0]), array("i"), array("i"), array("i")
    names = {"": 0}
    for node in nodes:
        if isinstance(node, str):
            start = len(first)
            codes.extend(map(ord, node))
            targets.extend(range(start, start + len(node)))
            slots.extend([0] * len(node))
            first.extend(range(first[-1] + 1, first[-1] + 1 + len(node)))
            continue
        for arc in node:
            code, slot, target = _parts(arc)
            codes.append(code)
            targets.append(target)
            slots.append(names.setdefault(slot, len(names)))
        first.append(len(codes))
    return Arcs(first, codes, targets, slots, tuple(names))


def _parts(arc: Arc) -> tuple[int, str, int]:
    """Give an arc's code, slot and target; a file may hold anything in place of it."""
    if len(arc) == 2 and isinstance(arc[0], str):
        return ord(arc[0]) if arc[0] else NOTHING_CODE, "", arc[1]
    if len(arc) == 3 and isinstance(arc[0], int) and arc[0] >= 0 and isinstance(arc[1], str):
        return -1 - arc[0], arc[1], arc[2]
    raise ValueError(f"the arc {arc} leads nowhere")
