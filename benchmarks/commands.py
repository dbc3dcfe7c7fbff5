"""`python -m benchmarks.commands`: words under a grammar of some of them: accuracy and rejection."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.command import Progress, Results, execute, measuring_parser, stopwatch
from benchmarks.listening import Sound, listen_to_all, share
from benchmarks.output import describe_machine, describe_model
from benchmarks.recordings import choose, load_recordings
from edge_las.artifact import load_manifest, write_manifest
from edge_las.errors import ConfigError
from edge_las.grammar import phrases_grammar
from edge_las.runtime.constraint import alphabet_of
from edge_las.runtime.recognizer import Recognizer, model_folder
from edge_las.runtime.spelling import judge, spell

_THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Order:
    """A word that was said under a grammar: whether it is in it, what was understood, and what that cost.

    loss is in nats a token; refused tells that the gates took it for no speech.
    """

    said: str
    is_inside: bool
    text: str
    loss: float
    refused: bool

    def accepted(self, most: float) -> bool:
        """Whether a text comes out under a threshold."""
        return bool(self.text) and not self.refused and self.loss <= most


def understand(recognizer: Recognizer, sound: Sound, words: Sequence[str]) -> Order:
    """Recognize a sound in the recognizer's grammar, which is of the given words, whatever that costs."""
    setup = recognizer.setup
    few = sound.ctc_tokens < setup.gate.gate_min_ctc_tokens
    found = spell(setup, sound.heard, sound.seconds)
    speech = setup.confidence.speech(judge(setup, found.free, sound.heard).evidence)
    text = recognizer.tokens.decode(found.kept[0].tokens) if found.kept else ""
    refused = few or speech < setup.gate.gate_min_speech
    return Order(sound.said, sound.said in words, text, found.loss, refused)


def orders(recognizer: Recognizer, sounds: Sequence[Sound], words: Sequence[str]) -> Iterator[Order]:
    """Understand all sounds under a grammar of the given words."""
    tokens, language = recognizer.tokens, recognizer.manifest.language
    grammar = phrases_grammar(list(words), alphabet_of(tokens), language, "words")
    config = replace(recognizer.setup.constraint, mode="strict", grammar_max_loss=1e9)
    held = recognizer.with_grammar(grammar, config)
    return (understand(held, sound, words) for sound in sounds)


def rates(found: Sequence[Order], most: float) -> dict[str, float]:
    """Count under a threshold: words of the grammar understood rightly, others rejected."""
    inside = [order for order in found if order.is_inside]
    outside = [order for order in found if not order.is_inside]
    return {
        "grammar_max_loss": most,
        "accuracy": share([order.accepted(most) and order.text == order.said for order in inside]),
        "wrong": share([order.accepted(most) and order.text != order.said for order in inside]),
        "rejected": share([not order.accepted(most) for order in outside]),
    }


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure a grammar of all words, and grammars of either half with the other half as strangers."""
    folder = model_folder(options.model)
    recognizer = Recognizer.load(folder, options.engine, 1, options.beam)
    chosen = choose(
        load_recordings(options.speech, recognizer.sample_rate), "dev", [options.set], options.limit
    )
    sounds = list(listen_to_all(recognizer, chosen[options.set]))
    words = sorted({sound.said for sound in sounds})
    if len(words) < 2:
        raise ConfigError(f"{options.set} has {len(words)} words, at least two are needed")
    progress(f"{len(sounds)} recordings of {len(words)} words listened to")
    everything = list(orders(recognizer, sounds, words))
    halves = [order for half in (words[::2], words[1::2]) for order in orders(recognizer, sounds, half)]
    most = recognizer.setup.constraint.grammar_max_loss
    curve = [rates(halves, threshold) for threshold in _THRESHOLDS]
    best = min(curve, key=lambda row: (row["rejected"] < options.least_rejected, -row["accuracy"]))
    if options.write:
        manifest = load_manifest(folder)
        search = {**manifest.search, "grammar_max_loss": best["grammar_max_loss"]}
        write_manifest(folder, replace(manifest, search=search))
    return {
        "kind": "commands",
        "model": describe_model(folder, recognizer.manifest, recognizer.setup.engine.name),
        "measured_on": describe_machine(),
        "words": words,
        "recordings": len(sounds),
        "all_words": rates(everything, best["grammar_max_loss"] if options.write else most),
        "half_the_words": rates(halves, most),
        "curve": curve,
        "best": best,
    }


def show(results: Results) -> None:
    """Print accuracy and rejection, and how they trade."""
    everything = results["all_words"]
    print(f"{results['recordings']} recordings of {len(results['words'])} words")
    print(f"grammar of all words: {_line(everything)}")
    print(f"grammars of half the words: {_line(results['half_the_words'])}")
    for row in results["curve"]:
        print(f"  {_line(row)}{' (best)' if row == results['best'] else ''}")


def _line(row: dict[str, float]) -> str:
    return (
        f"grammar_max_loss {row['grammar_max_loss']:g}: {row['accuracy']:.1%} right, "
        f"{row['wrong']:.1%} wrong, {row['rejected']:.1%} of other words rejected"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("commands", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--set", default="speech_commands", metavar="NAME", help="data set of single words (speech_commands)")
    add("--limit", type=int, metavar="N", help="at most so many recordings")
    add("--beam", type=int, metavar="N", help="hypotheses kept (default: the model's)")
    add("--least-rejected", type=float, default=0.92, metavar="SHARE",
        help="of words outside the grammar that the best threshold must reject (0.92)")
    add("--write", action="store_true", help="write the best threshold into the model's manifest")
    # fmt: on
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
