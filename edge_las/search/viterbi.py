"""The likeliest sentences of a grammar for a CTC head: token passing forwards, A* backwards.

The beam of `beam.py` compares hypotheses of equally many tokens, so a rare beginning may lose a sentence
for good. Here all sentences of the grammar go through time together, those that can go on alike as one.
Source: Young, Russell & Thornton 1989, Token Passing; Soong & Huang 1991, A Tree-Trellis Based Fast Search.
"""

import heapq
import itertools

import numpy as np
import numpy.typing as npt

from edge_las.search.ctc import LOG_PROB_FLOOR
from edge_las.search.sentence_graph import ROOT, Graph
from edge_las.search.speller import FloatArray

DoubleArray = npt.NDArray[np.float64]
NodeArray = npt.NDArray[np.int32]

# Nodes further (nats) under the best of a frame are given up, and more nodes than this. 800 nodes lost right
# sentences of 199 templates at 9 dB (51 to 56 % right); a margin of 40 takes twice the time for no more.
_MARGIN, _MOST_NODES = 25.0, 4000
# Nodes of all frames together: as many as 5 s of speech may have. Each takes 12 bytes for a while, and what
# lasts longer is seldom a command.
_MOST_SCORES = 500_000
# A* looks at so many beginnings for each sentence asked for, then gives what it has.
_MOST_LOOKS = 400


class _Passed:
    """Scores of nodes by frame; of long speech in large grammars the most memory that a search takes."""

    def __init__(self) -> None:
        self._frames: list[tuple[NodeArray, FloatArray, FloatArray]] = []

    def add(self, nodes: NodeArray, blank: DoubleArray, either: DoubleArray) -> None:
        """Keep the next frame's nodes (k,), and of each the best path that ends in a blank, or in either."""
        # Half the precision that they were added up with.
        self._frames.append((nodes, blank.astype(np.float32), either.astype(np.float32)))

    def close(self, wanted: npt.NDArray[np.bool_]) -> "_Passed":
        """Make it ready to be asked for some nodes, a mask (N,), and forget the others."""
        for number, (nodes, blank, either) in enumerate(self._frames):
            mask = wanted[nodes]
            self._frames[number] = nodes[mask], blank[mask], either[mask]
        sizes = [len(nodes) for nodes, _, _ in self._frames]
        nodes = np.concatenate([nodes for nodes, _, _ in self._frames])
        order = np.argsort(nodes, kind="stable").astype(np.int32)
        self._nodes, starts = np.unique(nodes[order], return_index=True)
        self._bounds = np.append(starts, len(nodes))
        self._numbers = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)[order]
        self._blank, self._either = (np.concatenate([f[n] for f in self._frames])[order] for n in (1, 2))
        self._frames.clear()
        return self

    def of(self, node: int) -> tuple[NodeArray, FloatArray, FloatArray] | None:
        """Give the frames (k,) at which a node was reached, and its scores there; None if it never was."""
        place = int(np.searchsorted(self._nodes, node))
        if place == len(self._nodes) or self._nodes[place] != node:
            return None
        part = slice(self._bounds[place], self._bounds[place + 1])
        return self._numbers[part], self._blank[part], self._either[part]


def best_sentences(
    graph: Graph, ctc_log_probs: FloatArray, count: int, blank_id: int, margin: float = _MARGIN
) -> list[tuple[int, ...]]:
    """Find at most `count` sentences by the likeliest path of each, best first; (T, V) log probs.

    Of a graph of phones silence is the blank, which may lie between any two.
    """
    log_probs = np.maximum(ctc_log_probs, LOG_PROB_FLOOR).astype(np.float64)
    if not len(log_probs):
        return []
    passed, ends = _pass_forward(graph, log_probs, blank_id, margin)
    return _Backward(graph, log_probs, blank_id, passed).run(ends, count)


