"""What rounding costs in words: each dev set's error rate against float's, and what sure recordings lose.

Where a model guesses, rounding decides between guesses, and half of the texts change without harm. So two
things are judged that harm would show in: error rates, and the recordings that float surely gets right.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from edge_las.metrics import character_errors, word_errors
from export.decoding import Decoded, Spoken
from export.parity import ParityConfig, ParityError

Counts = npt.NDArray[np.float64]
EVERYTHING = "all"
# Standard errors that chance is granted, in one direction: one set in two hundred goes beyond them.
_SIGMAS = 2.6
# What float surely gets right: hardly a word wrong, and it says so.
_SURE_WER, _SURE_CONFIDENCE = 0.1, 0.7


@dataclass(frozen=True)
class SetComparison:
    """A form against float on the recordings of one data set, and what the gate allows."""

    recordings: int
    wer_float: float
    wer: float
    # How much greater than float's it may be.
    wer_allowed: float
    # Recordings that float surely gets right, and the share of their characters that the form changes.
    sure: int
    sure_errors: float
    sure_allowed: float


def compare(
    reference: Decoded, other: Decoded, spoken: Sequence[Spoken], config: ParityConfig
) -> dict[str, SetComparison]:
    """Compare a form with float on each data set and on all of them.

    Raises: ParityError where the form errs more than `config`, or else chance, allows.
    """
    tables = {}
    for name in (*sorted({recording.dataset for recording in spoken}), EVERYTHING):
        rows = [i for i, recording in enumerate(spoken) if name in (recording.dataset, EVERYTHING)]
        found = tables[name] = _compare_set(reference, other, spoken, rows, config)
        where = f"{other.label}: {name}: " if name != EVERYTHING else f"{other.label}: "
        if found.wer - found.wer_float > found.wer_allowed:
            raise ParityError(
                f"{where}WER is {found.wer:.2%}, {reference.label}'s is {found.wer_float:.2%}: "
                f"allowed are {found.wer_allowed:.2%} more"
            )
        if found.sure_errors > found.sure_allowed:
            raise ParityError(
                f"{where}{found.sure_errors:.2%} of the characters change in {found.sure} recordings that "
                f"{reference.label} surely gets right, allowed are {found.sure_allowed:.2%}"
            )
    return tables


def compare_engines(
    reference: Decoded, others: Sequence[Decoded], spoken: Sequence[Spoken], config: ParityConfig
) -> dict[str, dict[str, float]]:
    """Tell the share of recordings that two engines hear the same in, by the second's label.

    Raises: ParityError where they differ too often in what float surely gets right.
    """
    results: dict[str, dict[str, float]] = {}
    sure = _sure_rows(reference, spoken, range(len(spoken)))
    for one, other in combinations(others, 2):
        differs = np.array([a != b for a, b in zip(one.texts, other.texts, strict=True)], dtype=np.float64)
        label = one.label.replace(" ", "_")
        results.setdefault(other.label, {})[f"equal_texts_{label}"] = 1.0 - float(np.mean(differs))
        if not sure:
            continue
        unequal = differs[sure]
        results[other.label][f"equal_sure_texts_{label}"] = 1.0 - float(np.mean(unequal))
        if np.mean(unequal) > allowed(unequal, np.ones(len(sure)), 1.0 - config.min_equal_texts):
            raise ParityError(
                f"{other.label}: {1.0 - np.mean(unequal):.1%} of the texts equal those of {one.label} where "
                f"{reference.label} is surely right, needed are {config.min_equal_texts:.1%}"
            )
    return results


def table_lines(tables: dict[str, dict[str, float]]) -> list[str]:
    """Write the comparisons of one form as lines."""
    return [
        f"{name}: {found['recordings']:g} clips, WER {found['wer']:.2%}, float {found['wer_float']:.2%}: "
        f"{found['wer'] - found['wer_float']:+.2%} of {found['wer_allowed']:.2%} allowed; "
        f"of {found['sure']:g} sure ones {found['sure_errors']:.2%} of the characters change, "
        f"{found['sure_allowed']:.2%} allowed"
        for name, found in tables.items()
    ]


def as_numbers(tables: dict[str, SetComparison]) -> dict[str, dict[str, float]]:
    """Give comparisons for the manifest."""
    return {
        name: {key: round(value, 4) for key, value in asdict(found).items()} for name, found in tables.items()
    }


def allowed(errors: Counts, sizes: Counts, bar: float) -> float:
    """Give what a rate, errors by sizes of each recording, may be: `bar`, or what chance makes of none.

    Chance is a multiple of the standard error of the ratio, which a paired bootstrap over recordings would
    give too (Cochran 1977, Sampling Techniques, chapter 6; Bisani & Ney 2004). One recording tells nothing.
    """
    count = len(errors)
    if count < 2:
        return 1.0
    residuals = errors - sizes * (errors.sum() / sizes.sum())
    error = np.sqrt(np.sum(np.square(residuals)) * count / (count - 1)) / sizes.sum()
    return float(max(bar, _SIGMAS * error))


def _compare_set(
    reference: Decoded, other: Decoded, spoken: Sequence[Spoken], rows: Sequence[int], config: ParityConfig
) -> SetComparison:
    said = [spoken[i].text for i in rows]
    before, after = (_word_errors(said, [form.texts[i] for i in rows]) for form in (reference, other))
    words = np.array([len(text.split()) for text in said], dtype=np.float64)
    sure = _sure_rows(reference, spoken, rows)
    changed = _character_errors([reference.texts[i] for i in sure], [other.texts[i] for i in sure])
    characters = np.array([len(reference.texts[i]) for i in sure], dtype=np.float64)
    return SetComparison(
        recordings=len(rows),
        wer_float=float(before.sum() / words.sum()),
        wer=float(after.sum() / words.sum()),
        wer_allowed=allowed(after - before, words, config.max_wer_increase),
        sure=len(sure),
        sure_errors=float(changed.sum() / characters.sum()) if sure else 0.0,
        sure_allowed=allowed(changed, characters, config.max_sure_errors),
    )


def _sure_rows(reference: Decoded, spoken: Sequence[Spoken], rows: Sequence[int]) -> list[int]:
    sure = [i for i in rows if reference.texts[i] and reference.confidences[i] >= _SURE_CONFIDENCE]
    errors = _word_errors([spoken[i].text for i in sure], [reference.texts[i] for i in sure])
    words = [len(spoken[i].text.split()) for i in sure]
    return [i for i, wrong, count in zip(sure, errors, words, strict=True) if wrong <= _SURE_WER * count]


def _word_errors(said: Sequence[str], heard: Sequence[str]) -> Counts:
    pairs = zip(said, heard, strict=True)
    return np.array([word_errors([a], [b]).errors for a, b in pairs], dtype=np.float64)


def _character_errors(before: Sequence[str], after: Sequence[str]) -> Counts:
    pairs = zip(before, after, strict=True)
    return np.array([character_errors([a], [b]).errors for a, b in pairs], dtype=np.float64)
