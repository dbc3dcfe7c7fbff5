"""Search for any text while it is spoken: by letters, and where a model knows words, by phones too."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_las.artifact import Manifest, check_files
from edge_las.errors import ArtifactError, ConfigError
from edge_las.lexicon import LEXICON_NAME
from edge_las.ngram import load_ngrams
from edge_las.runtime.listener_stream import Heard, ListenerStream
from edge_las.runtime.phones import PhoneJudge, PhoneStream
from edge_las.search.config import BeamConfig, WordConfig
from edge_las.search.fusion import Scorer
from edge_las.search.prefix_search import PrefixSearch
from edge_las.search.rescoring import Proposal
from edge_las.search.word_fusion import WordEvidence, WordJudge, rank
from edge_las.search.word_ngrams import WordNgrams
from edge_las.search.word_search import Vocabulary, WordSearch
from edge_las.search.word_tree import make_word_tree
from edge_las.tokens import TokenTable
from edge_las.word_table import WORDS_NAME, WordTable

FloatArray = npt.NDArray[np.float32]
# A words' model that counts next to nothing can't be outweighed.
_LEAST_WEIGHT = 0.1


@dataclass(frozen=True)
class Words:
    """What a model knows of words: how they sound, how they follow each other, and what that counts."""

    config: WordConfig
    judge: WordJudge
    phones: PhoneJudge
    tokens: TokenTable
    _expecting: dict[tuple[tuple[str, float], ...], Words] = field(default_factory=dict)

    def expecting(self, phrases: Mapping[str, float]) -> Words:
        """Return what is known with some phrases more likely by so many nats each.

        Words of theirs that the lexicon lacks are sought too, as far as it can be told how they are said.
        """
        asked = tuple(sorted(phrases.items()))
        found = self._expecting.get(asked)
        if found is None:
            found = self._expect(phrases)
            # One set of phrases is in use, seldom two.
            self._expecting.clear()
            self._expecting[asked] = found
        return found

    def _expect(self, phrases: Mapping[str, float]) -> Words:
        vocabulary = self.judge.vocabulary
        # The search counts words otherwise than the judgement in the end, which adds the phrases' own boosts.
        share = 1.0 / max(self.config.word_model, _LEAST_WEIGHT)
        boosts: dict[str, float] = {}
        for phrase, boost in phrases.items():
            words = phrase.split()
            for word in words:
                boosts[word] = max(boosts.get(word, 0.0), share * boost / len(words))
        new = {word: self.phones.pronunciations(word) for word in boosts if word not in vocabulary.table}
        table = vocabulary.table.with_words(word for word, ways in new.items() if ways)
        favours = {table.encode(word)[0]: boost for word, boost in boosts.items() if word in table}
        ways = [(table.encode(word)[0] - WordTable.first_id, way) for word in new for way in new[word]]
        tree = make_word_tree(*_with_ways(*self.phones.lexicon.table(), ways))
        made = Vocabulary(table, tree, vocabulary.ngrams, favours)
        return replace(self, judge=WordJudge(made, self.phones, self.tokens), _expecting={})

    def begin(self) -> WordStream:
        """Begin to hear an utterance."""
        config = self.config
        search = WordSearch(self.judge.vocabulary, config.word_beam, config.word_search_weight)
        return WordStream(PhoneStream(self.phones), search)


def load_words(
    folder: Path, manifest: Manifest, config: WordConfig, tokens: TokenTable, phones: PhoneJudge | None
) -> Words | None:
    """Load what an artifact knows of words; None if that is nothing or counts nothing.

    Raises: ArtifactError naming the file.
    """
    if phones is None or WORDS_NAME not in manifest.files or not config.word_beam:
        return None
    # Since the artifact was verified it may have been replaced.
    check_files(folder, manifest, (WORDS_NAME,))
    try:
        table = WordTable(phones.lexicon.words())
        ngrams = WordNgrams(load_ngrams(folder / WORDS_NAME, table))
    except ConfigError as error:
        raise ArtifactError(str(error)) from None
    except ValueError as error:
        raise ArtifactError(f"{folder / LEXICON_NAME}: {error}") from None
    vocabulary = Vocabulary(table, make_word_tree(*phones.lexicon.table()), ngrams)
    return Words(config, WordJudge(vocabulary, phones, tokens), phones, tokens)


def _with_ways(
    numbers: npt.NDArray[np.int32], said: npt.NDArray[np.uint8], ways: Sequence[tuple[int, tuple[int, ...]]]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Add words' places and their phones to those of a lexicon (P,), (P, L)."""
    longest = max([said.shape[1], *(len(phones) for _, phones in ways)])
    added = np.zeros((len(ways), longest), dtype=np.uint8)
    for row, (_, phones) in enumerate(ways):
        added[row, : len(phones)] = phones
    padded = np.pad(said, ((0, 0), (0, longest - said.shape[1])))
    places = np.array([place for place, _ in ways], dtype=np.int32)
    return np.concatenate([numbers, places]), np.concatenate([padded, added])


