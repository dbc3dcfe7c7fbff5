"""`python -m benchmarks.unheard`: commands learnt from synthetic voices alone, tried on real ones.

The domain is the texts of one data set. No recording that holds one of their words is heard: neither in
fine-tuning (--leave-words-out), nor by the base, which is trained without them here (--train-minutes) or was
before (--base; --words prints the option for that).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.command import Results, execute, fail, new_parser
from benchmarks.recordings import load_recordings
from edge_las.errors import ConfigError, EdgeLasError

_SHOWN = ("commands", "intent_accuracy", "exact", "false_rejects", "outside", "false_accepts")


def texts_of(speech: Path, dataset: str) -> list[str]:
    """List the different texts of a data set.

    Raises: ConfigError if it has none.
    """
    found = {recording.text for recording in load_recordings(speech) if recording.dataset == dataset}
    if not found:
        raise ConfigError(f"{speech}: no recording of data set {dataset}")
    return sorted(found)


def write_domain(path: Path, texts: list[str]) -> None:
    """Write templates of one list; the intent is the same for all, the slot tells what was said."""
    lines = ["intents: {Said: {data: [{sentences: ['{text}']}]}}", "lists:", "  text:", "    values:"]
    path.write_text("\n".join([*lines, *(f'      - "{text}"' for text in texts)]) + "\n", encoding="utf-8")


def without(texts: list[str]) -> list[str]:
    """Give the option that keeps every recording with a word of these texts out of training."""
    words = sorted({word for text in texts for word in text.split()})
    return ["--set", f"data.exclude_words={json.dumps(words)}"]


def train_base(options: argparse.Namespace) -> Path:
    """Train a checkpoint from nothing, on --data without the words, or take --base; return its folder."""
    if options.base:
        return Path(options.base)
    run_folder = options.out.with_name(options.out.name + ".base")
    data = [word for folder in options.data or [options.speech] for word in ("--data", folder)]
    limit = ["--set", f"optim.max_minutes={options.train_minutes:g}", "--set", "optim.compiled=true"]
    left_out = without(texts_of(options.speech, options.words_of or options.dataset))
    _edge_las("train", "compact_en", *data, "--out", run_folder, *limit, *left_out)
    return run_folder / "best"


def run(options: argparse.Namespace) -> Results:
    """Build the domain, test it on the data set's dev recordings, and do the same with --compare."""
    base = train_base(options)
    manifest = options.speech / "manifest.tsv"
    templates = options.templates
    if templates is None:
        templates = options.out.with_name(options.out.name + ".yaml")
        templates.parent.mkdir(parents=True, exist_ok=True)
        write_domain(templates, texts_of(options.speech, options.dataset))
    training = ["--base", base, "--speech", options.speech, "--leave-words-out"]
    training += ["--minutes", f"{options.minutes:g}", *options.more]
    _edge_las("domain", "build", templates, "--out", options.out, *training)
    results: Results = {"kind": "unheard", "dataset": options.dataset}
    results["unheard"] = _tested(options.out, manifest, options)
    if options.compare:
        heard = options.out.with_name(options.out.name + ".heard")
        _edge_las("domain", "build", templates, "--out", heard, "--no-train", "--model", options.compare)
        results["heard"] = _tested(heard, manifest, options)
    return results


def _tested(model: Path, manifest: Path, options: argparse.Namespace) -> Results:
    only = ["--only", f"dataset={options.dataset}", "--only", "split=dev"]
    found: Results = json.loads(_edge_las("domain", "test", model, "--recordings", manifest, *only, "--json"))
    other = ["--only", f"dataset={options.negatives}", "--only", "split=dev"]
    negatives = json.loads(_edge_las("domain", "test", model, "--negatives", manifest, *other, "--json"))
    return {**found, "outside": negatives["outside"], "false_accepts": negatives["false_accepts"]}


def _edge_las(*arguments: object) -> str:
    command = [sys.executable, "-m", "edge_las", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode != 0:
        raise ConfigError(f"edge-las {' '.join(command[3:5])} ended with status {done.returncode}; see above")
    return done.stdout


def show(results: Results) -> None:
    """Print a row for each model."""
    print(f"real voices saying {results['dataset']}")
    for name in ("unheard", "heard"):
        if name in results:
            values = ", ".join(f"{key} {results[name][key]}" for key in _SHOWN)
            print(f"  words {name} in training: {values}")


def parser_of() -> argparse.ArgumentParser:
    """Declare the command's arguments."""
    parser = new_parser("unheard", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--speech", type=Path, required=True, metavar="DIR", help="recordings with manifest.tsv")
    add("--dataset", default="speech_commands", help="whose texts are the commands (default speech_commands)")
    add("--templates", type=Path, metavar="FILE.yaml", help="commands in place of the data set's texts")
    add("--negatives", default="librispeech", metavar="NAME", help="other speech (default librispeech)")
    add("--words", action="store_true", help="only print the option that trains a base without them")
    add("--words-of", metavar="DATASET", help="whose words the base must not hear (default: --dataset's)")
    base = parser.add_mutually_exclusive_group()
    base.add_argument("--base", type=Path, metavar="CHECKPOINT", help="trained without them")
    base.add_argument("--train-minutes", type=float, metavar="N", help="train the base, for so long")
    add("--data", type=Path, action="append", metavar="DIR",
        help="corpus to train the base on (default: --speech); best aligned and cut; repeatable")
    add("--out", type=Path, metavar="DIR", help="the model to build")
    add("--minutes", type=float, default=55.0, help="for the build (default 55)")
    add("--compare", type=Path, metavar="DIR", help="an artifact that heard the words")
    add("--json", type=Path, metavar="OUT", help="write the results here")
    add("more", nargs="*", help="after --: further options of `edge-las domain build`")
    # fmt: on
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = parser_of()
    options = parser.parse_args(arguments)
    if not options.words:
        if not (options.out and (options.base or options.train_minutes)):
            parser.error("--out and one of --base and --train-minutes are needed")
        return execute(parser, arguments, run, show)
    try:
        name, value = without(texts_of(options.speech, options.words_of or options.dataset))
    except EdgeLasError as error:
        return fail(parser, error)
    print(f"{name} '{value}'")
    return 0


if __name__ == "__main__":
    sys.exit(main())