def _pass_forward(
    graph: Graph, log_probs: DoubleArray, blank_id: int, margin: float
) -> tuple[_Passed, list[tuple[float, int]]]:
    """Return what each node scored at each frame, and the nodes that may end with their final scores."""
    nodes, blank, nonblank = np.array([ROOT], np.int32), np.zeros(1), np.full(1, -np.inf)
    passed, most = _Passed(), min(_MOST_NODES, _MOST_SCORES // len(log_probs))
    passed.add(nodes, blank, blank)
    for frame in log_probs:
        either = np.maximum(blank, nonblank)
        sources, targets = graph.followers(nodes)
        tokens, entered = graph.tokens, either[sources]
        if graph.parts_doubles:
            entered = np.where(tokens[targets] == tokens[nodes][sources], blank[sources], entered)
        entered = entered + frame[tokens[targets]]
        blank, nonblank = either + frame[blank_id], nonblank + frame[tokens[nodes]]
        likely = entered >= max(entered.max(initial=-np.inf), blank.max(), nonblank.max()) - margin
        nodes, blank, nonblank = _merge(
            nodes, blank, nonblank, targets[likely], entered[likely], most, margin
        )
        passed.add(nodes, blank, np.maximum(blank, nonblank))
    scores = np.maximum(blank, nonblank)
    ending = graph.may_end[nodes] & (scores > -np.inf)
    scores, nodes = scores[ending], nodes[ending]
    return passed.close(graph.leading_to(nodes)), list(zip(scores.tolist(), nodes.tolist(), strict=True))


def _merge(
    nodes: NodeArray,
    blank: DoubleArray,
    nonblank: DoubleArray,
    targets: NodeArray,
    entered: DoubleArray,
    most: int,
    margin: float,
) -> tuple[NodeArray, DoubleArray, DoubleArray]:
    """Join those who stay with those who enter, and give the unlikely up, and all but so many."""
    merged, places = np.unique(np.concatenate([nodes, targets]), return_inverse=True)
    stayed, moved = places[: len(nodes)], places[len(nodes) :]
    next_blank, next_nonblank = np.full((2, len(merged)), -np.inf)
    next_blank[stayed], next_nonblank[stayed] = blank, nonblank
    np.maximum.at(next_nonblank, moved, entered)
    either = np.maximum(next_blank, next_nonblank)
    bar = either.max() - margin
    if len(merged) > most:
        bar = max(bar, np.partition(either, -most)[-most])
    kept = either >= bar
    return merged[kept], next_blank[kept], next_nonblank[kept]


# A sentence's end from some node on, last node last; what was looked at so far is shared.
_Suffix = tuple[int, "_Suffix"] | None


class _Backward:
    """Puts sentences together from their ends: with what is before known, the best come out first."""

    def __init__(self, graph: Graph, log_probs: DoubleArray, blank_id: int, passed: _Passed) -> None:
        self._graph, self._passed, self._blank_id = graph, passed, blank_id
        # Row v: the log prob of token v from the beginning up to a frame, (V, T + 1).
        self._sums = np.zeros((log_probs.shape[1], len(log_probs) + 1))
        np.cumsum(log_probs.T, axis=1, out=self._sums[:, 1:])

    def run(self, ends: list[tuple[float, int]], count: int) -> list[tuple[int, ...]]:
        blank = self._sums[self._blank_id]
        after_last = blank[-1] - blank
        numbers = itertools.count()
        # Score of the whole, node to put before, and what comes after it: from when on, by frame.
        agenda: list[tuple[float, int, int, DoubleArray, _Suffix]] = [
            (-score, next(numbers), node, after_last, None) for score, node in ends
        ]
        heapq.heapify(agenda)
        # What can be said in several ways comes out again.
        found: dict[tuple[int, ...], None] = {}
        for _ in range(_MOST_LOOKS * count):
            if not agenda or len(found) == count:
                break
            _, _, node, after, suffix = heapq.heappop(agenda)
            if node == ROOT:
                found[self._graph.read(_unlinked(suffix))] = None
                continue
            for total, source, entered in self._before(node, after):
                heapq.heappush(agenda, (-total, next(numbers), source, entered, (node, suffix)))
        return list(found)

    def _before(self, node: int, after: DoubleArray) -> list[tuple[float, int, DoubleArray]]:
        """List the nodes that may come before a node, with the score of the whole.

        after: (T + 1,) score of what follows the node's token if that ends before each frame.
        """
        token = int(self._graph.tokens[node])
        run, blank = self._sums[token], self._sums[self._blank_id]
        # The token is entered at a frame and stays for one at least.
        entered = np.full(len(run), -np.inf)
        entered[:-1] = _best_from((run + after)[1:]) - run[:-1]
        # It may be waited for in blanks.
        waited = _best_from(entered + blank) - blank
        result = []
        for source in self._graph.sources(node):
            passed = self._passed.of(source)
            if passed is None:
                continue
            frames, blank_scores, either = passed
            same = self._graph.parts_doubles and int(self._graph.tokens[source]) == token
            scores = (blank_scores if same else either) + entered[frames]
            total = float(scores.max())
            if total == -np.inf:
                continue
            result.append((total, source, self._parted(waited) if same else waited))
        return result

    def _parted(self, waited: DoubleArray) -> DoubleArray:
        """Put a blank before what follows."""
        blank = self._sums[self._blank_id]
        parted = np.full(len(waited), -np.inf)
        parted[:-1] = waited[1:] + np.diff(blank)
        return parted


def _best_from(values: DoubleArray) -> DoubleArray:
    """Give at each place the greatest of the values from there on."""
    best: DoubleArray = np.maximum.accumulate(values[::-1])[::-1]
    return best


def _unlinked(suffix: _Suffix) -> list[int]:
    nodes = []
    while suffix is not None:
        node, suffix = suffix
        nodes.append(node)
    return nodes
