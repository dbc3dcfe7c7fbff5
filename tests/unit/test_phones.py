import copy
import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge_las.artifact import describe_files
from edge_las.errors import ArtifactError, ConfigError
from edge_las.grammar import phrases_grammar
from edge_las.lexicon import LEXICON_NAME, PHONES, SILENCE, Lexicon, load_lexicon, make_lexicon, save_lexicon
from edge_las.runtime.constraint import Constraint, alphabet_of
from edge_las.runtime.phones import (
    PHONE_HEAD_NAME,
    Dense,
    PhoneEvidence,
    PhoneJudge,
    PhoneStream,
    load_phone_judge,
    phone_evidence,
)
from edge_las.search.config import ConstraintConfig
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
    """A judge of what is encoded as the phones' numbers are: one dimension for each, from -10 up."""
    size = len(PHONES)
    same = Dense(np.eye(size, dtype=np.float32), np.zeros(size, np.float32))
    up, down = (Dense(same.weights, same.bias + shift) for shift in (np.float32(10.0), np.float32(-10.0)))
    return PhoneJudge(up, same, down, Lexicon(text))


def random_judge(kernel: int, seed: int = 0) -> PhoneJudge:
    rng = np.random.default_rng(seed)
    sizes = ((MIDDLE + ENCODED, 5), (kernel * 5, 6), (6, len(PHONES)))
    layers = [
        Dense(rng.standard_normal(size).astype(np.float32), rng.standard_normal(size[1]).astype(np.float32))
        for size in sizes
    ]
    return PhoneJudge(*layers, LEXICON)


MIDDLE, ENCODED = 3, 4


def frames(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal((1, count, size)).astype(np.float32) for size in (ENCODED, MIDDLE))


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_phones_are_named_by_the_frames_around_and_nothing_beyond_the_ends(kernel: int) -> None:
    head, (encoded, middle) = random_judge(kernel), frames(10)
    around = kernel // 2
    hidden = np.maximum(head.hidden(np.concatenate([middle[0], encoded[0]], axis=1)), 0.0)
    padded = np.pad(hidden, ((around, around), (0, 0)))
    windows = np.stack([padded[t : t + kernel].reshape(-1) for t in range(10)])
    logits = head.out(np.maximum(head.context(windows), 0.0))
    expected = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    assert head.frames_around == around
    np.testing.assert_allclose(head.log_probs(encoded, middle), expected, atol=1e-4)


