"""`python -m benchmarks.tune`: which search settings suit a model, on dev recordings."""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.command import Progress, Results, execute, measuring_parser, stopwatch
from benchmarks.listening import Sound, listen_to_all, share, spelled
from benchmarks.recordings import choose, load_recordings
from edge_las.metrics import measure
from edge_las.runtime.recognizer import Recognizer
from edge_las.search.config import BeamConfig


def search_settings(base: BeamConfig) -> Iterator[tuple[str, BeamConfig]]:
    """Name the searches to try: greedy, the weight of CTC, then length, coverage and width."""
    yield "beam_size=1", replace(base, beam_size=1)
    for weight in (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9):
        yield f"beam_size=4 ctc_weight={weight}", replace(base, beam_size=4, ctc_weight=weight)
    for bonus in (0.2, 0.5):
        yield f"beam_size=4 token_bonus={bonus}", replace(base, beam_size=4, token_bonus=bonus)
    for penalty in (0.3, 0.6):
        yield f"beam_size=4 length_penalty={penalty}", replace(base, beam_size=4, length_penalty=penalty)
    for weight in (0.1, 0.4):
        yield f"beam_size=4 coverage_weight={weight}", replace(base, beam_size=4, coverage_weight=weight)
    for size in (2, 8):
        yield f"beam_size={size}", replace(base, beam_size=size)


def repeats_a_word(text: str, said: str) -> bool:
    """Tell whether a text repeats a word that was not said twice, as attention that goes back makes it."""
    doubled = {word for word, after in itertools.pairwise(text.split()) if word == after}
    return bool(doubled - {word for word, after in itertools.pairwise(said.split()) if word == after})


def sweep_search(recognizer: Recognizer, sounds: Sequence[Sound], progress: Progress) -> list[dict[str, Any]]:
    """Decode with each setting, without gates: WER of each data set, their mean, and seconds it took."""
    rows = []
    for name, config in search_settings(recognizer.setup.search):
        started = time.process_time()
        texts = [spelled(recognizer, sound, config).text for sound in sounds]
        seconds = time.process_time() - started
        wers = {}
        for source in dict.fromkeys(sound.source for sound in sounds):
            pairs = [(s.said, t) for s, t in zip(sounds, texts, strict=True) if s.source == source]
            wers[source] = round(measure(*map(list, zip(*pairs, strict=True))).wer, 4)
        mean = round(sum(wers.values()) / len(wers), 4)
        repeats = share([repeats_a_word(text, s.said) for s, text in zip(sounds, texts, strict=True)])
        rows.append(
            {"setting": name, "mean_wer": mean, "repeats": repeats, "cpu_s": round(seconds, 1), **wers}
        )
        progress(f"{name}: mean WER {mean:.2%}, a word said once repeated in {repeats:.1%}, {wers}")
    return rows


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure as the options say."""
    recognizer = Recognizer.load(options.model, options.engine)
    chosen = choose(load_recordings(options.speech, recognizer.sample_rate), "dev", limit=options.limit)
    sounds = list(listen_to_all(recognizer, [recording for rows in chosen.values() for recording in rows]))
    progress(f"{len(sounds)} recordings listened to")
    return {"kind": "tune", "search": sweep_search(recognizer, sounds, progress)}


def show(results: Results) -> None:
    """Print the settings, best first, as JSON."""
    print(json.dumps(sorted(results["search"], key=lambda row: row["mean_wer"]), indent=2))


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("tune", __doc__)
    parser.add_argument(
        "--limit", type=int, default=150, metavar="N", help="recordings of each data set (150)"
    )
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
