"""`python -m benchmarks.agreement`: whether engines and precisions of one model hear the same."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import Heard, transcribe_all
from benchmarks.command import Progress, Results, add_limits, execute, new_parser, stopwatch
from benchmarks.output import describe_machine, read_json
from benchmarks.recordings import FloatArray, Recording, choose, load_recordings
from edge_las.cli_support import at_least_one
from edge_las.errors import ConfigError
from edge_las.metrics import measure, word_errors
from edge_las.runtime.recognizer import Recognizer

# What is asked of an int8 artifact: error rates within so much of the first form's, and so many equal texts.
_MAX_DIFFERENCE, _MIN_EQUAL = 0.003, 0.98
# No one hears it, and every value is rounded anew.
_STEP_DB = 0.03

Texts = dict[str, str]  # by the recording's id


def drawn(recordings: Sequence[Recording], draws: int) -> list[Recording]:
    """Take each recording so often, a little louder or softer each time, so that other values are rounded."""
    return [_played(recording, draw) for recording in recordings for draw in range(draws)]


def _played(recording: Recording, draw: int) -> Recording:
    if not draw:
        return recording
    steps = (draw + 1) // 2 * (1 if draw % 2 else -1)
    gain = np.float32(10.0 ** (steps * _STEP_DB / 20.0))
    return replace(recording, id=f"{recording.id}@{draw}", samples=partial(_louder, recording, gain))


def _louder(recording: Recording, gain: np.float32) -> FloatArray:
    return recording.samples() * gain


def listen(form: str, recordings: Sequence[Recording], beam: int | None, progress: Progress) -> Texts:
    """Transcribe recordings with DIR:ENGINE.

    Raises: ConfigError where a form is not written so.
    """
    folder, _, engine = form.rpartition(":")
    if not folder:
        raise ConfigError(f"{form}: is not DIR:ENGINE")
    recognizer = Recognizer.load(folder, engine, 1, beam)
    heard = transcribe_all(recognizer, (recording.samples() for recording in recordings), Heard())
    progress(f"{form}: {len(recordings)} recordings, {heard.busy_s / heard.audio_s:.4f} of their time")
    return {recording.id: text for recording, text in zip(recordings, heard.texts, strict=True)}


def compare(chosen: Mapping[str, Sequence[Recording]], forms: Mapping[str, Texts]) -> dict[str, Any]:
    """Score each data set in each form, and count the recordings that two forms hear the same in."""
    first = next(iter(forms.values()))
    return {
        "sets": {
            name: {form: _scores(recordings, texts, first) for form, texts in forms.items()}
            for name, recordings in chosen.items()
        },
        "equal_texts": {
            f"{one} = {other}": round(_equal(forms[one], forms[other]), 4)
            for one, other in combinations(forms, 2)
        },
    }


def misses(found: Mapping[str, Any]) -> list[str]:
    """Tell where a form's errors are too far from the first one's, or texts of two forms differ too often."""
    lines = []
    for name, forms in found["sets"].items():
        (first, wanted), *others = forms.items()
        for form, scores in others:
            for key, worse in (("wer", 1), ("accuracy", -1)):
                difference = worse * (scores[key] - wanted[key])
                if difference > _MAX_DIFFERENCE:
                    error = f" +- {scores['wer_error']:.2%}" if key == "wer" else ""
                    lines.append(f"{name}: {key} of {form} is {difference:.2%}{error} worse than of {first}")
    for pair, share in found["equal_texts"].items():
        if share < _MIN_EQUAL:
            lines.append(f"{pair}: {share:.1%} of the texts")
    return lines


def _scores(recordings: Sequence[Recording], texts: Texts, first: Texts) -> dict[str, float]:
    report = measure([r.text for r in recordings], [texts[r.id] for r in recordings])
    return {
        "utterances": report.utterances,
        "wer": round(report.wer, 5),
        "wer_error": round(_standard_error(recordings, texts, first), 5),
        "accuracy": round(report.accuracy, 5),
    }


def _standard_error(recordings: Sequence[Recording], texts: Texts, first: Texts) -> float:
    """Give the standard error of how much the WER differs from the first form's, paired by recording."""
    changes: dict[str, float] = {}
    words: dict[str, int] = {}
    for recording in recordings:
        # Draws of one recording are no new evidence of what other speakers would say.
        name, said = recording.id.partition("@")[0], [recording.text]
        after, before = (word_errors(said, [form[recording.id]]).errors for form in (texts, first))
        changes[name] = changes.get(name, 0.0) + after - before
        words[name] = words.get(name, 0) + len(recording.text.split())
    change, size = np.array(list(changes.values())), np.array(list(words.values()))
    residuals = change - size * (change.sum() / size.sum())
    return float(np.sqrt(np.square(residuals).sum() * len(size) / max(len(size) - 1, 1)) / size.sum())


