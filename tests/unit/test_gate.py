import numpy as np
import pytest

from edge_las.errors import ConfigError
from edge_las.runtime.gate import GateConfig, LevelMeter, expected_ctc_tokens, silent_ids
from edge_las.tokens import TokenTable


@pytest.mark.parametrize("sizes", [[16000], [1], [399, 401], [7, 1000]])
def test_the_loudest_25_ms_are_the_same_however_cut(sizes):
    samples = np.zeros(4000, dtype=np.float32)
    samples[800:1200] = 0.1
    meter = LevelMeter(16000)
    start = 0
    while start < len(samples):
        size = sizes[start % len(sizes)]
        meter.accept(samples[start : start + size])
        start += size
    assert meter.dbfs == pytest.approx(-20.0, abs=1e-4)


def test_less_than_25_ms_counts_and_silence_is_minus_infinity():
    meter = LevelMeter(16000)
    assert meter.dbfs == -np.inf
    meter.accept(np.zeros(1000, dtype=np.float32))
    assert meter.dbfs == -np.inf
    meter.accept(np.full(100, 0.5, dtype=np.float32))
    assert meter.dbfs > -20.0


def test_expected_tokens():
    probs = np.array([[1.0, 0.0], [0.25, 0.75], [0.5, 0.5]], dtype=np.float32)
    with np.errstate(divide="ignore"):
        assert expected_ctc_tokens(np.log(probs), [0]) == pytest.approx(0.75)
    assert expected_ctc_tokens(np.zeros((0, 2)), [0]) == 0.0


def test_word_marks_alone_are_no_sound():
    tokens = TokenTable.characters()
    ids = silent_ids(tokens)
    assert [tokens.pieces[number] for number in ids] == [tokens.pieces[tokens.blank_id], "\u2581"]
    log_probs = np.full((50, len(tokens)), np.log(1e-4), dtype=np.float32)
    log_probs[:, ids[1]] = 0.0
    assert expected_ctc_tokens(log_probs, ids) == 0.0
    log_probs[7] = np.log(1e-4)
    log_probs[7, -1] = 0.0
    assert expected_ctc_tokens(log_probs, ids) == pytest.approx(1.0, abs=0.01)


def test_config_is_checked():
    with pytest.raises(ConfigError, match="gate_min_confidence is -1"):
        GateConfig(gate_min_confidence=-1.0)
