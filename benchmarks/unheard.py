"""`python -m benchmarks.unheard`: commands learnt from synthetic voices alone, tried on real ones.

The domain is --templates, or the texts of --dataset. No recording that holds one of its words is heard: not
in fine-tuning (--leave-words-out), and not by the base, which is trained without them here (--train-minutes)
or was before (--base; --words prints the option for that). --table prints what was found as Markdown.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import Results, execute, new_parser
from benchmarks.markdown import percent, table
from benchmarks.output import read_json
from benchmarks.recordings import load_recordings
from benchmarks.runs import read_record
from edge_las.errors import ConfigError

_DATASETS = ["speech_commands"]
_HEADS = ("real voices", "commands", "words in training", "right", "refused", "other speech accepted")
# Every value of a list comes once before any comes again: so many commands hold all words.
_DRAWN = 2000


def texts_of(speech: Path, datasets: Sequence[str]) -> list[str]:
    """List the different texts of data sets.

    Raises: ConfigError for one that has none.
    """
    recordings, texts = load_recordings(speech), set()
    for dataset in datasets:
        found = {recording.text for recording in recordings if recording.dataset == dataset}
        if not found:
            raise ConfigError(f"{speech}: no recording of data set {dataset}")
        texts |= found
    return sorted(texts)


def write_domain(path: Path, texts: list[str]) -> Path:
    """Write templates of one list; the intent is the same for all, the slot tells what was said."""
    lines = ["intents: {Said: {data: [{sentences: ['{text}']}]}}", "lists:", "  text:", "    values:"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, *(f'      - "{text}"' for text in texts)]) + "\n", encoding="utf-8")
    return path


def words_of(templates: Path) -> list[str]:
    """List the words of a domain's commands.

    Raises: ConfigError naming file and line.
    """
    from edge_las.domain.command import bundled_base
    from edge_las.domain.commands import draw_commands
    from edge_las.domain.compiled import read_compiled
    from edge_las.tokens import TokenTable

    compiled = read_compiled(templates, TokenTable.load(bundled_base() / "tokens.txt"), "en")
    texts = islice(draw_commands(compiled, np.random.default_rng(1)), _DRAWN)
    return sorted({word for text in texts for word in text.split()})


def without(words: Sequence[str]) -> list[str]:
    """Give the option that keeps every recording with one of these words out of training."""
    return ["--set", f"data.exclude_words={json.dumps(list(words))}"]


def heard_by(base: Path, words: Sequence[str]) -> list[str] | None:
    """List the words that were not kept from a checkpoint's training and from those that it learnt from.

    None where that is not known.
    """
    record = read_record(base.resolve().parent)
    if record is None:
        return None
    recipe, inputs = record
    heard = set(words) - set(recipe["data"]["exclude_words"])
    for teacher in filter(None, (inputs["base"], inputs["larger"])):
        before = heard_by(Path(teacher), words)
        if before is None:
            return None
        heard |= set(before)
    return sorted(heard)


def train_base(options: argparse.Namespace, words: Sequence[str]) -> Path:
    """Train a checkpoint from nothing, on --data without the words, or take --base; return its folder."""
    if options.base:
        return Path(options.base)
    run_folder = options.out.with_name(options.out.name + ".base")
    data = [word for folder in _heard(options) for word in ("--data", folder)]
    limit = ["--set", f"optim.max_minutes={options.train_minutes:g}", "--set", "optim.compiled=true"]
    _edge_las("train", "compact_en", *data, "--out", run_folder, *limit, *without(words))
    # Not `best`, which is chosen by dev clips that say the words.
    return run_folder / "last"


def _heard(options: argparse.Namespace) -> list[Path]:
    return options.data or [options.speech]


def templates_of(options: argparse.Namespace) -> Path:
    """Give --templates, or write the texts of the data sets as templates beside --out."""
    if options.templates:
        return Path(options.templates)
    path = options.out.with_name(options.out.name + ".yaml")
    return write_domain(path, texts_of(options.speech, options.dataset or _DATASETS))


def run(options: argparse.Namespace) -> Results:
    """Build the domain, test it on the data sets' dev recordings, and do the same with --compare."""
    templates = templates_of(options)
    words = words_of(templates)
    base = train_base(options, words)
    _edge_las("domain", "build", templates, "--out", options.out, *_training(options, base))
    results: Results = {"kind": "unheard", "words": words, "heard_by_base": heard_by(base, words)}
    results["unheard"] = _tested(options.out, options)
    if options.compare:
        heard = options.out.with_name(options.out.name + ".heard")
        _edge_las("domain", "build", templates, "--out", heard, "--no-train", "--model", options.compare)
        results["heard"] = _tested(heard, options)
    return results