@pytest.mark.parametrize("sizes", [[10], [1] * 10, [3, 0, 2, 4, 1], [8, 2], [0, 10]])
@pytest.mark.parametrize("kernel", [1, 7])
def test_phones_do_not_depend_on_how_frames_are_cut(kernel: int, sizes: list[int]) -> None:
    head, (encoded, middle) = random_judge(kernel), frames(10)
    stream, parts, taken = PhoneStream(head), [], 0
    for size in sizes:
        rows = slice(taken, taken + size)
        parts.append(stream.accept(encoded[:, rows], middle[:, rows]))
        taken += size
        assert sum(map(len, parts)) == max(0, taken - kernel // 2)
    parts.append(stream.finish())
    np.testing.assert_allclose(np.concatenate(parts), head.log_probs(encoded, middle), atol=1e-4)


def test_layers_give_a_row_the_same_bits_whatever_comes_with_it() -> None:
    rng = np.random.default_rng(0)
    # As large as a shipped head's: products of small matrices are rounded alike anyway.
    layer = Dense(rng.standard_normal((896, 96), dtype=np.float32), rng.standard_normal(96, dtype=np.float32))
    rows = rng.standard_normal((64, 896), dtype=np.float32)
    whole = layer(rows)
    np.testing.assert_allclose(whole, rows @ layer.weights + layer.bias, atol=1e-3)
    for size in (1, 2, 3, 7, 31):
        parts = [layer(rows[begin : begin + size]) for begin in range(0, len(rows), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_copy_of_a_stream_goes_its_own_way() -> None:
    head, (encoded, middle) = random_judge(7), frames(10)
    stream = PhoneStream(head)
    begun = stream.accept(encoded[:, :6], middle[:, :6])
    twin = copy.copy(stream)
    assert len(begun) == 3
    early = np.concatenate([begun, twin.finish()])
    np.testing.assert_allclose(early, head.log_probs(encoded[:, :6], middle[:, :6]), atol=1e-4)
    twin.accept(*frames(5, seed=9))
    whole = np.concatenate([begun, stream.accept(encoded[:, 6:], middle[:, 6:]), stream.finish()])
    np.testing.assert_allclose(whole, head.log_probs(encoded, middle), atol=1e-4)
    assert head.log_probs(encoded[:, :0], middle[:, :0]).shape == (0, len(PHONES))


def test_phones_tell_speech_from_noise_and_what_fits_from_what_does_not() -> None:
    see = judge("see S IY\nbus B AH S")
    said, silence = heard("SIL", "S", "S", "IY", "IY", "SIL"), heard(*["SIL"] * 6)
    right, wrong = (phone_evidence(see, said, text) for text in ("see", "bus"))
    assert right.voiced == wrong.voiced == pytest.approx(math.log1p(4.0), abs=0.01)
    assert right.over_silence == pytest.approx(4 * 7.98, abs=0.01) and wrong.over_silence < 10.0
    nothing = phone_evidence(see, silence, "see")
    assert nothing.voiced == 0.0 and nothing.over_silence == pytest.approx(-2 * 7.98, abs=0.01)
    empty = phone_evidence(see, said, "")
    assert empty.voiced == right.voiced and abs(empty.over_silence) < 1e-3
    # Any phones will do for a word that nobody can say; too few frames for a word tell what they can.
    assert phone_evidence(see, said, "zz").over_silence == pytest.approx(right.over_silence, abs=0.01)
    assert phone_evidence(see, said[:1], "see") == PhoneEvidence(0.0, -20.0)
    assert phone_evidence(see, said[:0], "see") == PhoneEvidence()


def test_sentences_are_judged_by_their_phones_as_far_as_they_weigh() -> None:
    grammar = phrases_grammar(["see", "bus"], alphabet_of(TABLE), "en", "phrases")
    sentences = [tuple(TABLE.encode(text)) for text in ("see", "bus")]
    encoded = heard("S", "S", "IY", "SIL")[None]
    for weight in (0.0, 0.5, 2.0):
        config = ConstraintConfig(grammar_phone_weight=weight)
        held = Constraint(grammar, TABLE, config, judge("see S IY\nbus B AH S"))
        found = held.judge_phones(held.phones_of(encoded, None), sentences)
        expected = weight * phone_scores(LEXICON, judge("see S IY").log_probs(encoded, None), ["see", "bus"])
        assert found == pytest.approx(expected.tolist())
    for phones in (None, judge("see S IY")):
        held = Constraint(grammar, TABLE, config, phones)
        assert held.judge_phones(held.phones_of(encoded, None), sentences) == [0.0, 0.0]
    assert held.judge_phones(held.phones_of(encoded, None), []) == []
    with pytest.raises(ConfigError, match="grammar_phone_weight"):
        ConstraintConfig(grammar_phone_weight=-1.0)


def stored(kernel: int = 7) -> dict[str, np.ndarray]:
    """What a file of a head holds."""
    shapes = {"hidden": (5, MIDDLE + ENCODED), "context": (6, 5, kernel), "out": (len(PHONES), 6)}
    arrays = {}
    for layer, shape in shapes.items():
        arrays[f"{layer}_weight"] = np.ones(shape, np.int8)
        arrays[f"{layer}_scale"] = np.full(shape[0], 0.5, np.float16)
        arrays[f"{layer}_bias"] = np.zeros(shape[0], np.float16)
    return arrays


def stored_but(**changed: np.ndarray | None) -> dict[str, np.ndarray]:
    return {name: array for name, array in (stored() | changed).items() if array is not None}


def load(folder: Path, middle_dim: int = MIDDLE) -> PhoneJudge | None:
    save_lexicon(folder / LEXICON_NAME, LEXICON)
    files = describe_files(folder, (PHONE_HEAD_NAME, LEXICON_NAME))
    listener = SimpleNamespace(middle_dim=middle_dim, encoded_dim=ENCODED)
    return load_phone_judge(folder, SimpleNamespace(files=files, listener=listener))


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"no archive", "not weights that can be read"),
        (b"", "not weights that can be read"),
        (np.zeros((3, 40)), "not weights that can be read"),
        (stored_but(out_bias=None), "out_bias is missing"),
        (stored_but(hidden_weight=np.ones((5, 9), np.int8)), "hidden_weight is 5x9 int8, must be 5x7 int8"),
        (stored_but(hidden_weight=np.ones((5, 7), np.uint8)), "hidden_weight is 5x7 uint8, must be 5x7 int8"),
        (stored_but(hidden_weight=np.int8(1)), "hidden_weight is a number"),
        (stored_but(hidden_scale=np.ones(4, np.float16)), "hidden_scale is 4 float16, must be 5 float16"),
        (stored_but(out_scale=np.ones(40)), "out_scale is 40 float64, must be 40 float16"),
        (
            stored_but(context_weight=np.ones((6, 5), np.int8)),
            "context_weight is 6x5, its kernel must be odd",
        ),
        (stored_but(context_weight=np.ones((6, 5, 4), np.int8)), "is 6x5x4, its kernel must be odd"),
        (stored_but(context_weight=np.ones((0, 5, 7), np.int8)), "context_weight is 0x5x7"),
        (stored_but(out_bias=np.full(40, np.nan, np.float16)), "out_bias holds what is no number"),
        (stored_but(out_weight=np.array([None] * 40)), "not weights that can be read"),
        (stored_but(more=np.zeros(1 << 20)), "too large to be a head of phones"),
    ],
)
def test_a_damaged_head_is_named(tmp_path, head, reason: str) -> None:
    path = tmp_path / PHONE_HEAD_NAME
    if isinstance(head, bytes):
        path.write_bytes(head)
    elif isinstance(head, dict):
        np.savez(path, **head)
    else:
        with open(path, "wb") as file:
            np.save(file, head)
    with pytest.raises(ArtifactError, match=f"{PHONE_HEAD_NAME}: .*{reason}"):
        load(tmp_path)


def test_a_head_is_loaded_as_it_was_listed_and_for_the_listener_it_fits(tmp_path) -> None:
    np.savez(tmp_path / PHONE_HEAD_NAME, **stored())
    loaded = load(tmp_path)
    assert loaded is not None and loaded.frames_around == 3
    assert loaded.log_probs(*frames(3)) == pytest.approx(np.full((3, 40), -np.log(40)), abs=1e-5)
    with pytest.raises(ArtifactError, match="hidden_weight is 5x7 int8, must be 5x4 int8"):
        load(tmp_path, middle_dim=0)
    files = describe_files(tmp_path, (PHONE_HEAD_NAME, LEXICON_NAME))
    manifest = SimpleNamespace(files=files, listener=SimpleNamespace(middle_dim=MIDDLE, encoded_dim=ENCODED))
    np.savez(tmp_path / PHONE_HEAD_NAME, **stored(kernel=3))
    with pytest.raises(ArtifactError, match=rf"{PHONE_HEAD_NAME}: (has|is damaged)"):
        load_phone_judge(tmp_path, manifest)
    del files[LEXICON_NAME]
    assert load_phone_judge(tmp_path, manifest) is None
