"""Texts that letters propose and sentences that words propose, ranked by all that is known of both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_las.search.config import BeamConfig, WordConfig
from edge_las.search.fusion import Scorer
from edge_las.search.phones import Pronouncer, phone_scores
from edge_las.search.rescoring import Proposal, ctc_sums, scored
from edge_las.search.speller import FloatArray
from edge_las.search.word_search import Said, Vocabulary
from edge_las.tokens import TokenTable
from edge_las.word_table import UNKNOWN


@dataclass(frozen=True)
class WordEvidence:
    """A text, the CTC head's log prob of it, and what `WordConfig.weights` are of."""

    tokens: tuple[int, ...]
    ctc_log_prob: float
    values: tuple[float, ...]


class WordJudge:
    """Tells how well texts fit what was heard, as words."""

    def __init__(self, vocabulary: Vocabulary, pronouncer: Pronouncer, tokens: TokenTable) -> None:
        self.vocabulary, self._pronouncer, self._tokens = vocabulary, pronouncer, tokens

    def evidence(
        self,
        ctc_log_probs: FloatArray,
        phone_log_probs: FloatArray,
        spelled: Sequence[tuple[int, ...]],
        said: Sequence[Said],
    ) -> list[WordEvidence]:
        """Gather what speaks for texts spelled in tokens and for sentences said.

        By the log probs of tokens (T, V) and of phones (T, P).
        """
        found = {tuple(self._tokens.encode(item.text)): item for item in said}
        rest = [text for text in spelled if text not in found]
        found |= dict(zip(rest, self._heard_as(rest, phone_log_probs), strict=True))
        sums = ctc_sums(ctc_log_probs, list(found), self._tokens.blank_id).tolist()
        return [
            WordEvidence(tokens, ctc, _values(tokens, item))
            for (tokens, item), ctc in zip(found.items(), sums, strict=True)
        ]

    def _heard_as(self, texts: Sequence[tuple[int, ...]], phone_log_probs: FloatArray) -> list[Said]:
        if not texts:
            return []
        sentences, table = [self._tokens.decode(text) for text in texts], self.vocabulary.table
        numbers = [table.encode(sentence) for sentence in sentences]
        # What letters spell and no table holds is seldom a word: to find out how it is said takes long.
        known = [table.decode(own) for own in numbers]
        phones = phone_scores(self._pronouncer, phone_log_probs, known, unknown=UNKNOWN)
        assert phones is not None
        words = self.vocabulary.log_probs(numbers).tolist()
        unknown = [own.count(table.unk_id) for own in numbers]
        return list(map(Said, sentences, phones.tolist(), words, unknown))


def _values(tokens: Sequence[int], said: Said) -> tuple[float, ...]:
    sizes = (len(tokens), len(said.text.split()), said.num_unknown)
    return (said.phone_log_prob, said.word_log_prob, *sizes)


def rank(
    config: WordConfig, search: BeamConfig, evidence: Sequence[WordEvidence], scorers: Sequence[Scorer] = ()
) -> list[Proposal]:
    """Rank texts for the Speller to judge, best first; scorers are those that know no language."""
    proposals = [
        Proposal(
            item.tokens,
            item.ctc_log_prob,
            float(np.dot(config.weights, item.values)) + scored(scorers, item.tokens, search),
        )
        for item in evidence
    ]
    # The CTC head stands in for the Speller, which has no say yet.
    return sorted(proposals, key=lambda item: -item.ctc_log_prob - item.added)
