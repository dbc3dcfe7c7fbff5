"""`python -m benchmarks.tune_words`: what words count in free text, fitted on dev recordings."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.command import Progress, Results, execute, measuring_parser, stopwatch
from benchmarks.listening import Sound, listen_in_pieces
from benchmarks.output import write_search
from benchmarks.recordings import choose, load_recordings
from benchmarks.scoring import edit_distance
from edge_las.errors import ConfigError
from edge_las.runtime.recognizer import Recognizer, model_folder
from edge_las.runtime.spelling import free_search, speller_of
from edge_las.search.config import WEIGHTS, BeamConfig, WordConfig
from edge_las.search.rescoring import judge_proposals
from edge_las.search.word_fusion import rank

DoubleArray = npt.NDArray[np.float64]

# The Speller judges that many of the texts of a piece, which is more than it will be asked in the end.
_JUDGED = 24
# By how many nats the weights' logarithms are moved, round by round, and how often in each.
_WIDTHS = (0.6, 0.4, 0.2, 0.1)
_TRIALS = 150
# What it costs, in WER, to move all weights by a factor of e from where they began: what tells little stays.
_RIDGE = 0.002
# Weights are judged by the mean of so many near them, that far away in their logarithms: few recordings make
# rugged ground, and its deepest hole is not where that of other recordings is.
_NEIGHBOURS, _NEAR = 16, 0.15


@dataclass(frozen=True)
class Piece:
    """Texts for a piece of a recording: values (N, 5) that words have weights for, and all else (N,)."""

    texts: tuple[str, ...]
    values: DoubleArray
    others: DoubleArray

    def best(self, weights: DoubleArray) -> str:
        """Choose a text."""
        return self.texts[int(np.argmax(self.values @ weights + self.others))]


@dataclass(frozen=True)
class Spoken:
    """A recording in its pieces."""

    source: str
    said: str
    pieces: tuple[Piece, ...]
    _errors: dict[str, int] = field(default_factory=dict)

    @cached_property
    def num_words(self) -> int:
        """How many words were said."""
        return len(self.said.split())

    def errors(self, weights: DoubleArray) -> int:
        """Count the wrong words of the text that weights choose."""
        text = " ".join(piece.best(weights) for piece in self.pieces).strip()
        if text not in self._errors:
            self._errors[text] = edit_distance(text.split(), self.said.split())
        return self._errors[text]


def weigh(recognizer: Recognizer, sound: Sound) -> Piece:
    """Gather the texts of a piece and what speaks for each."""
    setup = replace(recognizer.setup, grammar=None)
    search, words = free_search(setup), setup.words()
    if search is None or words is None:
        raise ConfigError("this model knows no words: edge-las lm --words")
    evidence = {item.tokens: item for item in search.evidence(sound.heard)}
    chosen = rank(words.config, setup.search, list(evidence.values()))[:_JUDGED]
    config: BeamConfig = replace(setup.search, nbest=_JUDGED)
    judged = judge_proposals(speller_of(setup, sound.heard), config, chosen)
    values = np.array([evidence[item.tokens].values for item in judged])
    added = values @ np.array(words.config.weights)
    texts = tuple(recognizer.tokens.decode(item.tokens) for item in judged)
    return Piece(texts, values, np.array([item.score for item in judged]) - added)


def mean_wer(spoken: Sequence[Spoken], weights: DoubleArray) -> dict[str, float]:
    """Give the WER of each data set."""
    wers = {}
    for source in dict.fromkeys(item.source for item in spoken):
        own = [item for item in spoken if item.source == source]
        wers[source] = sum(item.errors(weights) for item in own) / sum(item.num_words for item in own)
    return wers


def fit(spoken: Sequence[Spoken], start: Sequence[float], progress: Progress) -> DoubleArray:
    """Move weights at random, further at first, to where the mean WER of the sets is least all around."""
    rng = np.random.default_rng(0)
    weights = first = np.array(start, dtype=np.float64)
    around = np.exp(_NEAR * rng.normal(size=(_NEIGHBOURS, len(weights))))

    def cost(tried: DoubleArray) -> float:
        moved = float(np.mean(np.log(tried / first) ** 2))
        return fmean(fmean(mean_wer(spoken, near).values()) for near in tried * around) + _RIDGE * moved

    best = cost(weights)
    for number, width in enumerate(_WIDTHS, start=1):
        for _ in range(_TRIALS):
            # Some of them stay.
            moves = width * rng.normal(size=len(weights)) * (rng.random(len(weights)) < 0.5)
            tried = weights * np.exp(moves)
            found = cost(tried)
            if found < best:
                best, weights = found, tried
        progress(f"round {number} of {len(_WIDTHS)}: mean WER, and what moving cost: {best:.4f}")
    return weights


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure as the options say."""
    folder = model_folder(options.model)
    recognizer = Recognizer.load(folder, options.engine)
    sets = options.sets.split(",") if options.sets else ()
    chosen = choose(load_recordings(options.speech, recognizer.sample_rate), "dev", sets, limit=options.limit)
    spoken = []
    for source, recordings in chosen.items():
        for recording in recordings:
            sounds = listen_in_pieces(recognizer, recording)
            spoken.append(Spoken(source, recording.text, tuple(weigh(recognizer, s) for s in sounds)))
        progress(f"{source}: {len(recordings)} recordings")
    words = recognizer.setup.words()
    start = words.config.weights if words else WordConfig().weights
    weights = fit(spoken, start, progress)
    settings = {name: round(float(value), 3) for name, value in zip(WEIGHTS, weights, strict=True)}
    if options.write:
        write_search(folder, settings)
    found = {"before": mean_wer(spoken, np.array(start)), "after": mean_wer(spoken, weights)}
    return {"kind": "tune_words", "search": settings, **found}


def show(results: Results) -> None:
    """Print each data set's WER before and after, and the weights."""
    after: Mapping[str, Any] = results["after"]
    for source, before in results["before"].items():
        print(f"{source:20} {100 * before:5.1f} -> {100 * after[source]:5.1f} % WER")
    print(", ".join(f"{name} {value:g}" for name, value in results["search"].items()))


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("tune_words", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--sets", metavar="LIST", help="data sets (default: all that have dev recordings)")
    add("--limit", type=int, default=100, metavar="N", help="recordings of each data set (100)")
    add("--write", action="store_true", help="write the weights into the model's manifest")
    # fmt: on
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