def _training(options: argparse.Namespace, base: Path) -> list[object]:
    heard = [word for folder in _heard(options) for word in ("--speech", folder)]
    noise = options.speech / "noise"
    recorded = ["--noise", noise] if noise.is_dir() else []
    limits = ["--leave-words-out", "--minutes", f"{options.minutes:g}"]
    return [*heard, *recorded, "--base", base, *limits, *options.more]


def _tested(model: Path, options: argparse.Namespace) -> Results:
    manifest = options.speech / "manifest.tsv"
    return {
        "sets": {name: _test(model, "--recordings", manifest, name) for name in options.dataset or _DATASETS},
        "outside": _test(model, "--negatives", manifest, options.negatives),
    }


def _test(model: Path, what: str, manifest: Path, dataset: str) -> dict[str, Any]:
    only = ["--only", f"dataset={dataset}", "--only", "split=dev", "--json"]
    found: dict[str, Any] = json.loads(_edge_las("domain", "test", model, what, manifest, *only))
    return found


def _edge_las(*arguments: object) -> str:
    command = [sys.executable, "-m", "edge_las", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode != 0:
        raise ConfigError(f"edge-las {' '.join(command[3:5])} ended with status {done.returncode}; see above")
    return done.stdout


def rows(results: Results) -> Iterator[list[str]]:
    """Write a row for each data set and model."""
    for name in results["unheard"]["sets"]:
        for kind in ("unheard", "heard"):
            if kind in results:
                found, outside = results[kind]["sets"][name], results[kind]["outside"]["false_accepts"]
                rates = map(percent, (found["exact"], found["false_rejects"], outside))
                yield [name, str(found["commands"]), kind, *rates]


def show(results: Results) -> None:
    """Print the table, and what the base is known to have heard."""
    print("\n".join(table(_HEADS, rows(results))))
    heard = results["heard_by_base"]
    if heard is None:
        print("it is not known what the base heard: beside it lies no recipe.toml of its run")
    elif heard:
        print(f"NOT unheard: the base was trained on recordings with {', '.join(heard)}")


def parser_of() -> argparse.ArgumentParser:
    """Declare the command's arguments."""
    parser = new_parser("unheard", __doc__)
    add = parser.add_argument
    # fmt: off
    add("--speech", type=Path, metavar="DIR", help="recordings with manifest.tsv")
    add("--dataset", action="append", metavar="NAME",
        help="whose dev recordings are tried (default speech_commands); repeatable")
    add("--templates", type=Path, metavar="FILE.yaml", help="commands in place of the data sets' texts")
    add("--negatives", default="librispeech", metavar="NAME", help="other speech (default librispeech)")
    base = parser.add_mutually_exclusive_group()
    base.add_argument("--base", type=Path, metavar="CHECKPOINT", help="trained without the domain's words")
    base.add_argument("--train-minutes", type=float, metavar="N", help="train the base, for so long")
    base.add_argument("--words", action="store_true",
        help="only print the option that trains a base without the words of --templates and --dataset")
    base.add_argument("--table", type=Path, nargs="+", metavar="JSON", help="only print what --json wrote")
    add("--data", type=Path, action="append", metavar="DIR",
        help="what base and domain are trained on (default: --speech); best aligned and cut; repeatable")
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
    if options.table:
        return execute(parser, arguments, _read_tables, _show_tables)
    if not options.speech:
        parser.error("--speech is needed")
    if options.words:
        return execute(parser, arguments, _option, lambda results: print(results["option"]))
    if not (options.out and (options.base or options.train_minutes)):
        parser.error("--out and one of --base and --train-minutes are needed")
    return execute(parser, arguments, run, show)


def _option(options: argparse.Namespace) -> Results:
    datasets = options.dataset or ([] if options.templates else _DATASETS)
    words = {word for text in texts_of(options.speech, datasets) for word in text.split()}
    words |= set(words_of(options.templates)) if options.templates else set()
    name, value = without(sorted(words))
    return {"option": f"{name} {shlex.quote(value)}"}


def _read_tables(options: argparse.Namespace) -> Results:
    return {"tables": [read_json(path, "unheard") for path in options.table]}


def _show_tables(results: Results) -> None:
    print("\n".join(table(_HEADS, (row for one in results["tables"] for row in rows(one)))))


if __name__ == "__main__":
    sys.exit(main())
