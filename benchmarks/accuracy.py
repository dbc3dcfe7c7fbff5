"""`python -m benchmarks.accuracy`: what an artifact makes of dev recordings, clean and in noise."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.command import Progress, Results, execute, measuring_parser, stopwatch
from benchmarks.noise import HELD_BACK, FloatArray, load_noises, mix, pieces
from benchmarks.output import describe_machine, describe_model
from benchmarks.recordings import Recording, choose, hours, load_recordings, spread
from benchmarks.scoring import DIGITS, SINGLE_WORD_SETS, examples, percentile, score_set
from edge_las.errors import ConfigError
from edge_las.runtime.recognizer import Recognizer, model_folder

# As long as what a microphone hands over at once.
_BLOCK_S = 0.25


@dataclass
class Heard:
    """What a recognizer made of recordings, in their order."""

    texts: list[str] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    busy_s: float = 0.0
    audio_s: float = 0.0


def transcribe_all(recognizer: Recognizer, sounds: Iterable[FloatArray], heard: Heard) -> Heard:
    """Add the transcripts of samples (S,) to `heard`, in blocks as they would arrive."""
    block = int(_BLOCK_S * recognizer.sample_rate)
    for samples in sounds:
        blocks = (samples[start : start + block] for start in range(0, samples.size, block))
        result = recognizer.transcribe(blocks)
        heard.texts.append(result.text)
        heard.latency_ms.append(result.latency_ms)
        heard.busy_s += result.rtf * result.duration_s
        heard.audio_s += result.duration_s
    return heard


def measure_sets(
    recognizer: Recognizer, chosen: Mapping[str, Sequence[Recording]], words: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Transcribe and score the recordings of each data set."""
    sets: dict[str, Any] = {}
    wrong: dict[str, Any] = {}
    total = Heard()
    for name, recordings in chosen.items():
        said, first = [recording.text for recording in recordings], len(total.texts)
        transcribe_all(recognizer, (recording.samples() for recording in recordings), total)
        texts = total.texts[first:]
        sets[name] = score_set(name, said, texts, words.get(name, ()))
        wrong[name] = examples(said, texts)
    return {"sets": sets, "examples": wrong, **_speed(total)}


def _speed(heard: Heard) -> dict[str, float]:
    return {
        "rtf": round(heard.busy_s / heard.audio_s, 5),
        "latency_ms_p50": round(median(heard.latency_ms), 2),
        "latency_ms_p95": round(percentile(heard.latency_ms, 95), 2),
    }


