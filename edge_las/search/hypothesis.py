"""What a search returns, and the checks on it that make endless repetition impossible."""

import math
from dataclasses import dataclass

# Two units of at least this many tokens with the same attention are a loop; shorter ones need a third.
# ("ll" in "hello" or "an|an" in "banana" may well fall on one frame of 40 ms, and are no loop.)
_LONG_UNIT = 4
_MAX_UNIT = 64


@dataclass(frozen=True)
class Hypothesis:
    """One spelling of an utterance, without <sos> and <eos>.

    score ranks hypotheses of one search; log_prob is the Speller's alone, with <eos> if finished.
    frames holds the encoded frame that each token looked at most (a Speller that tells no alignment: its
    number). Not finished = cut off by a limit. ctc_log_prob is the CTC head's, summed over all paths; NaN if
    nobody asked for it.
    """

    tokens: tuple[int, ...]
    score: float
    log_prob: float
    token_log_probs: tuple[float, ...]
    frames: tuple[int, ...]
    finished: bool
    ctc_log_prob: float = math.nan


def is_loop(tokens: tuple[int, ...], frames: tuple[int, ...]) -> bool:
    """Tell whether the last tokens only repeat those before them without attention having moved on."""
    for unit in range(1, min(_MAX_UNIT, len(tokens) // 2) + 1):
        if tokens[-1] != tokens[-1 - unit]:
            continue
        repeats = 2 if unit >= _LONG_UNIT else 3
        if _repeats_in_place(tokens, frames, unit, repeats):
            return True
    return False


def _repeats_in_place(tokens: tuple[int, ...], frames: tuple[int, ...], unit: int, repeats: int) -> bool:
    if len(tokens) < unit * repeats:
        return False
    last = tokens[-unit:]
    for back in range(1, repeats):
        start = len(tokens) - unit * (back + 1)
        if tokens[start : start + unit] != last:
            return False
    moved_frames = (sum(frames[-unit:]) - sum(frames[-unit * repeats :][:unit])) / unit
    return moved_frames < 0.5 * (repeats - 1)
