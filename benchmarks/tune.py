"""`python -m benchmarks.tune`: which search settings suit a model, on dev recordings."""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.command import Progress, Results, execute, measuring_parser, stopwatch
from benchmarks.listening import Sound, listen_in_pieces, share, spelled
from benchmarks.output import write_search
from benchmarks.recordings import choose, load_recordings
from edge_las.metrics import measure
from edge_las.ngram import NgramModel, load_ngrams
from edge_las.runtime.recognizer import Recognizer, model_folder
from edge_las.search.config import BeamConfig
from edge_las.search.ngram import NgramScorer


@dataclass(frozen=True)
class Setting:
    """A search to try, and how much a language model counts in it (0: it takes no part)."""

    name: str
    search: BeamConfig
    lm_weight: float = 0.0

    def changes(self, base: BeamConfig) -> dict[str, Any]:
        """List what is set otherwise than in another search."""
        return {key: value for key, value in asdict(self.search).items() if value != getattr(base, key)}


def search_settings(base: BeamConfig) -> Iterator[Setting]:
    """Name the searches to try: greedy, the weight of CTC, then length, coverage and width."""
    yield Setting("beam_size=1", replace(base, beam_size=1))
    for weight in (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9):
        yield Setting(f"beam_size=4 ctc_weight={weight}", replace(base, beam_size=4, ctc_weight=weight))
    for bonus in (0.2, 0.5):
        yield Setting(f"beam_size=4 token_bonus={bonus}", replace(base, beam_size=4, token_bonus=bonus))
    for penalty in (0.3, 0.6):
        yield Setting(
            f"beam_size=4 length_penalty={penalty}", replace(base, beam_size=4, length_penalty=penalty)
        )
    for weight in (0.1, 0.4):
        yield Setting(
            f"beam_size=4 coverage_weight={weight}", replace(base, beam_size=4, coverage_weight=weight)
        )
    for size in (2, 8):
        yield Setting(f"beam_size={size}", replace(base, beam_size=size))


def language_model_settings(base: BeamConfig) -> Iterator[Setting]:
    """Name the searches to try with a language model: its weight, and a bonus for each token.

    A language model favours short texts, which the bonus makes up for; both matter in proportion to CTC. The
    weight of CTC itself, which commands hang on too, made no difference from 0.3 to 0.7.
    """
    for lm_share, bonus_share in itertools.product((0.5, 0.7, 0.9), (0.2, 0.5, 0.8)):
        lm_weight, bonus = round(base.ctc_weight * lm_share, 3), round(base.ctc_weight * bonus_share, 3)
        yield Setting(
            f"token_bonus={bonus} lm_weight={lm_weight}", replace(base, token_bonus=bonus), lm_weight
        )
    yield Setting("prefixes=0 token_bonus=0.0 lm_weight=0.3", replace(base, prefixes=0, token_bonus=0.0), 0.3)
    yield Setting("lm_weight=0.0", base)


def with_language_model(recognizer: Recognizer, model: NgramModel | None, weight: float) -> Recognizer:
    """Put a language model of some weight in place of the recognizer's own."""
    if model is None:
        return recognizer
    scorers = (NgramScorer(model, weight, recognizer.tokens.sos_id),) if weight else ()
    return Recognizer(replace(recognizer.setup, scorers=scorers))


def repeats_a_word(text: str, said: str) -> bool:
    """Tell whether a text repeats a word that was not said twice, as attention that goes back makes it."""
    doubled = {word for word, after in itertools.pairwise(text.split()) if word == after}
    return bool(doubled - {word for word, after in itertools.pairwise(said.split()) if word == after})


def sweep(
    recognizer: Recognizer,
    recordings: Sequence[Sequence[Sound]],
    settings: Iterable[Setting],
    model: NgramModel | None,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Decode recordings, each in its pieces, with each setting and without gates.

    Returns rows of WER and CER of each data set, their means, and seconds it took.
    """
    rows = []
    said = [sounds[0].said for sounds in recordings]
    for setting in settings:
        held = with_language_model(recognizer, model, setting.lm_weight)
        started = time.process_time()
        texts = [
            " ".join(spelled(held, sound, setting.search).text for sound in sounds).strip()
            for sounds in recordings
        ]
        seconds = time.process_time() - started
        wers, cers = {}, {}
        for source in dict.fromkeys(sounds[0].source for sounds in recordings):
            own = [number for number, sounds in enumerate(recordings) if sounds[0].source == source]
            found = measure([said[number] for number in own], [texts[number] for number in own])
            wers[source], cers[source] = round(found.wer, 4), round(found.cer, 4)
        row = {
            "setting": setting.name,
            "mean_wer": round(fmean(wers.values()), 4),
            "mean_cer": round(fmean(cers.values()), 4),
            "repeats": share([repeats_a_word(*pair) for pair in zip(texts, said, strict=True)]),
            "cpu_s": round(seconds, 1),
        }
        rows.append({**row, "wer": wers, "cer": cers})
        progress(json.dumps(rows[-1]))
    return rows


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure as the options say."""
    folder = model_folder(options.model)
    recognizer = Recognizer.load(folder, options.engine)
    recordings = load_recordings(options.speech, recognizer.sample_rate)
    sets = options.sets.split(",") if options.sets else ()
    chosen = choose(recordings, "dev", sets, limit=options.limit)
    heard = [listen_in_pieces(recognizer, recording) for rows in chosen.values() for recording in rows]
    heard = [sounds for sounds in heard if sounds]
    progress(f"{len(heard)} recordings listened to")
    model = load_ngrams(options.lm, recognizer.tokens) if options.lm else None
    settings = language_model_settings if model else search_settings
    base = recognizer.setup.search
    tried = {setting.name: setting for setting in settings(base)}
    found = sweep(recognizer, heard, tried.values(), model, progress)
    if options.write:
        best = tried[min(found, key=lambda row: row["mean_wer"])["setting"]]
        write_search(folder, best.changes(base) | ({"lm_weight": best.lm_weight} if model else {}))
    return {"kind": "tune", "search": found}


def show(results: Results) -> None:
    """Print the settings, best first, as JSON."""
    print(json.dumps(sorted(results["search"], key=lambda row: row["mean_wer"]), indent=2))


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("tune", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--sets", metavar="LIST", help="data sets (default: all that have dev recordings)")
    add("--limit", type=int, default=150, metavar="N", help="recordings of each data set (150)")
    add("--lm", type=Path, metavar="FILE", help="n-gram model of `edge-las lm`: try weights of it instead")
    add("--write", action="store_true", help="write the best of them into the model's manifest")
    # fmt: on
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