def measure_noise_only(recognizer: Recognizer, noises: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Measure how often stretches without speech give no text, as they should."""
    empty: dict[str, list[bool]] = {}
    false_texts: list[str] = []
    for piece in pieces(noises, recognizer.sample_rate):
        (text,) = transcribe_all(recognizer, [piece.samples], Heard()).texts
        empty.setdefault(piece.source, []).append(not text)
        if text:
            false_texts.append(text)
    answers = [answer for rows in empty.values() for answer in rows]
    return {
        "pieces": len(answers),
        "empty_rate": round(sum(answers) / len(answers), 4),
        "empty_rate_by_noise": {name: round(sum(rows) / len(rows), 4) for name, rows in empty.items()},
        "false_texts": false_texts[:10],
    }


def measure_in_noise(
    recognizer: Recognizer,
    chosen: Mapping[str, Sequence[Recording]],
    words: Mapping[str, Sequence[str]],
    noise: FloatArray,
    snrs_db: Sequence[float],
    progress: Progress,
) -> dict[str, Any]:
    """Score the recordings clean and with noise at each ratio; the same stretches of noise at each."""
    curve: dict[str, Any] = {}
    for snr_db in (None, *snrs_db):
        sets = {}
        for name, recordings in chosen.items():
            rng = np.random.default_rng(0)
            offsets = rng.integers(noise.size, size=len(recordings)).tolist()
            sounds = (
                recording.samples() if snr_db is None else mix(recording.samples(), noise, snr_db, offset)
                for recording, offset in zip(recordings, offsets, strict=True)
            )
            heard = transcribe_all(recognizer, sounds, Heard())
            said = [recording.text for recording in recordings]
            sets[name] = score_set(name, said, heard.texts, words.get(name, ()))
        label = "clean" if snr_db is None else f"{snr_db:g}"
        curve[label] = sets
        progress(f"noise {label}: done")
    return curve


def word_lists(recordings: Iterable[Recording]) -> dict[str, list[str]]:
    """List the words of each data set of single words, of all splits: what an answer may be snapped to."""
    lists: dict[str, set[str]] = {"fsdd": set(DIGITS)}
    for recording in recordings:
        if recording.dataset in SINGLE_WORD_SETS:
            lists.setdefault(recording.dataset, set()).add(recording.text)
    return {name: sorted(words) for name, words in lists.items()}


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure as the options say and return the results."""
    folder = model_folder(options.model)
    beams = [int(text) for text in options.beam.split(",")]
    recognizers = {beam: Recognizer.load(folder, options.engine, 1, beam) for beam in beams}
    first = recognizers[beams[0]]
    recordings = load_recordings(options.speech, first.sample_rate)
    words = word_lists(recordings)
    sets = options.sets.split(",") if options.sets else ()
    chosen = choose(recordings, options.split, sets, options.limit)
    engine = first.setup.engine.name
    results: Results = {
        "kind": "accuracy",
        "model": describe_model(folder, first.manifest, engine),
        "measured_on": describe_machine(),
        "split": options.split,
        "hours": _rounded(hours(recordings)),
        "beams": {},
    }
    for beam, recognizer in recognizers.items():
        results["beams"][str(beam)] = found = measure_sets(recognizer, chosen, words)
        for line in table(found["sets"]):
            progress(f"beam {beam}: {line}")
    if options.noise:
        results["noise"] = _noise(recognizers[beams[-1]], chosen, words, options, progress)
    return results


def _noise(
    recognizer: Recognizer,
    chosen: Mapping[str, Sequence[Recording]],
    words: Mapping[str, Sequence[str]],
    options: argparse.Namespace,
    progress: Progress,
) -> dict[str, Any]:
    noises = load_noises(options.noise, recognizer.sample_rate)
    if options.held_back not in noises:
        raise ConfigError(f"{options.noise}: has no noise named {options.held_back}")
    only = measure_noise_only(recognizer, noises)
    progress(f"noise alone: no text from {only['empty_rate']:.1%} of {only['pieces']} pieces")
    fewer = {name: spread(recordings, options.noise_limit) for name, recordings in chosen.items()}
    snrs_db = [float(text) for text in options.snr.split(",")]
    noise = noises[options.held_back]
    curve = measure_in_noise(recognizer, fewer, words, noise, snrs_db, progress)
    return {
        "noise": options.held_back,
        "beam": recognizer.setup.search.beam_size,
        "snr_db": curve,
        "only": only,
    }


def _rounded(total: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {split: round(h, 3) for split, h in parts.items()} for name, parts in total.items()}


def table(sets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Write the scores of data sets as lines."""
    lines = []
    for name, scores in sets.items():
        rest = "".join(
            f", {key.replace('_', ' ')} {scores[key]:.1%}"
            for key in ("snapped_accuracy", "digits_wer", "spelled_wer")
            if key in scores
        )
        lines.append(
            f"{name}: {scores['utterances']} utterances, WER {scores['wer']:.1%}, CER {scores['cer']:.1%}, "
            f"exact {scores['accuracy']:.1%}{rest}"
        )
    return lines


def show(results: Results) -> None:
    """Print the scores."""
    for beam, found in results["beams"].items():
        print(f"beam {beam}: rtf {found['rtf']:.4f}, delay {found['latency_ms_p50']:.1f} ms (p50)")
        print("\n".join(f"  {line}" for line in table(found["sets"])))


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    about = "Transcribe the dev recordings of a speech folder with an artifact and score the texts."
    parser = measuring_parser("accuracy", about)
    add = parser.add_argument
    # fmt: off
    add("--sets", metavar="LIST", help="data sets (default: all that have recordings of the split)")
    add("--split", default="dev", help="default dev")
    add("--limit", type=int, metavar="N", help="at most so many recordings of each set")
    add("--beam", default="1,4", metavar="LIST", help="beam sizes, 1 = greedy; the last is used for noise")
    add("--noise", type=Path, metavar="DIR", help="folder of noise recordings: measure with them too")
    add("--held-back", default=HELD_BACK, metavar="NAME", help="the noise to mix, unknown to the model")
    add("--snr", default="20,15,10,5", metavar="LIST", help="ratios of speech to noise in dB")
    add("--noise-limit", type=int, default=200, metavar="N", help="recordings of each set to mix (200)")
    # fmt: on
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
