"""`edge-las lm`: an n-gram language model of texts, for `--lm` or to go into a model."""

import argparse
import csv
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edge_las.artifact import describe_files, load_manifest, load_tokens, verify, write_manifest
from edge_las.cli_support import at_least_one
from edge_las.errors import ConfigError
from edge_las.lexicon import LEXICON_NAME, load_lexicon
from edge_las.ngram import NGRAM_NAME, NgramModel, save_ngrams
from edge_las.ngram_estimate import estimate
from edge_las.ngram_prune import PruneConfig
from edge_las.runtime.recognizer import model_folder
from edge_las.search.ngram import FusionConfig
from edge_las.staging import staged
from edge_las.textfiles import read_lines
from edge_las.tokens import normalize_text
from edge_las.word_table import WORDS_NAME, WordTable

_TABLE, _TRAIN = ".tsv", "train"
# Shorter texts are words that everybody says: leaving them out would teach that nobody does.
_SENTENCE_WORDS = 3
# The search remembers two words before the one to come.
_MOST_WORDS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    # fmt: off
    add("texts", nargs="+", metavar="TEXT",
        help="files with a sentence a line; of a .tsv with text and split those of train, sentences of its "
        "other splits being left out everywhere")
    add("--out", default=NGRAM_NAME, metavar="FILE", help=f"default: {NGRAM_NAME}")
    add("--model", metavar="DIR", help="whose tokens to count (default: the bundled model)")
    add("--into", type=Path, metavar="DIR",
        help="put it into this model, in place of --out; a signature is dropped by that")
    add("--weight", type=float, default=FusionConfig.lm_weight, metavar="W",
        help=f"with --into: how much it counts there (default {FusionConfig.lm_weight:g})")
    add("--order", type=at_least_one, default=6, metavar="N", help="longest n-gram, in tokens (default 6)")
    add("--min-count", type=at_least_one, default=1, metavar="N",
        help="leave out n-grams of three tokens and more that are rarer (default 1)")
    add("--most", type=at_least_one, metavar="N",
        help="leave out those of them that tell least until no more than so many are left in all; half a "
        "million take 2 MB (default: no limit)")
    add("--words", action="store_true",
        help="count the words of the model's lexicon, not its tokens: with a head of phones, words are then "
        "sought in free text by how they sound")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Estimate the model and write it; return 0."""
    folder = args.into or model_folder(args.model)
    if args.words:
        return _run_words(args, folder)
    tokens = load_tokens(folder, load_manifest(folder))
    sentences = list(read_sentences(args.texts))
    if not sentences:
        raise ConfigError(f"{', '.join(args.texts)}: no sentence to learn from")
    model = estimate(sentences, args.order, tokens, PruneConfig(args.min_count, args.most or 0))
    if args.into:
        put_into(folder, model, FusionConfig(args.weight))
    else:
        save_ngrams(args.out, model, tokens)
    print(f"{args.into or args.out}: {_counts(model)} tokens")
    return 0


def _run_words(args: argparse.Namespace, folder: Path) -> int:
    table = _word_table(folder)
    sentences = list(read_sentences(args.texts))
    if not any(WordTable.unk_id != number for sentence in sentences for number in table.encode(sentence)):
        raise ConfigError(f"{', '.join(args.texts)}: no word of {folder / LEXICON_NAME} to learn from")
    # Rare pairs tell little: of all that there are, two thirds can go before any text is worse.
    pruning = PruneConfig(args.min_count, args.most or 0, whole=1)
    model = estimate(sentences, min(args.order, _MOST_WORDS), table, pruning)
    if args.into:
        put_file(folder, WORDS_NAME, lambda path: save_ngrams(path, model, table))
    else:
        save_ngrams(args.out, model, table)
    print(f"{args.into or args.out}: {_counts(model)} words")
    return 0


def _counts(model: NgramModel) -> str:
    counts = ", ".join(f"{len(level.keys)}" for level in model.levels)
    return f"{counts} n-grams of 1 to {len(model.levels)}"


def _word_table(folder: Path) -> WordTable:
    if LEXICON_NAME not in load_manifest(folder).files:
        raise ConfigError(f"{folder}: has no lexicon, whose words to count: edge-las lexicon makes one")
    try:
        return WordTable(load_lexicon(folder / LEXICON_NAME).words())
    except ValueError as error:
        raise ConfigError(f"{folder / LEXICON_NAME}: {error}") from None


def put_into(folder: Path, model: NgramModel, fusion: FusionConfig) -> None:
    """Give an artifact a language model, in place of any that it has.

    Raises: ArtifactError if it is damaged or cannot be written.
    """
    tokens = load_tokens(folder, load_manifest(folder))
    put_file(
        folder, NGRAM_NAME, lambda path: save_ngrams(path, model, tokens), {"lm_weight": fusion.lm_weight}
    )


def put_file(
    folder: Path,
    name: str,
    save: Callable[[Path], None],
    search: Mapping[str, float] | None = None,
    without: Sequence[str] = (),
) -> None:
    """Give an artifact a file, in place of any of that name and of those it then is `without`, and settings.

    Raises: ArtifactError if it is damaged or cannot be written.
    """
    manifest = load_manifest(folder)
    verify(folder, manifest)
    with staged(folder) as part:
        kept = set(manifest.files) - {name, *without}
        for other in kept:
            shutil.copy2(folder / other, part / other)
        save(part / name)
        files = describe_files(part, kept | {name})
        write_manifest(part, replace(manifest, files=files, search={**manifest.search, **(search or {})}))


def read_sentences(paths: Sequence[str]) -> Iterator[str]:
    """Read the sentences of text files and tables, but none that a table keeps for testing.

    Raises: ConfigError naming file and line.
    """
    tables = {path: list(_rows(path)) for path in paths if path.endswith(_TABLE)}
    kept_back = {
        sentence
        for path, rows in tables.items()
        for sentence in _normalized(path, rows, wanted=False)
        if len(sentence.split()) >= _SENTENCE_WORDS
    }
    for path in paths:
        lines = tables.get(path) or [
            (number, line, True) for number, line in enumerate(read_lines(path), start=1)
        ]
        yield from (sentence for sentence in _normalized(path, lines) if sentence not in kept_back)


def _normalized(path: str, lines: Sequence[tuple[int, str, bool]], wanted: bool = True) -> Iterator[str]:
    for number, line, is_train in lines:
        if is_train != wanted:
            continue
        try:
            sentence = normalize_text(line)
        except ConfigError as error:
            raise ConfigError(f"{path}: line {number}: {error}") from None
        if sentence:
            yield sentence


def _rows(path: str) -> Iterator[tuple[int, str, bool]]:
    """Read a table: number of the line, text, and whether it is for training."""
    rows = csv.DictReader(read_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE)
    if not {"text", "split"} <= set(rows.fieldnames or ()):
        raise ConfigError(f"{path}: has no columns text and split")
    for number, row in enumerate(rows, start=2):
        yield number, row["text"] or "", row["split"] == _TRAIN