@dataclass
class WordStream:
    """Phones named as they come, and the search for words along them."""

    phones: PhoneStream
    search: WordSearch
    # The phones so far, and how many encoded frames they come from.
    log_probs: list[FloatArray] = field(default_factory=list)
    frames: int = 0

    def fork(self) -> WordStream:
        """Return one that has heard the same and goes its own way."""
        return WordStream(copy.copy(self.phones), self.search.fork(), list(self.log_probs), self.frames)

    def accept(self, encoded: FloatArray, middle: FloatArray | None) -> None:
        """Take the next frames, encoded (1, t, E) and middle (1, t, M)."""
        self.frames += encoded.shape[1]
        self._read(self.phones.accept(encoded, middle))

    def finish(self) -> None:
        """Name the last phones: nothing follows."""
        self._read(self.phones.finish())

    def _read(self, log_probs: FloatArray) -> None:
        self.log_probs.append(log_probs)
        self.search.accept(log_probs)


class FreeSearch:
    """The search for free text in one utterance."""

    def __init__(
        self, config: BeamConfig, letters: PrefixSearch, words: Words | None, others: Sequence[Scorer]
    ) -> None:
        """Take a search by letters, what is known of words, and the scorers that know no language."""
        self._config, self._letters, self._words, self._others = config, letters, words, others
        self._stream = words.begin() if words else None

    def fork(self) -> FreeSearch:
        """Return a search that has read the same and goes its own way."""
        twin = copy.copy(self)
        twin._letters = self._letters.fork()
        twin._stream = self._stream.fork() if self._stream else None
        return twin

    def listen(self, listener: ListenerStream) -> None:
        """Read what the Listener has encoded since."""
        self._letters.accept(listener.ctc_log_probs(self._letters.frames))
        if self._stream:
            self._stream.accept(*listener.heard_from(self._stream.frames))

    def finish(self, heard: Heard) -> list[Proposal]:
        """Read what is left of the utterance; return the texts for the Speller to judge, best first."""
        if self._words is None:
            self._finish_letters(heard)
            return self._letters.proposals(self._config.beam_size)
        evidence = self.evidence(heard)
        return rank(self._words.config, self._config, evidence, self._others)[: self._config.beam_size]

    def evidence(self, heard: Heard) -> list[WordEvidence]:
        """Gather what speaks for the texts that letters and words propose at the end of an utterance."""
        words, stream = self._words, self._stream
        assert words is not None and stream is not None
        self._finish_letters(heard)
        start = stream.frames
        stream.accept(heard.encoded[:, start:], None if heard.middle is None else heard.middle[:, start:])
        stream.finish()
        spelled = [proposal.tokens for proposal in self._letters.proposals(self._config.prefixes)]
        said = stream.search.proposals(words.config.word_proposals)
        return words.judge.evidence(heard.ctc_log_probs, np.concatenate(stream.log_probs), spelled, said)

    def _finish_letters(self, heard: Heard) -> None:
        self._letters.accept(heard.ctc_log_probs[self._letters.frames :])
