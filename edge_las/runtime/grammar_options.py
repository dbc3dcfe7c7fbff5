"""The options that hold recognition in a grammar or expect phrases, and what they make of a recognizer."""

import argparse
from dataclasses import replace

from edge_las.errors import ConfigError
from edge_las.runtime.constraint import ConstraintConfig, read_hotwords, read_phrases
from edge_las.runtime.recognizer import Recognizer
from edge_las.search.fusion import Scorer


def add_grammar_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --grammar, --phrases and --hotwords."""
    parser.add_argument(
        "--grammar",
        choices=("strict", "soft", "off"),
        help="how far the grammar binds: strict (default) gives nothing else, soft prefers it",
    )
    parser.add_argument("--phrases", metavar="FILE", help="the only phrases to hear, one a line, as grammar")
    parser.add_argument("--hotwords", metavar="FILE", help="phrases to expect, one a line, or <tab>boost")


def with_grammar_options(recognizer: Recognizer, args: argparse.Namespace) -> Recognizer:
    """Put the grammar asked for in place of the model's.

    Raises: ConfigError if there is none, or naming the line of --phrases that cannot be spelled.
    """
    config = ConstraintConfig(args.grammar or "strict")
    constraint = recognizer.setup.grammar
    if args.phrases:
        language = recognizer.manifest.language
        return recognizer.with_grammar(read_phrases(args.phrases, recognizer.tokens, language), config)
    if args.grammar is None or (constraint is None and args.grammar == "off"):
        return recognizer
    if constraint is None:
        raise ConfigError(f"--grammar {args.grammar}: the model has no grammar; --phrases FILE gives it one")
    # The model's own thresholds hold in every mode.
    return recognizer.with_grammar(constraint.grammar, replace(constraint.config, mode=args.grammar))


def hotword_scorers(recognizer: Recognizer, args: argparse.Namespace) -> list[Scorer]:
    """Read --hotwords, if given."""
    return [read_hotwords(args.hotwords, recognizer.tokens)] if args.hotwords else []
