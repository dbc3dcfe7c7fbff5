from dataclasses import replace

import numpy as np
import pytest
from test_phones import heard as phone_frames
from test_phones import judge
from test_word_search import LETTERS, MODEL, SENTENCES, TABLE

from edge_las.artifact import describe_files
from edge_las.errors import ArtifactError
from edge_las.lexicon import PHONES, Lexicon
from edge_las.ngram import save_ngrams
from edge_las.ngram_estimate import estimate
from edge_las.runtime.free_text import FreeSearch, Words, load_words
from edge_las.runtime.listener_stream import Heard
from edge_las.search.config import BeamConfig, WordConfig
from edge_las.search.hotwords import HotwordScorer
from edge_las.search.ngram import NgramScorer
from edge_las.search.prefix_search import PrefixSearch
from edge_las.search.word_fusion import WordJudge
from edge_las.search.word_ngrams import WordNgrams
from edge_las.search.word_search import Vocabulary
from edge_las.search.word_tree import make_word_tree
from edge_las.word_table import WORDS_NAME, WordTable

TEXT = "a AH\na EY\nbus B AH S\nbuses B AH S AH Z\nsea S IY\nsee S IY\nstop S T AA P"
WEIGHTS = WordConfig(word_phones=2.0, word_model=4.0, word_tokens=1.7, word_count=-3.3, word_unknown=-60.0)
SEARCH = BeamConfig(beam_size=12, ctc_weight=0.5)
SOUNDS = tuple(np.repeat(["SIL", "S", "IY", "EY", "B", "AH", "S", "SIL"], 2).tolist())


class Spelled:
    """Says words by their letters, two of them only."""

    def pronounce(self, word: str, count: int = 3) -> list[tuple[int, ...]]:
        ways = {"bay": ("B", "EY"), "bees": ("B", "IY", "Z")}
        return [tuple(map(PHONES.index, ways[word]))] if word in ways else []


def words(config: WordConfig | None = None) -> Words:
    phones = replace(judge(TEXT), g2p=Spelled)
    vocabulary = Vocabulary(TABLE, make_word_tree(*phones.lexicon.table()), WordNgrams(MODEL))
    return Words(config or WEIGHTS, WordJudge(vocabulary, phones, LETTERS), phones, LETTERS)


def letters() -> PrefixSearch:
    scorer = NgramScorer(estimate(SENTENCES, 3, LETTERS), 0.1, LETTERS.sos_id)
    return PrefixSearch(SEARCH, len(LETTERS), [scorer])


def heard(text: str, sounds: tuple[str, ...] = SOUNDS) -> Heard:
    """What sounds like SOUNDS, and is spelled otherwise, a token and a blank a frame."""
    tokens = LETTERS.encode(text)
    log_probs = np.full((len(sounds), len(LETTERS)), -6.0, np.float32)
    # As many tokens as there are frames.
    for frame, token in enumerate(tokens[: len(sounds)]):
        log_probs[frame, token] = -0.3
    log_probs[len(tokens) :, LETTERS.blank_id] = -0.1
    return Heard(phone_frames(*sounds)[None], np.zeros((1, len(sounds), 2), np.float32), log_probs)


