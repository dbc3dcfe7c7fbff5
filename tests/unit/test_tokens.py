import pickle
from pathlib import Path

import numpy as np
import pytest

from edge_las.errors import ArtifactError, ConfigError
from edge_las.tokens import SPECIALS, WORD_MARK, TokenTable, normalize_text

M = WORD_MARK
SUBWORDS = {
    M: -4.0,
    "h": -6.0,
    "e": -6.0,
    "l": -6.0,
    "o": -6.0,
    "lo": -3.0,
    M + "he": -3.0,
    M + "hel": -3.5,
    M + "hello": -9.0,
    "ll": -4.0,
}


@pytest.fixture
def table() -> TokenTable:
    return TokenTable.from_subwords(list(SUBWORDS), list(SUBWORDS.values()))


def pieces(table: TokenTable, ids: list[int]) -> list[str]:
    return [table.pieces[i] for i in ids]


def test_specials_come_first(table: TokenTable) -> None:
    assert table.pieces[:4] == SPECIALS
    assert (table.blank_id, table.unk_id, table.sos_id, table.eos_id) == (0, 1, 2, 3)
    assert len(table) == 4 + len(SUBWORDS)


def test_encode_takes_the_most_probable_path(table: TokenTable) -> None:
    assert pieces(table, table.encode("hello")) == [M + "hel", "lo"]  # -6.5 beats -9 and -3 - 6 - 3
    assert pieces(table, table.encode("  lo  o ")) == [M, "lo", M, "o"]
    assert table.encode("") == []


def test_a_run_of_unknown_characters_is_one_unknown(table: TokenTable) -> None:
    assert pieces(table, table.encode("heéßlo")) == [M + "he", "<unk>", "lo"]
    assert table.decode(table.encode("heéßlo")) == "he<unk>lo"


def test_encode_agrees_with_trying_every_segmentation(table: TokenTable) -> None:
    def every(rest: str) -> list[list[str]]:
        if not rest:
            return [[]]
        heads = [piece for piece in SUBWORDS if rest.startswith(piece)]
        return [[head, *tail] for head in heads for tail in every(rest[len(head) :])]

    rng = np.random.default_rng(0)
    for _ in range(200):
        word = "".join(rng.choice(list("helo"), size=rng.integers(1, 9)))
        best = max(sum(SUBWORDS[piece] for piece in path) for path in every(M + word))
        assert sum(table.scores[i] for i in table.encode(word)) == pytest.approx(best)


def test_decode_drops_specials_and_undoes_encode(table: TokenTable) -> None:
    ids = [2, *table.encode("hello lo"), 3, 0]
    assert table.decode(ids) == "hello lo"
    assert table.decode(np.array(ids)) == "hello lo"
    assert table.decode([]) == ""


def test_words_give_spans_of_tokens(table: TokenTable) -> None:
    ids = [2, *table.encode("hello lo o"), 3]
    assert pieces(table, ids) == ["<sos>", M + "hel", "lo", M, "lo", M, "o", "<eos>"]
    assert table.words(ids) == [("hello", 1, 3), ("lo", 3, 5), ("o", 5, 7)]


def test_words_that_begin_without_a_mark_and_empty_marks(table: TokenTable) -> None:
    lo, mark = table.encode("lo")[1], table.encode("lo")[0]
    assert table.words([lo, lo, mark, mark, lo, mark]) == [("lolo", 0, 2), ("lo", 3, 5)]


def test_sample_gives_valid_segmentations_that_vary(table: TokenTable) -> None:
    rng = np.random.default_rng(0)
    drawn = {tuple(table.sample("hello", rng, 3.0)) for _ in range(100)}
    assert len(drawn) > 3
    assert {table.decode(ids) for ids in drawn} == {"hello"}


def test_sample_depends_on_the_generator_alone(table: TokenTable) -> None:
    text = "hello lo hello o helo"
    first = table.sample(text, np.random.default_rng(5), 2.0)
    table.sample("lolo hello", np.random.default_rng(6), 2.0)
    fresh = TokenTable(table.pieces, table.scores)
    assert fresh.sample(text, np.random.default_rng(5), 2.0) == first
    assert table.sample(text, np.random.default_rng(5), 2.0) == first


def test_sample_at_temperature_zero_is_encode(table: TokenTable) -> None:
    rng = np.random.default_rng(0)
    assert table.sample("hello lo", rng, 0.0) == table.encode("hello lo")


def test_characters_table_spells() -> None:
    table = TokenTable.characters()
    ids = table.encode("don't go")
    assert pieces(table, ids) == [M, *"don't", M, *"go"]
    assert table.decode(ids) == "don't go"
    assert table.sample("don't go", np.random.default_rng(0), 1.0) == ids


def test_save_and_load_keep_everything(table: TokenTable, tmp_path: Path) -> None:
    table.save(tmp_path / "tokens.txt")
    loaded = TokenTable.load(tmp_path / "tokens.txt")
    assert loaded.pieces == table.pieces and loaded.scores == table.scores
    assert (tmp_path / "tokens.txt").read_text("utf-8").splitlines()[5] == "h\t-6.0"


def test_a_table_can_go_to_a_worker_process(table: TokenTable) -> None:
    table.sample("hello", np.random.default_rng(0), 1.0)
    copy = pickle.loads(pickle.dumps(table))
    assert copy.encode("hello") == table.encode("hello")


GOOD = [*(f"{special}\t0.0" for special in SPECIALS), f"{M}\t-1.0", "a\t-2.0"]


@pytest.mark.parametrize(
    "line, text, message",
    [
        (1, "<unk>\t0.0", "line 1 is '<unk>', must be <blank>"),
        (5, f"{M} -1.0", "line 5 is not a piece, a tab and a score"),
        (5, f"{M}\tlow", "line 5: 'low' is not a score"),
        (6, "a\tnan", "line 6 has the score nan"),
        (6, "\t-1", "line 6 has an empty piece"),
        (6, "a b\t-1", "line 6 has an empty piece or one with a space"),
        (6, f"{M}\t-1", "line 6 repeats the piece"),
        (6, f"a{M}\t-1", "line 6 has a word mark inside"),
    ],
)
def test_a_bad_table_is_refused_naming_the_line(line: int, text: str, message: str, tmp_path: Path) -> None:
    lines = [*GOOD]
    lines[line - 1] = text
    path = tmp_path / "tokens.txt"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(ArtifactError) as caught:
        TokenTable.load(path)
    assert message in str(caught.value) and "tokens.txt" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"<blank>\t0\n"])
def test_files_that_are_no_table_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="tokens.txt"):
        TokenTable.load(path)
    with pytest.raises(ArtifactError, match="no such file"):
        TokenTable.load(tmp_path / "none.txt")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Hello,  World!", "hello world"),
        ("It\u2019s e-mail\u2014now", "it's e mail now"),
        ("  'quoted' ' ''  text\n\tnext ", "'quoted' text next"),
        ("Cafe\u0301 ÜBER", "café über"),
        ("", ""),
    ],
)
def test_normalize_text(text: str, expected: str) -> None:
    assert normalize_text(text) == expected
    assert normalize_text(expected) == expected


@pytest.mark.parametrize(
    "text, named", [("route 66", "'6'"), ("50 %", "'5'"), ("rock & roll", "'&'"), ("$", "U+0024")]
)
def test_what_must_be_spelled_out_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        normalize_text(text)
    assert named in str(caught.value)
