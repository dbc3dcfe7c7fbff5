"""The gate's last part: what each form of a model makes of dev recordings, as tokens and as words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from edge_las.metrics import wer
from edge_las.runtime.recognizer import Recognizer
from edge_las.search.config import BeamConfig
from export.parity import Form, ParityConfig, ParityError
from export.recordings import Recording


@dataclass
class Decoded:
    """What a form heard in each recording: tokens by greedy search, texts as its recognizer gives them."""

    label: str
    tokens: list[tuple[int, ...]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def decode(
    form: Form,
    folder: Path | None,
    recordings: Sequence[Recording],
    longest: int,
    progress: Callable[[str], None],
) -> Decoded:
    """Decode recordings cut to `longest` samples; texts only where there is an artifact folder to load."""
    decoded = Decoded(form.label)
    recognizer = Recognizer.load(folder, form.engine.name) if folder else None
    for number, recording in enumerate(recordings, start=1):
        samples = recording.samples()[:longest]
        decoded.tokens.append(form.spell(form.listen(samples), BeamConfig()))
        if recognizer is not None:
            decoded.texts.append(recognizer.transcribe(samples).text)
        if number % 50 == 0 or number == len(recordings):
            progress(f"{form.label}: {number} of {len(recordings)} dev recordings decoded")
    return decoded


def compare(
    decoded: Sequence[Decoded], recordings: Sequence[Recording], config: ParityConfig
) -> dict[str, dict[str, float]]:
    """Compare the first with the others, by label: rates of token errors and of equal texts, both WERs.

    Raises: ParityError where they are further apart than `config` allows.
    """
    reference, *others = decoded
    said = [recording.text for recording in recordings]
    results = {}
    for other in others:
        found = {"token_error_rate": _checked_token_error_rate(reference, other, config)}
        if other.texts:
            found |= _compare_texts(reference, other, said, config)
        results[other.label] = found
    _compare_engines([other for other in others if other.texts], results, config)
    return results


def _compare_engines(
    others: Sequence[Decoded], results: dict[str, dict[str, float]], config: ParityConfig
) -> None:
    """Note how many recordings different engines hear the same in."""
    for one, other in combinations(others, 2):
        equal = sum(a == b for a, b in zip(one.texts, other.texts, strict=True)) / len(one.texts)
        results[other.label][f"equal_texts_{one.label.replace(' ', '_')}"] = equal
        if equal < config.min_equal_texts:
            raise ParityError(
                f"{other.label}: {equal:.1%} of the texts equal those of {one.label}, "
                f"needed are {config.min_equal_texts:.1%}"
            )


def _checked_token_error_rate(reference: Decoded, other: Decoded, config: ParityConfig) -> float:
    rate = token_error_rate(reference.tokens[: len(other.tokens)], other.tokens)
    if rate > config.max_token_error_rate:
        raise ParityError(
            f"{other.label}: {rate:.1%} of the tokens differ from {reference.label}'s, "
            f"allowed are {config.max_token_error_rate:.1%}"
        )
    return rate


def token_error_rate(expected: Sequence[tuple[int, ...]], got: Sequence[tuple[int, ...]]) -> float:
    """Count the tokens to change from one list of recordings to the other, as a share of the first's."""
    # The mark keeps a recording without tokens from being an empty reference.
    before, after = ([" ".join(["s", *map(str, row)]) for row in rows] for rows in (expected, got))
    return wer(before, after)


def _compare_texts(
    reference: Decoded, other: Decoded, said: list[str], config: ParityConfig
) -> dict[str, float]:
    before, after = wer(said, reference.texts), wer(said, other.texts)
    if after - before > config.max_wer_increase:
        raise ParityError(
            f"{other.label}: WER is {after:.2%}, {reference.label}'s is {before:.2%}: "
            f"allowed are {config.max_wer_increase:.2%} more"
        )
    equal = sum(a == b for a, b in zip(reference.texts, other.texts, strict=True))
    return {"equal_texts": equal / len(said), "wer": after, "wer_float": before}
