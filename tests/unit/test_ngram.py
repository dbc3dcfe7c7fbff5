import numpy as np
import pytest

from edge_las.errors import ConfigError
from edge_las.ngram import load_ngrams, save_ngrams
from edge_las.ngram_estimate import estimate
from edge_las.search.ngram import FusionConfig, NgramScorer
from edge_las.tokens import TokenTable

TOKENS = TokenTable.characters()
SENTENCES = ["turn on the light", "turn off the light", "turn on the radio", "open the door"]


@pytest.fixture
def file(tmp_path):
    save_ngrams(tmp_path / "lm.npz", estimate(SENTENCES, 5, TOKENS), TOKENS)
    return tmp_path / "lm.npz"


def log_prob(model, text):
    scorer = NgramScorer(model, 1.0, TOKENS.sos_id)
    state, total = scorer.initial_state(), 0.0
    for token in [*TOKENS.encode(text), TOKENS.eos_id]:
        total += float(scorer.score(state, np.array([token]))[0])
        state = scorer.advance(state, token)
    return total


def test_a_file_gives_the_same_model_to_half_precision(file):
    model, loaded = estimate(SENTENCES, 5, TOKENS), load_ngrams(file, TOKENS)
    for before, after in zip(model.levels, loaded.levels, strict=True):
        np.testing.assert_array_equal(before.keys, after.keys)
        assert (after.keys.dtype, after.log_probs.dtype) == (np.int32, np.float16)
        np.testing.assert_allclose(before.log_probs, after.log_probs, rtol=1e-3)
        np.testing.assert_allclose(before.backoffs, after.backoffs, rtol=1e-3, atol=1e-3)
    for text in ("turn on the light", "light the on"):
        assert log_prob(loaded, text) == pytest.approx(log_prob(model, text), abs=0.05)
    assert log_prob(loaded, "turn off the radio") > log_prob(loaded, "turm of the wadio") + 10.0


def test_a_file_is_small(tmp_path):
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 4)) for _ in range(300)]
    model = estimate([" ".join(rng.choice(words, 6)) for _ in range(2000)], 4, TOKENS)
    save_ngrams(tmp_path / "lm.npz", model, TOKENS)
    count = sum(len(level.keys) for level in model.levels)
    assert (tmp_path / "lm.npz").stat().st_size < 6 * count


def test_what_is_no_model_is_named(file, tmp_path):
    with pytest.raises(ConfigError, match=r"lm\.npz: was made for other tokens"):
        load_ngrams(file, TokenTable.characters("abc"))
    with pytest.raises(ConfigError, match=r"none\.npz: no such file"):
        load_ngrams(tmp_path / "none.npz", TOKENS)
    damaged = tmp_path / "damaged.npz"
    data = file.read_bytes()
    for broken in (b"", b"no zip at all", data[:200], data[: len(data) // 2]):
        damaged.write_bytes(broken)
        with pytest.raises(ConfigError, match=r"damaged\.npz: no n-gram model"):
            load_ngrams(damaged, TOKENS)
    np.savez(damaged, weights=np.zeros(3))
    with pytest.raises(ConfigError, match=r"damaged\.npz: no n-gram model"):
        load_ngrams(damaged, TOKENS)
    with np.load(file) as arrays:
        parts = dict(arrays)
    np.savez(damaged, **{**parts, "version": np.array([9, 5])})
    with pytest.raises(ConfigError, match="has format 9, this edge-las reads 1"):
        load_ngrams(damaged, TOKENS)
    np.savez(damaged, **{**parts, "keys_3": parts["keys_3"] * -1})
    with pytest.raises(ConfigError, match=r"damaged\.npz: level 3 of an n-gram model is damaged"):
        load_ngrams(damaged, TOKENS)
    for name, wrong in (
        ("log_probs_3", parts["log_probs_3"].astype(str)),
        ("log_probs_3", parts["log_probs_3"] * np.nan),
        ("backoffs_2", parts["backoffs_2"][:, None]),
        ("keys_3", parts["keys_3"] * 2**40),
        ("version", np.array(1)),
    ):
        np.savez(damaged, **{**parts, name: wrong})
        with pytest.raises(ConfigError, match=r"damaged\.npz: (level [23] of an|no) n-gram model"):
            load_ngrams(damaged, TOKENS)


def test_sentences_are_needed_and_weights_checked():
    with pytest.raises(ConfigError, match="needs texts"):
        estimate(["", "  "], 3, TOKENS)
    with pytest.raises(ConfigError, match="lm_weight is -1"):
        FusionConfig(lm_weight=-1.0)
