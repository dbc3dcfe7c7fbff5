"""`python -m benchmarks.confidence`: fits gates and confidences to a model, and tests them."""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np

from benchmarks.command import (
    Progress,
    Results,
    add_fitting_arguments,
    add_limits,
    execute,
    measuring_parser,
    stopwatch,
)
from benchmarks.listening import Answer, Sound, answers, listen, listen_to_all, share
from benchmarks.logistic import (
    BoolArray,
    DoubleArray,
    cross_validated,
    expected_calibration_error,
    fit,
    predict,
    rejection_curve,
    reliability,
)
from benchmarks.noise import LENGTHS_S, FloatArray, load_noises, pieces
from benchmarks.output import describe_machine, describe_model, write_search
from benchmarks.recordings import choose, load_recordings
from edge_las.errors import ConfigError
from edge_las.runtime.confidence import Evidence, WordEvidence, names_of
from edge_las.runtime.recognizer import Recognizer, model_folder

# Stretches of noise to fit with begin elsewhere than those that benchmarks.accuracy measures with.
_STARTS_S, _HELDOUT_STARTS_S = (0.4, 1.1, 1.9), (0.0,)
# Log odds beyond the noise that came closest, for noise that was not heard.
_SPARE_LOG_ODDS = 0.3
_CTC_TOKENS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.2, 1.5)


def fit_gates(speech: Sequence[Answer], noise: Sequence[Answer], most_lost: float) -> dict[str, float]:
    """Choose how much must be heard, and how surely it must be speech, for any text to be given.

    Of texts that are mostly right at most a share of most_lost may be refused; of noise as much as that
    allows is. Whether such a text is right in every word is no matter of the gates but of its confidence.
    Data sets count alike: among thousands of single words a dozen spelled names are nothing.
    Raises: ConfigError if no text is mostly right.
    """
    worthy = [item for item in speech if item.is_mostly_right]
    if not worthy:
        raise ConfigError("nothing to fit: no text is half right")
    counts = alike(worthy)
    least_tokens = highest_bar([item.ctc_tokens for item in worthy], most_lost / 4, counts)
    fitting = [tokens for tokens in _CTC_TOKENS if tokens <= least_tokens] or [_CTC_TOKENS[0]]
    left = [item for item in noise if item.ctc_tokens >= fitting[-1]]
    truths = np.arange(len(worthy) + len(left)) < len(worthy)
    weights = fit(_rows([*worthy, *left]), truths, counts=np.concatenate([counts, np.ones(len(left))]))
    surely_noise = predict(weights, _rows(left)) if left else np.zeros(0)
    bar = speech_bar(predict(weights, _rows(worthy)), surely_noise, most_lost * 3 / 4, counts)
    settings = {"gate_min_ctc_tokens": fitting[-1], "gate_min_speech": bar, "gate_min_confidence": 0.0}
    return settings | named("speech", Evidence, weights)


def alike(items: Sequence[Answer]) -> DoubleArray:
    """Weigh items (N,) so that each data set counts the same, and all of them together N."""
    sizes = Counter(item.source for item in items)
    return np.array([len(items) / len(sizes) / sizes[item.source] for item in items])


def highest_bar(values: Sequence[float] | DoubleArray, most_lost: float, counts: DoubleArray | None) -> float:
    """Find the highest bar that at most a share of values (N,) lies under; counts (N,) as in `fit`."""
    return float(np.quantile(values, most_lost, method="inverted_cdf", weights=counts))


def refused(items: Sequence[Answer], settings: dict[str, float]) -> list[bool]:
    """Tell of each text whether the gates keep it back."""
    weights = np.array([settings[f"speech_{name}"] for name in ("bias", *names_of(Evidence))])
    speech = predict(weights, _rows(items)) if items else np.zeros(0)
    return [
        item.ctc_tokens < settings["gate_min_ctc_tokens"] or probability < settings["gate_min_speech"]
        for item, probability in zip(items, speech.tolist(), strict=True)
    ]


def calibrate(
    model: str, evidence: type, rows: DoubleArray, truths: BoolArray
) -> tuple[dict[str, float], Results]:
    """Fit a model of confidence; measure it by cross-validation.

    Raises: ConfigError if all are right or all wrong: nothing can be learnt then.
    """
    if truths.all() or not truths.any():
        raise ConfigError(f"of {len(truths)} {model}s all are right or all are wrong: nothing to fit")
    probabilities = cross_validated(rows, truths)
    curve = reliability(probabilities, truths)
    found = {
        "count": len(truths),
        "right": share(truths.tolist()),
        "expected_calibration_error": expected_calibration_error(curve),
        "reliability": curve,
        "rejection": rejection_curve(probabilities, truths),
    }
    return named(model, evidence, fit(rows, truths)), found


def named(model: str, evidence: type, weights: DoubleArray) -> dict[str, float]:
    """Name the weights as `ConfidenceConfig` does."""
    names = [f"{model}_{name}" for name in ("bias", *names_of(evidence))]
    return dict(zip(names, weights.round(4).tolist(), strict=True))


def _rows(items: Sequence[Answer]) -> DoubleArray:
    return np.array([astuple(item.evidence) for item in items], dtype=np.float64)


