"""`python -m benchmarks.commands`: words under a grammar of some of them: accuracy, rejection, noise."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from benchmarks.acceptance import (
    THRESHOLDS,
    Acceptance,
    Order,
    Trial,
    acceptance_of,
    fit_acceptance,
    rates,
    settings_of,
)
from benchmarks.command import (
    Progress,
    Results,
    add_fitting_arguments,
    add_limits,
    execute,
    measuring_parser,
    stopwatch,
)
from benchmarks.confidence import noise_sounds
from benchmarks.listening import Sound, listen_to_all
from benchmarks.output import describe_machine, describe_model, write_search
from benchmarks.recordings import choose, load_recordings
from edge_las.errors import ConfigError
from edge_las.grammar import phrases_grammar
from edge_las.runtime.constraint import alphabet_of
from edge_las.runtime.recognizer import Recognizer, model_folder
from edge_las.runtime.spelling import judge_command, spell_command

# Stretches of noise: as long as commands, and as long as those that benchmarks.accuracy measures with.
_LENGTHS_S = ((0.6, 0.8, 1.0, 1.3), (2.0, 3.0, 5.0, 10.0))


def understand(recognizer: Recognizer, sound: Sound, words: Sequence[str]) -> Order:
    """Recognize a sound in the recognizer's grammar, which is of the given words, whatever that costs."""
    setup, grammar = recognizer.setup, recognizer.setup.grammar
    assert grammar is not None
    found = spell_command(setup, grammar, sound.heard, sound.seconds)
    inside = sound.said in words
    if not found.kept:
        return Order(sound.said, inside, "", found.loss, None)
    judged, evidence = judge_command(setup, grammar, found, sound.heard)
    return Order(sound.said, inside, judged.text, found.loss, evidence)


def orders(recognizer: Recognizer, sounds: Iterable[Sound], words: Sequence[str]) -> Iterator[Order]:
    """Understand all sounds under a grammar of the given words."""
    tokens, language = recognizer.tokens, recognizer.manifest.language
    grammar = phrases_grammar(list(words), alphabet_of(tokens), language, "words")
    held = recognizer.with_grammar(grammar)
    return (understand(held, sound, words) for sound in sounds)


def try_words(
    recognizer: Recognizer, sounds: Sequence[Sound], noise: Sequence[Sound], heldout: Sequence[Sound]
) -> Trial:
    """Understand a data set's sounds, and noises, under grammars of its words.

    Raises: ConfigError if there is but one.
    """
    words = sorted({sound.said for sound in sounds})
    if len(words) < 2:
        raise ConfigError(f"{sounds[0].source} has one word, at least two are needed")
    return Trial(
        words,
        list(orders(recognizer, sounds, words)),
        [order for half in (words[::2], words[1::2]) for order in orders(recognizer, sounds, half)],
        *(list(orders(recognizer, stretches, words)) for stretches in (noise, heldout)),
    )


def report(trials: Mapping[str, Trial], tests: Acceptance) -> dict[str, Results]:
    """Count for each data set what comes out under tests, of speech and of noise."""
    return {
        name: {
            "words": trial.words,
            "recordings": len(trial.everything),
            "all_words": rates(trial.everything, tests),
            "half_the_words": rates(trial.halves, tests),
            "noise_accepted": {
                "fitted": [sum(tests.accept(trial.noise)), len(trial.noise)],
                "heldout": [sum(tests.accept(trial.heldout)), len(trial.heldout)],
            },
            "curve": [rates(trial.halves, replace(tests, most_loss=most)) for most in THRESHOLDS],
        }
        for name, trial in trials.items()
    }


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure words under grammars with the model's tests, or with such as are fitted now."""
    folder = model_folder(options.model)
    recognizer = Recognizer.load(folder, options.engine, 1, options.beam)
    names = options.set.split(",")
    chosen = choose(load_recordings(options.speech, recognizer.sample_rate), "dev", names, options.limit)
    short, long = _LENGTHS_S
    noise = list(noise_sounds(recognizer, options.noise, lengths_s=long))
    noise += noise_sounds(recognizer, options.noise, (0.2,), short)
    heldout = list(noise_sounds(recognizer, options.noise, (0.0,), long))
    trials = {}
    for name in names:
        sounds = list(listen_to_all(recognizer, chosen[name]))
        trials[name] = try_words(recognizer, sounds, noise, heldout)
        progress(f"{name}: {len(sounds)} recordings of {len(trials[name].words)} words")
    tests = acceptance_of(recognizer)
    if options.write:
        tests = fit_acceptance(list(trials.values()), options.most_lost, options.least_rejected)
        write_search(folder, settings_of(tests))
    return {
        "kind": "commands",
        "model": describe_model(folder, recognizer.manifest, recognizer.setup.engine.name),
        "measured_on": describe_machine(),
        "settings": settings_of(tests),
        "sets": report(trials, tests),
    }


def show(results: Results) -> None:
    """Print accuracy and rejection, and how they trade."""
    for name, found in results["sets"].items():
        print(f"{name}: {found['recordings']} recordings of {len(found['words'])} words")
        print(f"  grammar of all words: {_line(found['all_words'])}")
        print(f"  grammars of half the words: {_line(found['half_the_words'])}")
        for part, (accepted, count) in found["noise_accepted"].items():
            print(f"  {part} noise: {accepted} of {count} stretches give a word")
        for row in found["curve"][::4]:
            print(f"    {_line(row)}")
    print(" ".join(f"{name}={value:g}" for name, value in results["settings"].items()))


def _line(row: Mapping[str, float]) -> str:
    return (
        f"grammar_max_loss {row['grammar_max_loss']:g}: {row['accuracy']:.1%} right, "
        f"{row['wrong']:.1%} wrong, {row['rejected']:.1%} of other words rejected"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("commands", __doc__)
    add_limits(parser)
    add_fitting_arguments(parser, most_lost=0.0075)
    add = parser.add_argument
    # fmt: off
    add("--set", default="speech_commands,fsdd", metavar="LIST",
        help="data sets of single words (speech_commands,fsdd)")
    add("--least-rejected", type=float, default=0.96, metavar="SHARE",
        help="of words outside the grammar that must be rejected (0.96)")
    # fmt: on
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
