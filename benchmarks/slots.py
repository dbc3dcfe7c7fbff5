"""`python -m benchmarks.slots`: commands of several slots that nobody was trained for, real voices, in noise.

Read sentences stand for commands: each sentence of a data set is one, and some of its words are slots that
might as well hold other words of alike length. What was said is right if all words are. Strings of digits are
commands too, of any length.
"""

import argparse
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.acceptance import Order, acceptance_of
from benchmarks.command import Progress, Results, add_limits, execute, measuring_parser, stopwatch
from benchmarks.commands import understand
from benchmarks.listening import listen, share
from benchmarks.noise import HELD_BACK, FloatArray, load_noises, mix
from benchmarks.output import describe_machine, describe_model
from benchmarks.recordings import Recording, choose, load_recordings, spread
from benchmarks.scoring import DIGITS, is_digits
from edge_las.errors import ConfigError
from edge_las.grammar import NOTHING, SPACE, Grammar, GrammarBuilder
from edge_las.runtime.recognizer import Recognizer, model_folder

# Slots of a sentence, and the values that each may have.
_SLOTS, _VALUES = 3, 10
_FEWEST_WORDS, _FEWEST_LETTERS = 4, 3
_DIGIT_WORDS = (*DIGITS, "oh", "double", "triple")


@dataclass(frozen=True)
class Score:
    """What was made of one task's recordings at one signal-to-noise ratio (dB; None = as recorded).

    right: all words, however unlikely; as_shipped: and not refused; sentence: the slots aside.
    """

    task: str
    snr_db: float | None
    recordings: int
    right: float
    as_shipped: float
    wrong_as_shipped: float
    sentence: float


@dataclass(frozen=True)
class Task:
    """Recordings, and the grammar of all that might have been said."""

    name: str
    grammar: Grammar
    recordings: list[Recording]


def slot_places(text: str) -> list[int]:
    """Choose the words of a sentence that are slots: at most three, spread over it, none of them short."""
    places = [place for place, word in enumerate(text.split()) if len(word) >= _FEWEST_LETTERS]
    return spread(places, _SLOTS)


def deal(words: Sequence[str]) -> list[list[str]]:
    """Put words into lists of ten that are of alike length."""
    ordered = sorted(set(words), key=lambda word: (len(word), zlib.crc32(word.encode())))
    lists = [ordered[start : start + _VALUES] for start in range(0, len(ordered), _VALUES)]
    if len(lists) > 1 and len(lists[-1]) < _VALUES:
        rest = lists.pop()
        lists[-1] += rest
    return lists


def sentences_grammar(texts: Sequence[str], language: str) -> Grammar:
    """Make the grammar of sentences with slots."""
    builder = GrammarBuilder()
    _, top = builder.network()
    lists = {}
    for words in deal([text.split()[place] for text in texts for place in slot_places(text)]):
        network, start = builder.network()
        for word in words:
            builder.end(builder.branch(start, word), word)
            lists[word] = network
    for number, text in enumerate(texts):
        node, places = builder.node(), slot_places(text)
        builder.link(top, NOTHING, node)
        for place, word in enumerate(text.split()):
            if place in places:
                after = builder.node()
                builder.call(node, lists[word], f"slot{place}", after)
                node = builder.text(after, SPACE)
            else:
                node = builder.text(node, word + SPACE)
        builder.end(node, number)
    return builder.build(language, [{"intent": text, "slots": {}} for text in texts])


def digits_grammar(language: str) -> Grammar:
    """Make the grammar of strings of digits, of any length."""
    builder = GrammarBuilder()
    _, top = builder.network()
    for word in _DIGIT_WORDS:
        last = builder.text(top, word)
        builder.end(last, 0)
        builder.link(last, SPACE, top)
    return builder.build(language, [{"intent": "digits", "slots": {}}])


