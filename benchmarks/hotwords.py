"""`python -m benchmarks.hotwords`: words that the model's lexicon lacks, unannounced and as hotwords."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from benchmarks.command import Progress, Results, execute, measuring_parser, stopwatch
from benchmarks.output import describe_machine, describe_model
from benchmarks.recordings import Recording, choose, load_recordings, spread
from edge_las.errors import ConfigError
from edge_las.metrics import measure
from edge_las.runtime.recognizer import Recognizer, model_folder
from edge_las.search.fusion import Scorer
from edge_las.search.hotwords import HotwordScorer


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Transcribe recordings with rare words, and as many without, once unannounced and at each boost."""
    folder = model_folder(options.model)
    recognizer = Recognizer.load(folder, options.engine)
    known = recognizer.setup.words()
    if known is None:
        raise ConfigError(f"{folder}: this model knows no words: edge-las lm --words")
    table = known.judge.vocabulary.table
    recordings = load_recordings(options.speech, recognizer.sample_rate)
    every = [r for rows in choose(recordings, "dev", options.sets.split(",")).values() for r in rows]
    with_rare = [r for r in every if not all(word in table for word in r.text.split())]
    if not with_rare:
        raise ConfigError(f"{options.speech}: no dev recording of {options.sets} has a word that is rare")
    rare = sorted({word for r in with_rare for word in r.text.split() if word not in table})
    chosen = {
        "with": spread(with_rare, options.limit),
        "without": spread([r for r in every if r not in with_rare], min(options.limit, len(with_rare))),
    }
    results = []
    for boost in (None, *options.boost):
        scorers: list[Scorer] = []
        if boost is not None:
            phrases = dict.fromkeys(rare, boost)
            scorers = [HotwordScorer(recognizer.tokens.pieces, phrases, recognizer.tokens.eos_id)]
        for kind, rows in chosen.items():
            heard = [recognizer.transcribe(r.samples(), scorers).text for r in rows]
            results.append({"boost": boost, "recordings": kind, **score(rows, heard, set(rare))})
            progress(f"{line(results[-1])}")
    return {
        "kind": "hotwords",
        "model": describe_model(folder, recognizer.manifest, recognizer.setup.engine.name),
        "measured_on": describe_machine(),
        "rare_words": rare,
        "scores": results,
    }


def score(rows: Sequence[Recording], heard: Sequence[str], rare: set[str]) -> dict[str, float]:
    """Count rare words that were said, those of them that came out, and those that came out unsaid."""
    said = found = unsaid = 0
    for row, text in zip(rows, heard, strict=True):
        wanted, got = (Counter(w for w in t.split() if w in rare) for t in (row.text, text))
        said += wanted.total()
        found += (wanted & got).total()
        unsaid += (got - wanted).total()
    wer = measure([row.text for row in rows], heard).words.rate
    return {"count": len(rows), "wer": wer, "said": said, "found": found, "unsaid": unsaid}


def line(score: dict[str, float]) -> str:
    """Describe a score in one line."""
    told = "no hotwords" if score["boost"] is None else f"boost {score['boost']:g}"
    return (
        f"{told:12} {score['count']:3} recordings {score['recordings']:8} rare words: WER "
        f"{100 * score['wer']:5.1f} %, {score['found']} of {score['said']} found, {score['unsaid']} unsaid"
    )


def show(results: Results) -> None:
    """Print a line for each score."""
    print(f"{len(results['rare_words'])} words that the lexicon lacks")
    for score in results["scores"]:
        print(line(score))


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("hotwords", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--sets", metavar="LIST", default="librispeech,speechocean762", help="data sets (%(default)s)")
    add("--limit", type=int, default=80, metavar="N", help="recordings of either kind (80)")
    add("--boost", type=float, nargs="+", default=[4.0, 8.0], metavar="NATS", help="boosts to try (4 and 8)")
    # fmt: on
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