def speech_bar(
    right: DoubleArray, noise: DoubleArray, most_lost: float, counts: DoubleArray | None = None
) -> float:
    """Choose how probable speech must be: all noise is refused, but of what is right at most a share."""
    bar = highest_bar(right, most_lost, counts)
    if noise.size:
        closest = float(noise.max())
        odds = closest / (1.0 - closest) * np.exp(_SPARE_LOG_ODDS)
        bar = min(bar, float(odds / (1.0 + odds)))
    # Rounded up it might refuse the very text that it was chosen by.
    return math.floor(1e4 * bar) / 1e4


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Fit and measure as the options say; write what was fitted if asked to."""
    folder = model_folder(options.model)
    recognizer = Recognizer.load(folder, options.engine, 1, options.beam)
    chosen = choose(load_recordings(options.speech, recognizer.sample_rate), "dev", limit=options.limit)
    recordings = [recording for rows in chosen.values() for recording in rows]
    speech = answers(recognizer, listen_to_all(recognizer, recordings))
    progress(f"{len(speech)} of {len(recordings)} recordings gave text, before any gate")
    noises = load_noises(options.noise, recognizer.sample_rate)
    noise, heldout = (
        answers(recognizer, noise_sounds(recognizer, noises, starts_s))
        for starts_s in (_STARTS_S, _HELDOUT_STARTS_S)
    )
    progress(f"{len(noise)} stretches of noise did, and {len(heldout)} of noise that nothing is fitted to")
    gates = fit_gates(speech, noise, options.most_lost)
    text, measured_text = calibrate("text", Evidence, _rows(speech), _truths(speech))
    words = [pair for item in speech for pair in item.words]
    word_rows = np.array([astuple(evidence) for evidence, _ in words], dtype=np.float64)
    word, measured_word = calibrate("word", WordEvidence, word_rows, np.array([right for _, right in words]))
    settings = {**gates, **text, **word}
    if options.write:
        write_search(folder, settings)
    return {
        "kind": "confidence",
        "model": describe_model(folder, recognizer.manifest, recognizer.setup.engine.name),
        "measured_on": describe_machine(),
        "settings": settings,
        "gate": _gate_report(speech, {"fitted": noise, "heldout": heldout}, settings),
        "text": measured_text,
        "word": measured_word,
    }


def _truths(items: Sequence[Answer]) -> BoolArray:
    return np.array([item.is_right for item in items])


def noise_sounds(
    recognizer: Recognizer,
    noises: Mapping[str, FloatArray],
    starts_s: Sequence[float] = _STARTS_S,
    lengths_s: tuple[float, ...] = LENGTHS_S,
) -> Iterator[Sound]:
    """Listen to stretches of noises that begin at some places and have some lengths, in turn."""
    for start_s in starts_s:
        for piece in pieces(noises, recognizer.sample_rate, lengths_s=lengths_s, start_s=start_s):
            sound = listen(recognizer, piece.source, "", piece.samples)
            if sound is not None:
                yield sound


def _gate_report(
    speech: Sequence[Answer], noise: Mapping[str, Sequence[Answer]], settings: dict[str, float]
) -> dict[str, Any]:
    right = [item for item in speech if item.is_right]
    worthy = [item for item in speech if item.is_mostly_right]
    let_through = {
        name: [item for item, no in zip(items, refused(items, settings), strict=True) if not no]
        for name, items in noise.items()
    }
    examples = [f"{item.source}: {item.text}" for items in let_through.values() for item in items]
    by_set = {
        name: share(refused([item for item in worthy if item.source == name], settings))
        for name in dict.fromkeys(item.source for item in worthy)
    }
    return {
        "noise_with_text": {name: len(items) for name, items in let_through.items()},
        "noise_examples": examples[:10],
        "right_refused": share(refused(right, settings)),
        "mostly_right_refused_by_set": by_set,
    }


def show(results: Results) -> None:
    """Print what was fitted and how it does."""
    gate = results["gate"]
    print(f"gates refuse {gate['right_refused']:.2%} of right texts; of mostly right ones by set:")
    print(" ", ", ".join(f"{name} {lost:.2%}" for name, lost in gate["mostly_right_refused_by_set"].items()))
    print(f"stretches of noise that give text: {gate['noise_with_text']} {gate['noise_examples']}")
    for model in ("text", "word"):
        found = results[model]
        error = found["expected_calibration_error"]
        print(f"{model}: {found['count']}, {found['right']:.1%} right, calibration error {error:.3f}")
        for row in found["reliability"]:
            print("  from {from:.1f}: {count:6d}  predicted {predicted:.3f}  true {true:.3f}".format(**row))
        for row in found["rejection"][::2]:
            accepted, rejected = row["false_accepts"], row["false_rejects"]
            print(
                f"  at {row['threshold']:.1f}: {accepted:.1%} of wrong accepted, {rejected:.1%} of right not"
            )
    print(" ".join(f"{name}={value}" for name, value in results["settings"].items()))


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("confidence", __doc__)
    add_limits(parser)
    add_fitting_arguments(parser, most_lost=0.03, worthy="mostly right")
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
