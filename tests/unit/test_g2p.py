"""How words are said by their letters: learnt from a lexicon, searched for, kept in a file."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge_las.artifact import describe_files
from edge_las.errors import ArtifactError, ConfigError
from edge_las.g2p import FIRST_ID, G2P_NAME, LETTERS, SOS_ID, G2p, load_g2p, load_g2p_of, save_g2p
from edge_las.g2p_train import align, train_g2p
from edge_las.lexicon import PHONES, Lexicon, make_lexicon
from edge_las.ngram import NgramLevel, NgramModel

# Letters and what they say in a made-up language: `e` at the end is silent, `sh` is one phone, `x` is two.
SOUNDS = {"a": "AE", "b": "B", "d": "D", "i": "IH", "k": "K", "sh": "SH", "s": "S", "h": "HH", "x": "K S"}


def spoken(parts: tuple[str, ...], ends: str = "") -> tuple[str, list[str]]:
    return "".join(parts) + ends, " ".join(SOUNDS[part] for part in parts).split()


def made_up(*, both_ways: bool = False) -> Lexicon:
    """All words of up to four sounds, vowels and consonants in turn, some with a silent e."""
    vowels, others = ("a", "i"), ("b", "d", "k", "s", "sh", "h", "x")
    said: dict[str, list[list[str]]] = {}
    for kinds in ((others, vowels), (others, vowels, others), (vowels, others, vowels), (vowels, others)):
        for parts in itertools.product(*kinds):
            for ends in ("", "e") if parts[-1] in others else ("",):
                word, phones = spoken(parts, ends)
                said[word] = [phones]
                if both_ways and word.startswith("a"):
                    said[word].append(["EY", *phones[1:]])
    return make_lexicon(said)


@pytest.fixture(scope="module")
def g2p() -> G2p:
    return train_g2p(made_up())


def numbers(phones: str) -> tuple[int, ...]:
    return tuple(PHONES.index(phone) for phone in phones.split())


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("shabad", "SH AE B AE D"),
        ("kixide", "K IH K S IH D"),
        ("dashike", "D AE SH IH K"),
        ("hasabi", "HH AE S AE B IH"),
    ],
)
def test_words_that_are_not_in_the_lexicon_are_said(g2p: G2p, word: str, phones: str) -> None:
    ways = g2p.pronounce(word)
    assert ways[0] == numbers(phones)
    assert len(ways) == len(set(ways)) <= 3
    assert g2p.pronounce(word, 1) == ways[:1]


def test_graphones_are_those_of_the_language(g2p: G2p) -> None:
    frequent = set(g2p.graphones[:12])
    assert {("sh", numbers("SH")), ("x", numbers("K S")), ("e", ()), ("a", numbers("AE"))} <= frequent


@pytest.mark.parametrize("word", ["", "été", "a-b", "Dad", "a b", "b4", "zoo", "a" * 41])
def test_what_has_other_letters_is_not_said(g2p: G2p, word: str) -> None:
    assert g2p.pronounce(word) == []


def test_what_is_said_in_several_ways_stays_so() -> None:
    ways = train_g2p(made_up(both_ways=True)).pronounce("abidax", 4)
    assert set(ways[:2]) == {numbers("AE B IH D AE K S"), numbers("EY B IH D AE K S")}


def test_a_split_gives_back_word_and_phones() -> None:
    # In the order of their lengths.
    pairs = [("b", "B IY"), ("ash", "AE SH"), ("axe", "AE K S"), ("shade", "SH EY D")]
    found = align((word, numbers(phones)) for word, phones in pairs)
    for (word, phones), graphones in zip(pairs, found, strict=True):
        assert "".join(letters for letters, _ in graphones) == word
        assert tuple(phone for _, some in graphones for phone in some) == numbers(phones)
        assert all(1 <= len(letters) <= 2 and len(some) <= 2 for letters, some in graphones)
    # One letter stands for two phones at most.
    assert align([("b", numbers("B IY D"))]) == [] == align([])


def test_a_lexicon_that_teaches_nothing_is_refused() -> None:
    for lexicon in ("b B IY D", "été EY T EY", "ab AE SIL B"):
        with pytest.raises(ConfigError, match="no word of the lexicon teaches"):
            train_g2p(Lexicon(lexicon))


def random_model(order: int, seed: int) -> G2p:
    """A model of few graphones and all their n-grams that matter, of any probs."""
    rng = np.random.default_rng(seed)
    graphones = [("a", (1,)), ("a", ()), ("b", (2,)), ("b", (1, 2)), ("ab", (2,)), ("ba", (3, 1))]
    size = FIRST_ID + len(graphones)
    levels = [NgramLevel(np.arange(size), np.log(rng.uniform(0.01, 0.3, size)), rng.uniform(-1.0, 0.0, size))]
    for _ in range(order - 1):
        keys = np.flatnonzero(rng.uniform(size=len(levels[-1].keys) * size) < 0.3)
        probs, backoffs = np.log(rng.uniform(0.01, 0.5, len(keys))), rng.uniform(-1.0, 0.0, len(keys))
        levels.append(NgramLevel(keys, probs, backoffs))
    return G2p(graphones, NgramModel(tuple(levels)))


def enumerated(g2p: G2p, word: str) -> list[tuple[int, ...]]:
    """Say a word in all ways, each as likely as all its graphones, by the definition of a back-off model."""
    ways: dict[tuple[int, ...], float] = {}

    def go_on(rest: str, tokens: tuple[int, ...], phones: tuple[int, ...], score: float) -> None:
        log_probs = g2p.ngrams.log_probs(g2p.ngrams.context(tokens))
        if not rest and phones:
            ways[phones] = np.logaddexp(ways.get(phones, -np.inf), score + log_probs[1])
        for token, (letters, more) in enumerate(g2p.graphones, start=FIRST_ID):
            if rest.startswith(letters):
                go_on(rest[len(letters) :], (*tokens, token), phones + more, score + log_probs[token])

    go_on(word, (SOS_ID,), (), 0.0)
    return sorted(ways, key=lambda way: -ways[way])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_likeliest_ways_are_those_of_an_enumeration(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_las.g2p._BEAM", 10_000)
    monkeypatch.setattr("edge_las.g2p._MARGIN", 1e9)
    for seed, word in itertools.product(range(3), ("a", "abba", "babaab")):
        model = random_model(order, seed)
        ways = enumerated(model, word)
        assert model.pronounce(word, 5) == ways[:5]
        assert model.pronounce(word, 10_000) == ways


def test_a_file_gives_the_same_model_and_the_same_bytes(g2p: G2p, tmp_path: Path) -> None:
    names = [tmp_path / f"{name}.npz" for name in "abc"]
    save_g2p(names[0], g2p)
    save_g2p(names[1], train_g2p(made_up()))
    loaded = load_g2p(names[0])
    save_g2p(names[2], loaded)
    assert names[0].read_bytes() == names[1].read_bytes() == names[2].read_bytes()
    assert loaded.graphones == g2p.graphones
    for before, after in zip(g2p.ngrams.levels, loaded.ngrams.levels, strict=True):
        np.testing.assert_array_equal(before.keys, after.keys)
        np.testing.assert_allclose(before.log_probs, after.log_probs, atol=0.25)
        np.testing.assert_allclose(before.backoffs, after.backoffs, atol=0.25)
    assert loaded.pronounce("shabad")[0] == numbers("SH AE B AE D")


@pytest.mark.parametrize("order", [1, 2, 3])
def test_models_of_any_order_are_kept(order: int, tmp_path: Path) -> None:
    save_g2p(tmp_path / G2P_NAME, random_model(order, 0))
    assert len(load_g2p(tmp_path / G2P_NAME).ngrams.levels) == order


def stored(folder: Path, g2p: G2p) -> dict[str, np.ndarray]:
    save_g2p(folder / G2P_NAME, g2p)
    with np.load(folder / G2P_NAME) as arrays:
        return dict(arrays)


def put(array: np.ndarray, place: int, value: int) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("tokens", lambda a: None, "tokens is missing"),
        ("version", lambda a: np.array(2), "has format 2, this edge-las reads 1"),
        ("version", lambda a: a[None], "version is 1-dimensional"),
        ("graphones", lambda a: a.astype(np.int64), "graphones is 2-dimensional int64"),
        ("graphones", lambda a: a[:, :3], "graphones are [0-9]+x3"),
        ("graphones", lambda a: a[:0], "graphones are 0x4"),
        ("graphones", lambda a: put(a, 3, 0), "graphone 3 is none"),
        ("graphones", lambda a: put(a, 3, len(LETTERS) + 1), "graphone 3 is none"),
        ("graphones", lambda a: put(a, 2, (1, 0, 0, 7)), "graphone 2 is none"),
        ("graphones", lambda a: put(a, 2, (1, 0, 40, 0)), "graphone 2 is none"),
        ("sizes", lambda a: a[:0], r"sizes are \[\]"),
        ("sizes", lambda a: put(a, 0, a[0] + 1), "sizes are .*, the first must be"),
        ("sizes", lambda a: put(a, 2, -a[2]), "sizes are"),
        ("sizes", lambda a: put(a, 2, 2**62), "(tokens|followers) are"),
        ("sizes", lambda a: a.astype(np.float64), "sizes is 1-dimensional float64"),
        ("followers", lambda a: a[1:], "followers are [0-9]+, must be [0-9]+"),
        ("followers", lambda a: put(a, 0, a[0] + 1), "followers are [0-9]+ of one length, must be"),
        ("followers", lambda a: a.astype(np.float16), "followers is 1-dimensional float16"),
        ("tokens", lambda a: put(a, 0, 255), "tokens go beyond"),
        ("tokens", lambda a: a[::-1], "level [234] of an n-gram model is damaged"),
        ("tokens", lambda a: a.astype(np.uint64), "tokens is 1-dimensional uint64"),
        ("log_probs", lambda a: a.astype(np.float16), "log_probs is 1-dimensional float16"),
        ("log_probs", lambda a: a[1:], "log_probs are"),
        ("backoffs", lambda a: a[:-1], "backoffs are"),
        ("backoffs", lambda a: np.array([None] * len(a)), "no model of graphones"),
        ("more", lambda a: np.zeros(1 << 18), "too large to be a model of graphones"),
    ],
)
def test_a_damaged_file_is_named(g2p: G2p, tmp_path: Path, name: str, change, reason: str) -> None:
    arrays = stored(tmp_path, g2p)
    arrays[name] = change(arrays.get(name))
    np.savez(tmp_path / G2P_NAME, **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(ArtifactError, match=f"{G2P_NAME}: {reason}"):
        load_g2p(tmp_path / G2P_NAME)


def test_what_is_no_archive_is_named(g2p: G2p, tmp_path: Path) -> None:
    path = tmp_path / G2P_NAME
    save_g2p(path, g2p)
    whole = path.read_bytes()
    for data in (b"", b"no archive", whole[:100], whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(data)
        with pytest.raises(ArtifactError, match=f"{G2P_NAME}: no model of graphones"):
            load_g2p(path)
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ArtifactError, match=f"{G2P_NAME}: no model of graphones"):
        load_g2p(path)


def test_an_artifact_gives_the_one_that_it_lists(g2p: G2p, tmp_path: Path) -> None:
    save_g2p(tmp_path / G2P_NAME, g2p)
    files = describe_files(tmp_path, (G2P_NAME,))
    assert load_g2p_of(tmp_path, SimpleNamespace(files={})) is None
    loaded = load_g2p_of(tmp_path, SimpleNamespace(files=files))
    assert loaded is not None and loaded.graphones == g2p.graphones
    save_g2p(tmp_path / G2P_NAME, random_model(2, 0))
    with pytest.raises(ArtifactError, match=f"{G2P_NAME}: (has|is damaged)"):
        load_g2p_of(tmp_path, SimpleNamespace(files=files))


def test_graphones_fit_their_ngrams(g2p: G2p) -> None:
    with pytest.raises(ConfigError, match="graphones do not fit n-grams of"):
        G2p(g2p.graphones[1:], g2p.ngrams)
