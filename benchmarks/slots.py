"""`python -m benchmarks.slots`: commands of several slots that nobody was trained for, real voices, in noise.

Read sentences stand for commands: each sentence of a data set is one, and some of its words are slots that
might as well hold other words of alike length. What was said is right if all words are. Strings of digits are
commands too, of any length. With --own-grammar the commands are the model's own, right if their
meaning is: the folder `speech-*` of a build holds voices that it never trained on (--split test).
--write-domain makes templates of the sentences, so that real voices can prove what a build is worth.
"""

import argparse
import json
import sys
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.acceptance import Order, acceptance_of
from benchmarks.command import Progress, Results, add_limits, execute, measuring_parser, stopwatch
from benchmarks.commands import understand
from benchmarks.listening import listen, share
from benchmarks.noise import HELD_BACK, FloatArray, load_noises, mix
from benchmarks.output import describe_machine, describe_model
from benchmarks.recordings import load_recordings
from benchmarks.slot_tasks import Task, domain_of, own_task, slot_places, tasks
from edge_las.errors import ConfigError
from edge_las.runtime.recognizer import Recognizer, model_folder
from edge_las.staging import whole_file


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


def run(options: argparse.Namespace, progress: Progress) -> Results:
    """Measure all tasks, as recorded and at each ratio."""
    folder = model_folder(options.model)
    recognizer = Recognizer.load(folder, options.engine, 1, options.beam)
    if options.ctc_weight is not None:
        search = replace(recognizer.setup.search, ctc_weight=options.ctc_weight)
        recognizer = Recognizer(replace(recognizer.setup, search=search))
    asked = {"grammar_blank_penalty": options.blank_penalty, "grammar_phone_weight": options.phone_weight}
    given = {name: value for name, value in asked.items() if value is not None}
    constraint = replace(recognizer.setup.constraint, **given)
    recognizer = Recognizer(replace(recognizer.setup, constraint=constraint))
    noise = load_noises(options.noise, recognizer.sample_rate).get(HELD_BACK) if options.noise else None
    if options.noise and noise is None:
        raise ConfigError(f"{options.noise}: {HELD_BACK} is not there")
    recordings = load_recordings(options.speech, recognizer.sample_rate)
    if options.own_grammar:
        chosen = [own_task(recognizer, recordings, options.split, options.limit)]
    else:
        language = recognizer.manifest.language
        chosen = tasks(recordings, options.set, options.limit, language, options.split)
    scores = []
    for task in chosen:
        for snr_db in (None, *(options.snr_db if noise is not None else ())):
            scores.append(measure(recognizer, task, noise, snr_db))
            progress(line(scores[-1]))
    return {
        "kind": "slots",
        "model": describe_model(folder, recognizer.manifest, recognizer.setup.engine.name),
        "measured_on": describe_machine(),
        "scores": [asdict(score) for score in scores],
    }


def write_domain(options: argparse.Namespace) -> Results:
    """Write the sentences of some data sets as templates.

    Raises: ConfigError if there are none, or the file can't be written.
    """
    domain = domain_of(load_recordings(options.speech), options.set, options.split)
    with whole_file(options.write_domain) as file:
        # JSON is YAML.
        file.write(json.dumps(domain, indent=1).encode())
    return {"kind": "domain", "file": str(options.write_domain), "sentences": len(domain["intents"])}


def measure(recognizer: Recognizer, task: Task, noise: FloatArray | None, snr_db: float | None) -> Score:
    """Understand a task's recordings, with noise (S,) at a ratio of power or without."""
    found = list(_orders(recognizer, task, noise, snr_db))
    accepted = acceptance_of(recognizer).accept(found)
    right = [bool(order.text) and task.meaning(order.text) == task.meaning(order.said) for order in found]
    outcomes = list(zip(accepted, right, strict=True))
    return Score(
        task.name,
        snr_db,
        len(task.recordings),
        share(right),
        share([yes and good for yes, good in outcomes]),
        share([yes and not good for yes, good in outcomes]),
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
    """Print a row for each task and ratio, and the mean of all; or what was written."""
    if results["kind"] == "domain":
        print(f"{results['file']}: {results['sentences']} sentences")
        return
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
    add("--split", default="dev", metavar="NAME", help="of the recordings (dev)")
    add("--own-grammar", action="store_true", help="the model's own commands, where recordings say them")
    add("--ctc-weight", type=float, metavar="W", help="of the CTC head (default: the model's)")
    add("--blank-penalty", type=float, metavar="NATS", help="of blanks in a grammar (default: the model's)")
    add("--phone-weight", type=float, metavar="W", help="of a sentence's phones (default: the model's)")
    add("--write-domain", type=Path, metavar="FILE.yaml",
        help="only write the sentences of --set as a file of templates")
    # fmt: on
    progress = stopwatch()

    def work(options: argparse.Namespace) -> Results:
        options.set = options.set or ["librispeech", "speechocean762", "alphanumeric"]
        return write_domain(options) if options.write_domain else run(options, progress)

    return execute(parser, arguments, work, show)


if __name__ == "__main__":
    sys.exit(main())
