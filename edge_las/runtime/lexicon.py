"""`edge-las lexicon`: how the words of texts are said, for a model that judges grammars by phones."""

import argparse
from collections import Counter
from pathlib import Path

from edge_las.artifact import load_manifest
from edge_las.cli_support import at_least_one
from edge_las.errors import ConfigError, DeviceError
from edge_las.g2p import G2P_NAME, save_g2p
from edge_las.g2p_train import FEWEST_WORDS, train_g2p
from edge_las.lexicon import LEXICON_NAME, Lexicon, load_lexicon, save_lexicon
from edge_las.pronouncing import entries, listed, pronounce_words
from edge_las.runtime.lm import put_file, read_sentences
from edge_las.word_table import WORDS_NAME


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    # fmt: off
    add("texts", nargs="+", metavar="TEXT",
        help="files with a sentence or a word a line; of a .tsv with text and split those of train")
    add("--out", type=Path, default=Path(LEXICON_NAME), metavar="FILE", help=f"default: {LEXICON_NAME}")
    add("--into", type=Path, metavar="DIR",
        help="add it to this model, in place of --out, and learn by it how other words are said; words that "
        "its lexicon has stay as they are, a signature is dropped")
    add("--most", type=at_least_one, metavar="N", help="only the N most frequent words (default: all)")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Look the words up and write them; return 0."""
    counts = Counter(word for sentence in read_sentences(args.texts) for word in sentence.split())
    if not counts:
        raise ConfigError(f"{', '.join(args.texts)}: no word to look up")
    # Of words as frequent the first of the alphabet.
    words = sorted(counts, key=lambda word: (-counts[word], word))[: args.most]
    known = None
    if args.into and LEXICON_NAME in load_manifest(args.into).files:
        known = load_lexicon(args.into / LEXICON_NAME)
    lexicon, unknown = pronounce_words([*words, *(entries(known) if known else ())], known)
    if len(unknown) == len(words):
        raise DeviceError(
            "nobody here can say these words: pip install edge-las[align] (a dictionary), or espeak-ng"
        )
    if args.into:
        had_words = WORDS_NAME in load_manifest(args.into).files
        put_file(args.into, LEXICON_NAME, lambda path: save_lexicon(path, lexicon), without=(WORDS_NAME,))
        if had_words:
            print(
                f"{args.into}: its model of words went, being of other words: edge-las lm --words makes one"
            )
        _learn(args.into, lexicon)
    else:
        save_lexicon(args.out, lexicon)
    left = (
        f"{len(unknown)} of the texts nobody could say: {listed(unknown)}" if unknown else "none is unknown"
    )
    print(f"{args.into or args.out}: {len(entries(lexicon))} words; {left}")
    return 0


def _learn(folder: Path, lexicon: Lexicon) -> None:
    """Learn from a lexicon how other words are said, and put that into a model."""
    count = len(entries(lexicon))
    if count < FEWEST_WORDS:
        left = "its own stays" if G2P_NAME in load_manifest(folder).files else "none is made"
        print(f"{folder}: {count} words are too few for a {G2P_NAME}, which says other words: {left}")
        return
    g2p = train_g2p(lexicon)
    put_file(folder, G2P_NAME, lambda path: save_g2p(path, g2p))
    print(f"{folder / G2P_NAME}: says other words, by {len(g2p.graphones)} graphones")
