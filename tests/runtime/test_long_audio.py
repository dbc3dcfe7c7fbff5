import tracemalloc

import numpy as np
import pytest

from edge_las.runtime.recognizer import Recognizer
from edge_las.runtime.result import Alternative, Result, Word, join_results
from edge_las.runtime.segment import PieceCutter
from tests.runtime import tone_engine as tones
from tests.runtime.tone_engine import RATE, say


def cut(samples, block, max_s=2.0):
    """All pieces of samples, fed in blocks of the given size."""
    cutter = PieceCutter(max_s, RATE)
    pieces, current = [], []
    for start in range(0, len(samples), block):
        for part, ends in cutter.accept(samples[start : start + block]):
            current.append(part)
            if ends:
                pieces.append(np.concatenate(current))
                current = []
    return [*pieces, np.concatenate([*current, cutter.finish()])]


@pytest.mark.parametrize("block", [1, 160, 5000, 10**6])
def test_pieces_are_the_audio_whatever_the_blocks(block):
    rng = np.random.default_rng(1)
    samples = rng.standard_normal(4 * RATE if block == 1 else 11 * RATE + 17).astype(np.float32)
    pieces = cut(samples, block)
    np.testing.assert_array_equal(np.concatenate(pieces), samples)
    assert all(0 < len(piece) <= 2 * RATE for piece in pieces)
    assert all(len(piece) >= 1.2 * RATE for piece in pieces[:-1])
    whole = cut(samples, len(samples))
    assert [len(piece) for piece in pieces] == [len(piece) for piece in whole]


def test_cuts_fall_into_pauses():
    samples = np.ones(6 * RATE, dtype=np.float32)
    for pause_s in (1.5, 3.0, 4.8):
        samples[int(pause_s * RATE) : int((pause_s + 0.3) * RATE)] = 0.001
    cuts = np.cumsum([len(piece) for piece in cut(samples, 4000)])[:-1] / RATE
    for place_s, pause_s in zip(cuts, (1.5, 3.0, 4.8), strict=True):
        assert pause_s < place_s < pause_s + 0.3


def test_short_audio_is_never_held_back():
    cutter = PieceCutter(10.0, RATE)
    samples = np.ones(RATE, dtype=np.float32)
    for _ in range(6):
        ((part, ends),) = cutter.accept(samples)
        assert part is samples or np.array_equal(part, samples)
        assert not ends
    assert cutter.finish().size == 0


def test_long_recordings_lose_no_word_and_times_go_on():
    words = ["one", "two", "three", "four"] * 40
    samples = say(" ".join(words))
    setup = tones.setup(max_utterance_s=5.0)
    result = Recognizer(setup).transcribe(samples)
    assert result.text == " ".join(words)
    assert [word.word for word in result.words] == words
    for index, word in enumerate(result.words):
        assert word.start_s == pytest.approx(0.16 + 0.46 * index, abs=0.13)
    assert result.nbest[0].text == result.text
    assert result.duration_s == pytest.approx(len(samples) / RATE)
    blocks = (samples[start : start + 4000] for start in range(0, len(samples), 4000))
    assert Recognizer(setup).transcribe(blocks).text == result.text


def test_memory_does_not_grow_with_length():
    def peak(minutes):
        minute = np.concatenate([say("one two three four one two"), np.zeros(57 * RATE, dtype=np.float32)])
        tracemalloc.start()
        result = Recognizer(tones.setup()).transcribe(minute for _ in range(minutes))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(result.words) == 6 * minutes
        return most

    peak(1)
    assert peak(8) < peak(2) + 1_000_000  # six minutes of samples are 23 MB


def result(text, score, confidence=0.5, seconds=2.0):
    words = tuple(Word(word, 0.1 * i, 0.1 * i + 0.1, confidence) for i, word in enumerate(text.split()))
    nbest = (Alternative(text, score), Alternative(f"{text}s", score - 1)) if text else ()
    return Result(text, confidence if text else 0.0, words, nbest, seconds, 0.01, 7.0)


def test_results_are_joined():
    joined = join_results([result("one two", -1.0, 0.8), result("", 0.0), result("three", -2.0, 0.2)])
    assert joined.text == "one two three"
    assert [word.start_s for word in joined.words] == pytest.approx([0.0, 0.1, 4.0])
    assert joined.confidence == pytest.approx(0.8 * 0.2)
    assert [item.text for item in joined.nbest] == ["one two three", "one twos three"]
    assert [item.score for item in joined.nbest] == pytest.approx([-3.0, -4.0])
    assert (joined.duration_s, joined.latency_ms) == (6.0, 7.0)
    assert joined.rtf == pytest.approx(0.01)
    silent = join_results([result("", 0.0), result("", 0.0)])
    assert (silent.text, silent.confidence, silent.nbest) == ("", 0.0, ())
