"""`edge-las lm`: an n-gram language model of texts, for `--lm` or to go into a model."""

import argparse
from collections.abc import Iterator, Sequence

from edge_las.artifact import load_manifest, load_tokens
from edge_las.cli_support import at_least_one
from edge_las.errors import ConfigError
from edge_las.ngram import NGRAM_NAME, save_ngrams
from edge_las.ngram_estimate import estimate
from edge_las.runtime.recognizer import model_folder
from edge_las.textfiles import read_lines
from edge_las.tokens import normalize_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("texts", nargs="+", metavar="TEXT", help="files with a sentence a line")
    parser.add_argument("--out", default=NGRAM_NAME, metavar="FILE", help=f"default: {NGRAM_NAME}")
    parser.add_argument("--model", metavar="DIR", help="whose tokens to count (default: the bundled model)")
    parser.add_argument(
        "--order", type=at_least_one, default=6, metavar="N", help="longest n-gram, in tokens (default 6)"
    )
    parser.add_argument(
        "--min-count", type=at_least_one, default=1, metavar="N",
        help="leave out n-grams of three tokens and more that are rarer (default 1)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Estimate the model and write it; return 0."""
    folder = model_folder(args.model)
    tokens = load_tokens(folder, load_manifest(folder))
    sentences = list(_sentences(args.texts))
    if not sentences:
        raise ConfigError(f"{', '.join(args.texts)}: no sentence to learn from")
    model = estimate(sentences, args.order, tokens, args.min_count)
    save_ngrams(args.out, model, tokens)
    counts = ", ".join(f"{len(level.keys)}" for level in model.levels)
    print(f"{args.out}: {counts} n-grams of 1 to {len(model.levels)} tokens")
    return 0


def _sentences(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        for number, line in enumerate(read_lines(path), start=1):
            try:
                sentence = normalize_text(line)
            except ConfigError as error:
                raise ConfigError(f"{path}: line {number}: {error}") from None
            if sentence:
                yield sentence
