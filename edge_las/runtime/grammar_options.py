"""The options that tell recognition what to expect: grammar, phrases, hotwords, a language model."""

import argparse
from dataclasses import replace

from edge_las.errors import ConfigError
from edge_las.ngram import load_ngrams
from edge_las.runtime.constraint import read_hotwords, read_phrases
from edge_las.runtime.recognizer import Recognizer
from edge_las.search.fusion import Scorer
from edge_las.search.ngram import FusionConfig, NgramScorer


def add_grammar_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --grammar, --phrases, --hotwords, --lm and --lm-weight."""
    parser.add_argument(
        "--grammar",
        choices=("strict", "soft", "off"),
        help="how far the grammar binds: strict (default) gives nothing else, soft prefers it",
    )
    parser.add_argument("--phrases", metavar="FILE", help="the only phrases to hear, one a line, as grammar")
    parser.add_argument("--hotwords", metavar="FILE", help="phrases to expect, one a line, or <tab>boost")
    parser.add_argument("--lm", metavar="FILE", help="n-gram model of `edge-las lm`, in place of the model's")
    weight = FusionConfig.lm_weight
    parser.add_argument(
        "--lm-weight", type=float, metavar="W", help=f"how much --lm counts (default {weight:g})"
    )


def with_grammar_options(recognizer: Recognizer, args: argparse.Namespace) -> Recognizer:
    """Put the grammar and language model asked for in place of the model's.

    Raises: ConfigError if there is none, or naming the file and what is wrong with it.
    """
    recognizer = _with_language_model(recognizer, args)
    # The model's own thresholds hold for every grammar.
    config = replace(recognizer.setup.constraint, mode=args.grammar or "strict")
    constraint = recognizer.setup.grammar
    if args.phrases:
        language = recognizer.manifest.language
        return recognizer.with_grammar(read_phrases(args.phrases, recognizer.tokens, language), config)
    if args.grammar is None or (constraint is None and args.grammar == "off"):
        return recognizer
    if constraint is None:
        raise ConfigError(f"--grammar {args.grammar}: the model has no grammar; --phrases FILE gives it one")
    return recognizer.with_grammar(constraint.grammar, config)


def _with_language_model(recognizer: Recognizer, args: argparse.Namespace) -> Recognizer:
    if args.lm is None:
        if args.lm_weight is not None:
            raise ConfigError("--lm-weight needs --lm FILE")
        return recognizer
    config = FusionConfig() if args.lm_weight is None else FusionConfig(args.lm_weight)
    tokens = recognizer.tokens
    scorer = NgramScorer(load_ngrams(args.lm, tokens), config.lm_weight, tokens.sos_id)
    return Recognizer(replace(recognizer.setup, scorers=(scorer,)))


def hotword_scorers(recognizer: Recognizer, args: argparse.Namespace) -> list[Scorer]:
    """Read --hotwords, if given."""
    return [read_hotwords(args.hotwords, recognizer.tokens)] if args.hotwords else []