class Listening:
    """A Listener that gives what was heard piece by piece."""

    def __init__(self, sound: Heard) -> None:
        self.sound, self.frames = sound, 0

    def ctc_log_probs(self, start: int) -> np.ndarray:
        return self.sound.ctc_log_probs[start : self.frames]

    def heard_from(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        encoded = self.sound.encoded[:, start : self.frames]
        return encoded, np.zeros((*encoded.shape[:2], 0), np.float32)


def texts(search: FreeSearch, sound: Heard) -> list[str]:
    return [LETTERS.decode(proposal.tokens) for proposal in search.finish(sound)]


def test_what_letters_spell_wrong_words_put_right() -> None:
    sound = heard("si a bas")
    alone = texts(FreeSearch(SEARCH, letters(), None, []), sound)
    assert alone[0].startswith("si a b") and len(alone) <= SEARCH.beam_size
    both = texts(FreeSearch(SEARCH, letters(), words(), []), sound)
    assert both[0] == "see a bus" and len(both) <= SEARCH.beam_size
    # Words that count nothing leave letters their say.
    nothing = WordConfig(word_phones=0, word_model=0, word_tokens=0.5, word_count=0, word_unknown=0)
    assert texts(FreeSearch(SEARCH, letters(), words(nothing), []), sound)[0].startswith("si a b")


@pytest.mark.parametrize("phrase", ["bay", "a bay"])
def test_hotwords_that_the_lexicon_lacks_are_sought_by_how_they_are_said(phrase: str) -> None:
    sound = heard("si a baa", tuple(np.repeat(["SIL", "S", "IY", "EY", "B", "EY", "SIL"], 2).tolist()))
    known = words()
    assert "see a bay" not in texts(FreeSearch(SEARCH, letters(), known, []), sound)
    expecting = known.expecting({phrase: 4.0, "zzz": 4.0})
    scorer = HotwordScorer(LETTERS.pieces, {phrase: 4.0}, LETTERS.eos_id)
    assert texts(FreeSearch(SEARCH, letters(), expecting, [scorer]), sound)[0] == "see a bay"
    # What nobody can say is not sought, and asked again, nothing is made anew.
    table = expecting.judge.vocabulary.table
    assert "bay" in table and "zzz" not in table and "bay" not in known.judge.vocabulary.table
    assert known.expecting({"zzz": 4.0, phrase: 4.0}) is expecting
    assert known.expecting({phrase: 5.0}) is not expecting


def test_frames_may_come_in_pieces_and_a_fork_leaves_the_search_as_it_was() -> None:
    sound = heard("si a bas")
    whole = FreeSearch(SEARCH, letters(), words(), []).finish(sound)
    search, listening = FreeSearch(SEARCH, letters(), words(), []), Listening(sound)
    for frames in (5, 6, 13):
        listening.frames = frames
        search.listen(listening)
        search.fork().finish(sound)
    assert search.fork().finish(sound) == whole == search.finish(sound)


@pytest.fixture
def folder(tmp_path):
    save_ngrams(tmp_path / WORDS_NAME, MODEL, TABLE)
    return tmp_path


def manifest(folder):
    class Stub:
        files = describe_files(folder, [WORDS_NAME])

    return Stub()


def test_words_are_loaded_where_a_model_hears_phones_and_words_count(folder) -> None:
    loaded = load_words(folder, manifest(folder), WEIGHTS, LETTERS, judge(TEXT))
    assert loaded is not None
    sound = heard("si a bas")
    assert texts(FreeSearch(SEARCH, letters(), loaded, []), sound)[0] == "see a bus"
    assert load_words(folder, manifest(folder), WordConfig(), LETTERS, None) is None
    assert load_words(folder, manifest(folder), WordConfig(word_beam=0), LETTERS, judge(TEXT)) is None


def test_a_model_of_other_words_or_none_is_refused_by_name(folder) -> None:
    with pytest.raises(ArtifactError, match=r"words\.npz: was made for other tokens"):
        load_words(folder, manifest(folder), WordConfig(), LETTERS, judge("a AH\nbus B AH S"))
    (folder / WORDS_NAME).write_bytes(b"no model")
    with pytest.raises(ArtifactError, match=r"words\.npz: no n-gram model"):
        load_words(folder, manifest(folder), WEIGHTS, LETTERS, judge(TEXT))
    # What was replaced since it was described is not read at all.
    described = manifest(folder)
    (folder / WORDS_NAME).write_bytes(b"another")
    with pytest.raises(ArtifactError, match=WORDS_NAME):
        load_words(folder, described, WordConfig(), LETTERS, judge(TEXT))


def test_words_are_numbered_and_spelled() -> None:
    table = WordTable(Lexicon(TEXT).words())
    assert table.encode("see a cat") == [7, 3, WordTable.unk_id] and len(table) == 9
    assert table.decode([7, 3, 0]) == "see a <unk>" and "bus" in table and "<unk>" not in table
    longer = table.with_words(["cat", "bus", "dog"])
    assert longer.encode("cat dog bus cow") == [9, 10, 4, 0] and len(longer) == 11 and len(table) == 9
    assert longer.decode([10, 4, 9]) == "dog bus cat" and list(longer.pieces)[-2:] == ["cat", "dog"]
    assert longer.with_words(["cow"]).encode("dog cow") == [10, 11] and "cat" not in table
    assert replace(WordConfig(), word_beam=5).weights == WordConfig().weights