def _equal(one: Texts, other: Texts) -> float:
    return sum(one[name] == other[name] for name in one) / len(one)


def _heard_elsewhere(path: Path, recordings: Sequence[Recording]) -> dict[str, Texts]:
    """Read what another run heard in the same recordings.

    Raises: ConfigError naming the file where it heard others.
    """
    forms: dict[str, Texts] = read_json(path, "agreement")["texts"]
    for form, texts in forms.items():
        if texts.keys() != {recording.id for recording in recordings}:
            raise ConfigError(f"{path}: {form} heard other recordings")
    return {f"{path.stem} {form}": texts for form, texts in forms.items()}


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Listen and compare as the options say."""
    recordings = load_recordings(options.speech)
    chosen = choose(recordings, options.split, options.sets.split(",") if options.sets else (), options.limit)
    chosen = {name: drawn(rows, options.draws) for name, rows in chosen.items()}
    every = [recording for rows in chosen.values() for recording in rows]
    forms: dict[str, Texts] = {}
    for path in options.heard:
        forms |= _heard_elsewhere(path, every)
    forms |= {form: listen(form, every, options.beam, progress) for form in options.forms}
    found = compare(chosen, forms)
    machine = describe_machine()
    return {"kind": "agreement", "measured_on": machine, **found, "misses": misses(found), "texts": forms}


def show(results: Results) -> None:
    """Print the scores and where they miss what is asked for."""
    for name, forms in results["sets"].items():
        for form, scores in forms.items():
            print(
                f"{name}: {scores['utterances']} utterances, {form}: "
                f"WER {scores['wer']:.2%}, exact {scores['accuracy']:.2%}"
                f", WER +- {scores['wer_error']:.2%} from the first's"
            )
    for pair, share in results["equal_texts"].items():
        print(f"{pair}: {share:.2%} of the texts")
    print("\n".join(f"MISSED: {line}" for line in results["misses"]) or "all within the bars")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code: 0 also where forms differ, which is a finding."""
    parser = new_parser(
        "agreement", "Transcribe dev recordings with several forms of a model; compare with the first."
    )
    add_limits(parser)
    add = parser.add_argument
    # fmt: off
    add("forms", nargs="*", metavar="DIR:ENGINE", help="artifact folder and engine: onnx or tflite")
    add("--heard", type=Path, action="append", default=[], metavar="FILE.json",
        help="what an earlier run's --json holds, such as one in an environment with another engine")
    add("--speech", type=Path, required=True, metavar="DIR", help="has manifest.tsv, or is a flat corpus")
    add("--split", default="dev", help="default dev")
    add("--sets", metavar="LIST", help="data sets (default: all that have recordings of the split)")
    add("--draws", type=at_least_one, default=1, metavar="N",
        help="hear each recording N times, louder and softer in steps of 0.03 dB: rounding is luck")
    add("--json", type=Path, metavar="OUT", help="write the results here, with every text")
    # fmt: on
    return execute(parser, arguments, lambda options: run(options, stopwatch()), show)


if __name__ == "__main__":
    sys.exit(main())