def tasks(recordings: Sequence[Recording], sets: Sequence[str], limit: int, language: str) -> list[Task]:
    """Make a task of each data set's sentences, and one of all strings of digits.

    Raises: ConfigError naming a data set that has neither.
    """
    made, digits = [], []
    for name, found in choose(recordings, "dev", sets).items():
        numbers = [item for item in found if is_digits(item.text)]
        read = [item for item in found if item not in numbers and len(item.text.split()) >= _FEWEST_WORDS]
        if not numbers and not read:
            raise ConfigError(f"{name}: has no sentence of {_FEWEST_WORDS} words and no string of digits")
        digits += [item for item in numbers if len(item.text.split()) > 1]
        if read:
            # Those that are not heard are commands all the same.
            texts = sorted({item.text for item in read})
            made.append(Task(name, sentences_grammar(texts, language), spread(read, limit)))
    if digits:
        made.append(Task("digits", digits_grammar(language), spread(digits, limit)))
    return made


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure all tasks, as recorded and at each ratio."""
    folder = model_folder(options.model)
    recognizer = Recognizer.load(folder, options.engine, 1, options.beam)
    if options.ctc_weight is not None:
        search = replace(recognizer.setup.search, ctc_weight=options.ctc_weight)
        recognizer = Recognizer(replace(recognizer.setup, search=search))
    noise = load_noises(options.noise, recognizer.sample_rate).get(HELD_BACK) if options.noise else None
    if options.noise and noise is None:
        raise ConfigError(f"{options.noise}: {HELD_BACK} is not there")
    recordings = load_recordings(options.speech, recognizer.sample_rate)
    scores = []
    for task in tasks(recordings, options.set, options.limit, recognizer.manifest.language):
        for snr_db in (None, *(options.snr_db if noise is not None else ())):
            scores.append(_score(recognizer, task, noise, snr_db))
            progress(line(scores[-1]))
    return {
        "kind": "slots",
        "model": describe_model(folder, recognizer.manifest, recognizer.setup.engine.name),
        "measured_on": describe_machine(),
        "scores": [asdict(score) for score in scores],
    }


def _score(recognizer: Recognizer, task: Task, noise: FloatArray | None, snr_db: float | None) -> Score:
    found = list(_orders(recognizer, task, noise, snr_db))
    accepted = acceptance_of(recognizer).accept(found)
    answered = [order for order, yes in zip(found, accepted, strict=True) if yes]
    return Score(
        task.name,
        snr_db,
        len(task.recordings),
        share([order.text == order.said for order in found]),
        share([yes and order.text == order.said for order, yes in zip(found, accepted, strict=True)]),
        share([order.text != order.said for order in answered]) * len(answered) / max(1, len(found)),
        share([_same_sentence(order) for order in found]),
    )


def _orders(
    recognizer: Recognizer, task: Task, noise: FloatArray | None, snr_db: float | None
) -> Iterator[Order]:
    config = replace(recognizer.setup.constraint, mode="strict", grammar_max_loss=1e9)
    held = recognizer.with_grammar(task.grammar, config)
    for recording in task.recordings:
        samples = recording.samples()
        if noise is not None and snr_db is not None:
            offset = zlib.crc32(recording.id.encode()) % noise.size
            samples = mix(samples, noise, snr_db, offset)
        sound = listen(held, task.name, recording.text, samples)
        if sound is None:
            yield Order(recording.text, True, "", np.inf, None)
        else:
            yield understand(held, sound, [recording.text])


def _same_sentence(order: Order) -> bool:
    said, heard, slots = order.said.split(), order.text.split(), slot_places(order.said)
    return len(said) == len(heard) and all(
        place in slots or said[place] == heard[place] for place in range(len(said))
    )


def line(score: Score) -> str:
    """Say one score for people."""
    ratio = "as recorded" if score.snr_db is None else f"{score.snr_db:g} dB"
    return (
        f"{score.task:<16} {ratio:<12} {score.recordings:4d} recordings: {score.right:6.1%} right, "
        f"{score.as_shipped:6.1%} as shipped ({score.wrong_as_shipped:.1%} wrong), "
        f"{score.sentence:6.1%} the right sentence"
    )


def show(results: Results) -> None:
    """Print a row for each task and ratio, and the mean of all."""
    scores = [Score(**row) for row in results["scores"]]
    for score in scores:
        print(line(score))
    print(f"mean: {np.mean([score.right for score in scores]):.1%} right")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = measuring_parser("slots", __doc__)
    add_limits(parser, 60)
    add = parser.add_argument
    # fmt: off
    add("--noise", type=Path, metavar="DIR", help=f"has {HELD_BACK}, to be mixed in")
    add("--snr-db", type=float, nargs="*", default=[24.0, 18.0, 12.0, 6.0], metavar="DB",
        help="ratios of speech to noise (24 18 12 6)")
    add("--set", action="append", default=[], metavar="NAME",
        help="data set, repeatable (librispeech, speechocean762, alphanumeric)")
    add("--ctc-weight", type=float, metavar="W", help="of the CTC head (default: the model's)")
    # fmt: on
    progress = stopwatch()

    def work(options: argparse.Namespace) -> Results:
        options.set = options.set or ["librispeech", "speechocean762", "alphanumeric"]
        return run(options, progress)

    return execute(parser, arguments, work, show)


if __name__ == "__main__":
    sys.exit(main())
