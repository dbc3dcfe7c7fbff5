"""Trains the token table from transcripts."""

import io
from collections.abc import Iterable

from edge_las.errors import ConfigError
from edge_las.tokens import TokenTable
from edge_las.train.config import TokensConfig

ALPHABET = "abcdefghijklmnopqrstuvwxyz'"


def train_tokens(texts: Iterable[str], config: TokensConfig) -> TokenTable:
    """Make the table: characters, or a unigram model of `size` pieces, specials included.

    Source: Kudo 2018 (arXiv:1804.10959), by the sentencepiece package.
    Raises: ConfigError if the texts are too few for that many pieces.
    """
    if config.kind == "characters":
        return TokenTable.characters(ALPHABET)
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=model, model_type="unigram",
            # Its <unk> is the one special it must have; ours are four.
            vocab_size=config.size - 3, bos_id=-1, eos_id=-1, pad_id=-1, unk_id=0,
            required_chars=ALPHABET, character_coverage=1.0, hard_vocab_limit=True, minloglevel=2,
            normalization_rule_name="identity", num_threads=1,
        )  # fmt: skip
    except RuntimeError as error:
        raise ConfigError(f"tokens.size is {config.size}: {str(error).splitlines()[-1].strip()}") from None
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(i) for i in range(1, len(processor))]
    scores = [processor.get_score(i) for i in range(1, len(processor))]
    return TokenTable.from_subwords(pieces, scores)
