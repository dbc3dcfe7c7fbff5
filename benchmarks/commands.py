"""`python -m benchmarks.commands`: words and sentences under a grammar of some of them: what comes out."""

import argparse
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

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
from benchmarks.noise import HELD_BACK, FloatArray, load_noises, mix
from benchmarks.output import describe_machine, describe_model, write_search
from benchmarks.recordings import Recording, choose, load_recordings, spread
from benchmarks.slot_tasks import read_sentences, sentences_grammar
from edge_las.errors import ConfigError
from edge_las.grammar import Grammar, phrases_grammar
from edge_las.runtime.command import judge_command, spell_command
from edge_las.runtime.constraint import alphabet_of
from edge_las.runtime.recognizer import Recognizer, model_folder

# Of each data set, recordings of sentences: their grammars take a while. Each is heard as recorded and at
# so many dB of a noise, where right ones lose more.
_SENTENCES, _SENTENCES_SNR_DB = 60, 12.0
# Stretches of noise: as long as commands, and as long as those that benchmarks.accuracy measures with.
_LENGTHS_S = ((0.6, 0.8, 1.0, 1.3), (2.0, 3.0, 5.0, 10.0))

GrammarOf = Callable[[Sequence[str]], Grammar]


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


def try_texts(
    recognizer: Recognizer,
    grammar_of: GrammarOf,
    sounds: Sequence[Sound],
    noise: Sequence[Sound] = (),
    heldout: Sequence[Sound] = (),
) -> Trial:
    """Understand a data set's sounds, and noises, under grammars of its texts.

    Raises: ConfigError if there is but one.
    """
    texts = sorted({sound.said for sound in sounds})
    if len(texts) < 2:
        raise ConfigError(f"{sounds[0].source} has one text, at least two are needed")

    def orders(heard: Iterable[Sound], known: Sequence[str]) -> list[Order]:
        held = recognizer.with_grammar(grammar_of(known))
        return [understand(held, sound, known) for sound in heard]

    halves = [order for half in (texts[::2], texts[1::2]) for order in orders(sounds, half)]
    return Trial(
        texts,
        orders(sounds, texts),
        halves,
        *(orders(part, texts) if part else [] for part in (noise, heldout)),
    )


def try_sets(options: argparse.Namespace, recognizer: Recognizer, progress: Progress) -> dict[str, Trial]:
    """Try the data sets asked for: those of words with noise, those of sentences with slots without."""
    tokens, language = recognizer.tokens, recognizer.manifest.language
    recordings = load_recordings(options.speech, recognizer.sample_rate)
    short, long = _LENGTHS_S
    noises = load_noises(options.noise, recognizer.sample_rate)
    noise = list(noise_sounds(recognizer, noises, lengths_s=long))
    noise += noise_sounds(recognizer, noises, (0.2,), short)
    heldout = list(noise_sounds(recognizer, noises, (0.0,), long))
    trials = {}
    words = partial(phrases_grammar, alphabet=alphabet_of(tokens), language=language, source="words")
    for name, rows in choose(recordings, "dev", options.set.split(","), options.limit).items():
        sounds = list(listen_to_all(recognizer, rows))
        trials[name] = try_texts(recognizer, words, sounds, noise, heldout)
        progress(f"{name}: {len(sounds)} recordings of {len(trials[name].texts)} words")
    sentences = partial(sentences_grammar, language=language)
    for rows in read_sentences(recordings, options.sentences.split(",") if options.sentences else ()):
        name = rows[0].dataset
        chosen = spread(rows, _SENTENCES)
        noisy = [replace(row, samples=partial(in_noise, noises, row)) for row in chosen]
        heard = list(listen_to_all(recognizer, [*chosen, *noisy]))
        trials[name] = try_texts(recognizer, sentences, heard)
        progress(f"{name}: {len(trials[name].everything)} recordings of sentences with slots")
    return trials


def in_noise(noises: Mapping[str, FloatArray], recording: Recording) -> FloatArray:
    """Give a recording's samples (S,) in one of the noises, but for that which others measure with."""
    kept = [noise for name, noise in sorted(noises.items()) if name != HELD_BACK] or list(noises.values())
    number = zlib.crc32(recording.id.encode())
    noise = kept[number % len(kept)]
    return mix(recording.samples(), noise, _SENTENCES_SNR_DB, number % noise.size)


def report(trials: Mapping[str, Trial], tests: Acceptance) -> dict[str, Results]:
    """Count for each data set what comes out under tests, of speech and of noise."""
    return {
        name: {
            "texts": len(trial.texts),
            "recordings": len(trial.everything),
            "all": rates(trial.everything, tests),
            "halves": rates(trial.halves, tests),
            "noise_accepted": {
                "fitted": [sum(tests.accept(trial.noise)), len(trial.noise)],
                "heldout": [sum(tests.accept(trial.heldout)), len(trial.heldout)],
            },
            "curve": [rates(trial.halves, replace(tests, most_loss=most)) for most in THRESHOLDS],
        }
        for name, trial in trials.items()
    }


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure words and sentences under grammars with the model's tests, or with such as are fitted now."""
    folder = model_folder(options.model)
    recognizer = Recognizer.load(folder, options.engine, 1, options.beam)
    trials = try_sets(options, recognizer, progress)
    tests = acceptance_of(recognizer)
    if options.write:
        tests = fit_acceptance(list(trials.values()), options.most_lost)
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
        print(f"{name}: {found['recordings']} recordings of {found['texts']} texts")
        print(f"  grammar of all: {_line(found['all'])}")
        print(f"  grammars of half of them: {_line(found['halves'])}")
        for part, (accepted, count) in found["noise_accepted"].items():
            if count:
                print(f"  {part} noise: {accepted} of {count} stretches give a text")
        for row in found["curve"][::4]:
            print(f"    {_line(row)}")
    print(" ".join(f"{name}={value:g}" for name, value in results["settings"].items()))


def _line(row: Mapping[str, float]) -> str:
    return (
        f"grammar_max_loss {row['grammar_max_loss']:g}: {row['accuracy']:.1%} right, "
        f"{row['wrong']:.1%} wrong, {row['rejected']:.1%} of what is not in it rejected"
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
    add("--sentences", default="librispeech,speechocean762", metavar="LIST",
        help="data sets of read sentences, or none (librispeech,speechocean762)")
    # fmt: on
    progress = stopwatch()
    return execute(parser, arguments, lambda options: run(options, progress), show)


if __name__ == "__main__":
    sys.exit(main())
