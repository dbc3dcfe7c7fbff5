"""CTC: prefix scores for the beam, a greedy reading for partial text, and alignment for word times."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_las.search.speller import FloatArray, IntArray

DoubleArray = npt.NDArray[np.float64]

# Log probs are cut off here: a token that is impossible somewhere must not make differences infinite.
LOG_PROB_FLOOR = -60.0


@dataclass(frozen=True)
class PrefixState:
    """Log probs of each prefix having been read by the end of each frame, column 0 = before the first.

    nonblank, blank: (N, T + 1), by what the path ends in, the prefix's last token or a blank; last: (N,).
    """

    nonblank: DoubleArray
    blank: DoubleArray
    last: IntArray


class CtcPrefixScorer:
    """Log probs that an utterance begins with a prefix, summed over all CTC paths.

    Source: Watanabe et al. 2017, Hybrid CTC/Attention, Algorithm 2. Its recurrence over frames,
    r(t) = p(t) * (r(t-1) + phi(t-1)), is solved as r(t) = P(t) * sum of phi(s-1) / P(s-1), P the running
    product of p, so that frames need no Python loop. Scoring a token needs no recurrence at all.
    """

    def __init__(self, log_probs: FloatArray, blank_id: int) -> None:
        self._log_probs = np.maximum(log_probs.T, LOG_PROB_FLOOR).astype(np.float64)
        self._probs = np.exp(self._log_probs)
        self._running_blank = _running_product(self._log_probs[blank_id])

    def initial_state(self) -> PrefixState:
        """Return the state of the empty prefix, (1, T + 1)."""
        nothing = np.full_like(self._running_blank, -np.inf)
        return PrefixState(nothing[None], self._running_blank[None], np.array([-1]))

    def score(self, state: PrefixState, rows: IntArray, tokens: IntArray) -> DoubleArray:
        """Return the log probs (N,) of the prefixes at rows (N,) with tokens (N,) appended."""
        blank = state.blank[:, :-1]
        either = np.logaddexp(state.nonblank[:, :-1], blank)
        top = np.maximum(either.max(axis=1, initial=-np.inf), -1e300)[:, None]
        entering = np.exp(either - top)[rows]
        repeated = np.flatnonzero(state.last[rows] == tokens)
        # A token after itself is heard as one unless a blank parts them.
        entering[repeated] = np.exp(blank - top)[rows[repeated]]
        with np.errstate(divide="ignore"):
            total: DoubleArray = np.log(np.einsum("nt,nt->n", entering, self._probs[tokens]))
        return total + top[rows, 0]

    def extend(self, state: PrefixState, rows: IntArray, tokens: IntArray) -> PrefixState:
        """Append tokens (N,) to the prefixes at rows (N,)."""
        nonblank, blank = state.nonblank[rows], state.blank[rows]
        entering = np.logaddexp(nonblank, blank)
        repeated = np.flatnonzero(state.last[rows] == tokens)
        entering[repeated] = blank[repeated]
        next_nonblank = _accumulate(entering, _running_product(self._log_probs[tokens]))
        return PrefixState(next_nonblank, _accumulate(next_nonblank, self._running_blank), tokens)

    def final(self, state: PrefixState) -> DoubleArray:
        """Return the log probs that nothing follows the prefixes, (N,)."""
        ends: DoubleArray = np.logaddexp(state.nonblank[:, -1], state.blank[:, -1])
        return ends


def _running_product(log_probs: DoubleArray) -> DoubleArray:
    running = np.zeros((*log_probs.shape[:-1], log_probs.shape[-1] + 1))
    np.cumsum(log_probs, axis=-1, out=running[..., 1:])
    return running


def _accumulate(entering: DoubleArray, running: DoubleArray) -> DoubleArray:
    """Sum, at each frame, over the frames at which a path may have entered and stayed since."""
    result = np.full(entering.shape, -np.inf)
    stayed = np.logaddexp.accumulate((entering - running)[:, :-1], axis=1)
    np.add(stayed, running[..., 1:], out=result[:, 1:])
    return result


def ctc_greedy(log_probs: FloatArray, blank_id: int) -> tuple[list[int], list[int], list[float]]:
    """Read the likeliest path of log_probs (T, V): its tokens, their first frames and log probs there."""
    best = log_probs.argmax(axis=1)
    starts = best != blank_id
    starts[1:] &= best[1:] != best[:-1]
    frames = np.flatnonzero(starts)
    return best[frames].tolist(), frames.tolist(), log_probs[frames, best[frames]].tolist()


def ctc_align(log_probs: FloatArray, tokens: tuple[int, ...], blank_id: int) -> list[tuple[int, int]] | None:
    """Find the likeliest frames of known tokens in log_probs (T, V): a (first, last) frame for each.

    None if there are too few frames to spell the tokens.
    """
    labels = np.full(2 * len(tokens) + 1, blank_id)
    labels[1::2] = tokens
    repeats = int(np.count_nonzero(labels[3::2] == labels[1:-2:2]))
    if not tokens or len(tokens) + repeats > log_probs.shape[0]:
        return None
    moves = _best_moves(np.maximum(log_probs[:, labels], LOG_PROB_FLOOR).astype(np.float64), labels)
    path = _trace_back(moves)
    return _spans(path, len(tokens))


def _best_moves(emitted: DoubleArray, labels: IntArray) -> tuple[npt.NDArray[np.int8], DoubleArray]:
    """Viterbi forward pass: how far each state (T, S) was moved into, 0 to 2, and the last scores (S,)."""
    num_states = labels.shape[0]
    skip = np.full(num_states, -np.inf)
    skip[3::2] = np.where(labels[3::2] != labels[1:-2:2], 0.0, -np.inf)
    moves = np.zeros(emitted.shape, dtype=np.int8)
    padded = np.full(num_states + 2, -np.inf)
    padded[2:4] = emitted[0, :2]
    options = np.empty((3, num_states))
    columns = np.arange(num_states)
    for frame in range(1, emitted.shape[0]):
        options[0] = padded[2:]
        options[1] = padded[1:-1]
        np.add(padded[:-2], skip, out=options[2])
        moves[frame] = choice = options.argmax(axis=0)
        np.add(options[choice, columns], emitted[frame], out=padded[2:])
    return moves, padded[2:]


def _trace_back(forward: tuple[npt.NDArray[np.int8], DoubleArray]) -> list[int]:
    moves, scores = forward
    state = len(scores) - 1
    if scores[state - 1] > scores[state]:
        state -= 1
    path = [0] * len(moves)
    for frame in range(len(moves) - 1, -1, -1):
        path[frame] = state
        state -= int(moves[frame, state])
    return path


def _spans(path: list[int], num_tokens: int) -> list[tuple[int, int]]:
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for frame, state in enumerate(path):
        if state % 2:
            first.setdefault(state // 2, frame)
            last[state // 2] = frame
    return [(first[token], last[token]) for token in range(num_tokens)]
