import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from edge_las.artifact import describe_files
from edge_las.errors import ArtifactError, ConfigError
from edge_las.grammar import phrases_grammar
from edge_las.lexicon import LEXICON_NAME, PHONES, SILENCE, Lexicon, load_lexicon, make_lexicon, save_lexicon
from edge_las.runtime.constraint import Constraint, ConstraintConfig, alphabet_of
from edge_las.runtime.phones import PHONE_HEAD_NAME, PhoneJudge, load_phone_judge
from edge_las.search.phones import phone_scores
from edge_las.tokens import TokenTable

TABLE = TokenTable.characters()
LEXICON = Lexicon("a AH\na EY\nsee S IY\nsea S IY\nbus B AH S\nstop S T AA P")


def number(name: str) -> int:
    return PHONES.index(name)


def log_probs(frames: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).standard_normal((frames, len(PHONES)))
    return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)


def heard(*names: str) -> np.ndarray:
    """Log probs (T, P) in which each frame is one phone, fifty times likelier than all others."""
    logits = np.full((len(names), len(PHONES)), -8.0, np.float32)
    logits[np.arange(len(names)), [number(name) for name in names]] = -0.02
    return logits


def best_path(frames: np.ndarray, *words: tuple[str, ...]) -> float:
    """The best of all paths through few frames, by trying them; each word is its phones."""
    used = sorted({SILENCE, *(number(phone) for word in words for phone in word)})
    best = -np.inf
    for path in itertools.product(used, repeat=len(frames)):
        runs = [phone for phone, _ in itertools.groupby(path)]
        # Silence may lie before, between and after words, and nowhere else.
        for gaps in itertools.product([[], [SILENCE]], repeat=len(words) + 1):
            said = [*gaps[0]]
            for word, gap in zip(words, gaps[1:], strict=True):
                said += [*(number(phone) for phone in word), *gap]
            if runs == said:
                best = max(best, sum(float(f[p]) for f, p in zip(frames, path, strict=True)))
    return best


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_the_best_paths(seed: int) -> None:
    frames = log_probs(6, seed)
    scores = phone_scores(LEXICON, frames, ["see a", "sea", "bus a"])
    assert scores is not None
    expected = [
        max(best_path(frames, ("S", "IY"), way) for way in (("AH",), ("EY",))),
        best_path(frames, ("S", "IY")),
        max(best_path(frames, ("B", "AH", "S"), way) for way in (("AH",), ("EY",))),
    ]
    assert scores == pytest.approx(expected, abs=1e-4)


def test_what_was_said_scores_best_and_alike_words_alike() -> None:
    frames = heard("SIL", "S", "IY", "IY", "SIL", "EY", "SIL")
    see, sea, bus = phone_scores(LEXICON, frames, ["see a", "sea a", "bus a"])
    assert see == sea and see > bus + 5.0 and see == pytest.approx(7 * -0.02, abs=1e-4)


def test_too_few_frames_for_a_sentence_leave_it_impossible() -> None:
    assert phone_scores(LEXICON, heard("S", "IY"), ["see", "bus stop"]).tolist()[1] == -np.inf
    assert phone_scores(LEXICON, heard("S", "IY")[:0], ["see"]).tolist() == [-np.inf]


def test_a_word_that_the_lexicon_lacks_leaves_all_unjudged() -> None:
    assert phone_scores(LEXICON, heard("S", "IY"), ["see", "saw"]) is None
    assert phone_scores(LEXICON, heard("S", "IY"), ["see"]) is not None
    assert phone_scores(LEXICON, heard("S", "IY"), []).size == 0


def test_a_lexicon_survives_its_file_in_the_same_bytes(tmp_path) -> None:
    made = make_lexicon({"turn": [["T", "ER", "N"]], "a": [["EY"], ["AH"]]})
    for name in ("one", "two"):
        save_lexicon(tmp_path / name, made)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    read = load_lexicon(tmp_path / "one")
    assert read.pronunciations("a") == [(number("EY"),), (number("AH"),)]
    assert read.pronunciations("turn") == [(number("T"), number("ER"), number("N"))]
    assert read.pronunciations("urn") == read.pronunciations("") == []


@pytest.mark.parametrize("text", ["turn", "turn T XX", "turn t er n", "turn  T", " T"])
def test_a_line_that_is_no_word_with_its_phones_is_refused(tmp_path, text: str) -> None:
    with pytest.raises(ValueError, match="no word with its phones"):
        Lexicon(f"a AH\n{text}\nb B")
    (tmp_path / "plain").write_text(text)
    with pytest.raises(ArtifactError, match="plain: not a lexicon"):
        load_lexicon(tmp_path / "plain")


def judge(text: str) -> PhoneJudge:
    """A judge of what is encoded as the phones' numbers are: one dimension for each."""
    return PhoneJudge(
        np.vstack([np.eye(len(PHONES)), np.zeros(len(PHONES))]).astype(np.float32), Lexicon(text)
    )


def test_sentences_are_judged_by_their_phones_as_far_as_they_weigh() -> None:
    grammar = phrases_grammar(["see", "bus"], alphabet_of(TABLE), "en", "phrases")
    sentences = [tuple(TABLE.encode(text)) for text in ("see", "bus")]
    encoded = heard("S", "S", "IY", "SIL")[None]
    for weight in (0.0, 0.5, 2.0):
        config = ConstraintConfig(grammar_phone_weight=weight)
        found = Constraint(grammar, TABLE, config, judge("see S IY\nbus B AH S")).judge_phones(
            encoded, sentences
        )
        expected = weight * phone_scores(LEXICON, judge("see S IY").log_probs(encoded), ["see", "bus"])
        assert found == pytest.approx(expected.tolist())
    for phones in (None, judge("see S IY")):
        assert Constraint(grammar, TABLE, config, phones).judge_phones(encoded, sentences) == [0.0, 0.0]
    assert Constraint(grammar, TABLE, config, judge("see S IY")).judge_phones(encoded, []) == []
    with pytest.raises(ConfigError, match="grammar_phone_weight"):
        ConstraintConfig(grammar_phone_weight=-1.0)


@pytest.mark.parametrize(
    "head", [np.zeros((3, 40)), np.zeros((5, 40), int), np.zeros((5, 40), object), b"no array", b""]
)
def test_a_damaged_head_is_named(tmp_path, head) -> None:
    if isinstance(head, bytes):
        (tmp_path / PHONE_HEAD_NAME).write_bytes(head)
    else:
        np.save(tmp_path / PHONE_HEAD_NAME, head)
    save_lexicon(tmp_path / LEXICON_NAME, LEXICON)
    files = describe_files(tmp_path, (PHONE_HEAD_NAME, LEXICON_NAME))
    manifest = SimpleNamespace(files=files, listener=SimpleNamespace(encoded_dim=4))
    with pytest.raises(ArtifactError, match=PHONE_HEAD_NAME):
        load_phone_judge(tmp_path, manifest)
    np.save(tmp_path / PHONE_HEAD_NAME, np.ones((5, len(PHONES)), np.float16))
    with pytest.raises(ArtifactError, match=rf"{PHONE_HEAD_NAME}: (has|is damaged)"):
        load_phone_judge(tmp_path, manifest)
    files |= describe_files(tmp_path, (PHONE_HEAD_NAME,))
    loaded = load_phone_judge(tmp_path, manifest)
    assert loaded.log_probs(np.ones((1, 3, 4), np.float32)) == pytest.approx(np.full((3, 40), -np.log(40)))
    del files[LEXICON_NAME]
    assert load_phone_judge(tmp_path, manifest) is None
