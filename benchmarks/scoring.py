"""What a set of hypotheses is worth: WER, CER, exact matches, and the figures that some data sets ask for."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from edge_las.metrics import measure

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGIT_WORDS = frozenset((*DIGITS, "oh", "double", "triple"))
# One word each: what was heard can be snapped to the nearest word of the list.
SINGLE_WORD_SETS = ("speech_commands", "fsdd")
# Both words and strings of digits: the latter are worth a figure of their own.
MIXED_SETS = ("alphanumeric", "speechocean762")


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Count the insertions, deletions and substitutions, of letters or words, that turn `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def snapper(words: Iterable[str]) -> Callable[[str], str]:
    """Make the function that answers with the nearest of `words`; of equally near ones the first by alphabet.

    An empty text stays empty: nothing was heard.
    """
    choices = tuple(sorted(set(words)))

    @cache
    def snap(text: str) -> str:
        return min(choices, key=lambda word: edit_distance(text, word)) if text and choices else text

    return snap


def score_set(
    dataset: str, references: Sequence[str], hypotheses: Sequence[str], words: Iterable[str] = ()
) -> dict[str, Any]:
    """Score one data set; `words` is the list that its single words are of, where they are."""
    scores: dict[str, Any] = dict(measure(references, hypotheses).to_dict())
    scores["empty"] = round(sum(not text for text in hypotheses) / len(hypotheses), 4)
    if dataset in SINGLE_WORD_SETS:
        snap = snapper(words or references)
        snapped = [snap(text) for text in hypotheses]
        scores["snapped_accuracy"] = round(measure(references, snapped).accuracy, 4)
    if dataset in MIXED_SETS:
        scores |= _part("digits", references, hypotheses, is_digits)
        scores |= _part("spelled", references, hypotheses, is_spelled)
    return scores


def right_words(said: str, heard: Sequence[str]) -> list[bool]:
    """Tell of each word that was heard whether it is right, by the least edits of words."""
    reference, size = said.split(), len(heard)
    costs = [list(range(size + 1))]
    for i, word in enumerate(reference, start=1):
        row = [i]
        for j, other in enumerate(heard, start=1):
            row.append(min(costs[-1][j] + 1, row[-1] + 1, costs[-1][j - 1] + (word != other)))
        costs.append(row)
    right, i, j = [False] * size, len(reference), size
    while i and j:
        same = reference[i - 1] == heard[j - 1]
        if costs[i][j] == costs[i - 1][j - 1] + (not same):
            i, j = i - 1, j - 1
            right[j] = same
        elif costs[i][j] == costs[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    return right


def is_digits(text: str) -> bool:
    """Tell whether a text is nothing but digits, as in telephone numbers."""
    return bool(text) and set(text.split()) <= _DIGIT_WORDS


def is_spelled(text: str) -> bool:
    """Tell whether a text is several single letters and nothing else, "a" and "i" alone not counting."""
    words = text.split()
    return len(words) > 1 and all(len(word) == 1 for word in words)


def _part(
    name: str, references: Sequence[str], hypotheses: Sequence[str], belongs: Callable[[str], bool]
) -> dict[str, Any]:
    pairs = [pair for pair in zip(references, hypotheses, strict=True) if belongs(pair[0])]
    if not pairs:
        return {}
    said, heard = zip(*pairs, strict=True)
    found = measure(said, heard)
    return {f"{name}_utterances": len(pairs), f"{name}_wer": round(found.wer, 4)}


def percentile(values: Sequence[float], percent: float) -> float:
    """Take the value that `percent` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def examples(
    references: Sequence[str], hypotheses: Sequence[str], count: int = 3
) -> list[dict[str, str | int]]:
    """Pick wrong pairs: at even distances among them, so that neither the best nor the worst are chosen."""
    wrong = [pair for pair in zip(references, hypotheses, strict=True) if pair[0] != pair[1]]
    step = max(1, len(wrong) // count)
    return [{"reference": said, "heard": heard} for said, heard in wrong[step // 2 :: step][:count]]
