from dataclasses import replace

import numpy as np
import pytest

from edge_las.errors import AudioError
from edge_las.features import log_mel, num_frames
from edge_las.grammar import phrases_grammar
from edge_las.ngram_estimate import estimate
from edge_las.runtime.confidence import ConfidenceConfig
from edge_las.runtime.constraint import alphabet_of
from edge_las.runtime.listener_stream import ListenerStream
from edge_las.runtime.recognizer import Recognizer
from edge_las.runtime.utterance import Utterance
from edge_las.search.config import ConstraintConfig
from edge_las.search.ngram import NgramScorer
from tests.runtime import tone_engine as tones
from tests.runtime.tone_engine import RATE, say


def pieces_of(samples, sizes):
    """Cut samples by cycling through sizes."""
    start = 0
    while start < len(samples):
        size = sizes[start % len(sizes)]
        yield samples[start : start + size]
        start += size


@pytest.mark.parametrize("num_samples", [1, 399, 400, 401, 5120, 16000, 16001, 16639, 20480, 48123])
def test_encoded_frames_are_those_of_the_padded_whole_without_the_delay(num_samples):
    rng = np.random.default_rng(num_samples)
    samples = (0.3 * rng.standard_normal(num_samples)).astype(np.float32)
    engine = tones.ToneEngine()
    stream = ListenerStream(engine, tones.manifest())
    for piece in pieces_of(samples, [7, 160, 1601, 3999]):
        stream.accept(piece)
    heard = stream.finish()
    valid = -(-num_frames(num_samples + 3200, tones.FEATURES) // 4)
    padded = np.concatenate([samples, np.zeros(3200 + 4 * 640, dtype=np.float32)])
    expected = engine.encode(log_mel(padded, tones.FEATURES)[: 4 * valid])
    assert heard.encoded.shape == (1, valid, tones.BANDS)
    assert heard.ctc_log_probs.shape == (valid, tones.VOCABULARY)
    np.testing.assert_array_equal(heard.encoded[0], expected)
    np.testing.assert_array_equal(heard.keys[0], expected)


def test_any_chunking_gives_the_same_result():
    samples = say("one three two four one")
    results = []
    for sizes in ([len(samples)], [160], [1, 5000], [333, 4001, 12]):
        utterance = Utterance(tones.setup())
        for piece in pieces_of(samples, sizes):
            utterance.accept(piece)
        result = utterance.finish().to_dict()
        del result["rtf"], result["latency_ms"]
        results.append(result)
    assert results[0]["text"] == "one three two four one"
    assert all(result == results[0] for result in results)


def led_by_a_language_model(**search):
    """A setup whose texts are sought along the CTC head's frames, which hear but the "thr" of "three"."""
    model = estimate(["one two", "three three", "two four"], 3, tones.TABLE)
    base = tones.setup()
    scorers = (NgramScorer(model, 0.3, tones.TABLE.sos_id),)
    return replace(base, scorers=scorers, search=replace(base.search, **search))


def test_with_a_language_model_any_chunking_gives_the_same_result_and_so_does_spelling_ahead():
    samples, results = say("one two four two"), []
    for sizes in ([len(samples)], [160], [333, 4001, 12]):
        utterance = Utterance(led_by_a_language_model())
        for piece in pieces_of(samples, sizes):
            utterance.accept(piece)
            if len(sizes) == 3:
                utterance.spell_ahead()
        result = utterance.finish().to_dict()
        del result["rtf"], result["latency_ms"]
        results.append(result)
    assert results[0]["text"] == "one two four two"
    assert all(result == results[0] for result in results)
    without = Recognizer(led_by_a_language_model(prefixes=0)).transcribe(samples)
    assert without.text == "one two four two"


def test_the_speller_is_asked_once_a_token_and_only_at_the_end():
    setup = led_by_a_language_model()
    utterance = Utterance(setup)
    utterance.accept(say("one two four two"))
    assert setup.engine.speller_calls == 0
    assert utterance.finish().text == "one two four two"
    # Four words, one more by mistake in a rival at most, and the end.
    assert setup.engine.speller_calls in (5, 6)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_words_have_times_and_confidences(beam_size):
    recognizer = Recognizer(tones.setup(beam_size=beam_size))
    result = recognizer.transcribe(say("one three four", word_s=0.32, gap_s=0.48))
    assert result.text == "one three four"
    assert result.finished
    for index, word in enumerate(result.words):
        start_s = 0.48 + index * 0.8
        assert word.start_s == pytest.approx(start_s, abs=0.13)
        assert word.end_s == pytest.approx(start_s + 0.32, abs=0.13)
        assert word.confidence == pytest.approx(0.9, abs=0.01)
    assert result.confidence == pytest.approx(0.9, abs=0.01)
    assert result.duration_s == pytest.approx(2.88)
    assert 0 < result.rtf < 1 and 0 < result.latency_ms < 1000


def test_nbest_is_ranked_and_without_repeats():
    result = Recognizer(tones.setup()).transcribe(say("one two"))
    texts = [item.text for item in result.nbest]
    scores = [item.score for item in result.nbest]
    assert texts[0] == "one two" and len(texts) > 1
    assert len(set(texts)) == len(texts)
    assert scores == sorted(scores, reverse=True)


def test_partial_text_grows_while_speech_arrives():
    samples = say("one two four one")
    utterance = Utterance(tones.setup())
    seen = []
    for piece in pieces_of(samples, [800]):
        utterance.accept(piece)
        seen.append(utterance.partial())
    assert seen[0] == ""
    assert all(later.startswith(earlier) for earlier, later in zip(seen, seen[1:], strict=False))
    assert seen[-1].startswith("one two")
    assert utterance.finish().text == "one two four one"


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.5, 6.0])
def test_digital_silence_gives_no_text_and_no_search(seconds):
    setup = tones.setup()
    result = Recognizer(setup).transcribe(np.zeros(int(seconds * RATE), dtype=np.float32))
    assert (result.text, result.words, result.nbest, result.confidence) == ("", (), (), 0.0)
    assert result.duration_s == pytest.approx(seconds)
    assert setup.engine.speller_calls == 0


def test_faint_noise_and_toneless_noise_give_no_text():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(3 * RATE).astype(np.float32)
    for level in (1e-5, 1e-3):
        assert Recognizer(tones.setup()).transcribe(np.float32(level) * noise).text == ""


def test_a_faint_tone_is_refused_by_level_and_an_unsure_one_by_confidence(monkeypatch):
    assert Recognizer(tones.setup()).transcribe(say("one", level=3e-4)).text == ""
    setup = tones.setup()
    real_step = setup.engine.speller_step

    def unsure_step(*arguments):
        log_probs, state = real_step(*arguments)
        return log_probs + np.float32(np.log(0.1)), state

    monkeypatch.setattr(setup.engine, "speller_step", unsure_step)
    assert Recognizer(setup).transcribe(say("one two")).text == ""


def test_misuse_is_refused():
    utterance = Utterance(tones.setup(max_utterance_s=1.0))
    utterance.accept(np.zeros(RATE, dtype=np.float32))
    with pytest.raises(AudioError, match="longer than 1 s"):
        utterance.accept(np.zeros(1, dtype=np.float32))
    for bad in (np.nan, np.inf):
        with pytest.raises(AudioError, match="NaN or infinite"):
            Utterance(tones.setup()).accept(np.array([0.0, bad], dtype=np.float32))
    utterance.finish()
    with pytest.raises(AudioError, match="after the end"):
        utterance.accept(np.zeros(1, dtype=np.float32))


def test_tokens_are_bounded_by_duration(monkeypatch):
    setup = tones.setup()
    real_step = setup.engine.speller_step

    def endless_step(token, encoded, keys, mask, state):
        log_probs, state = real_step(token, encoded, keys, mask, state)
        log_probs[:, 3] = -20.0
        log_probs[:, 4:] = -1.0 - 0.1 * np.arange(5)
        spread = np.full_like(state["alignment"], 1.0 / state["alignment"].shape[1])
        return log_probs, {**state, "alignment": spread}

    monkeypatch.setattr(setup.engine, "speller_step", endless_step)
    result = Recognizer(setup).transcribe(say("one two"))
    assert setup.engine.speller_calls <= int(8 * result.duration_s) + 4 + 1
    assert not result.finished


def test_spelled_ahead_the_end_is_there_at_once_and_the_same():
    setup = tones.setup()
    plain, ahead = Utterance(setup), Utterance(setup)
    samples = say("one three two")
    for utterance in (plain, ahead):
        utterance.accept(samples)
    ahead.spell_ahead()
    calls = setup.engine.speller_calls, setup.engine.chunks
    found = ahead.finish()
    assert (setup.engine.speller_calls, setup.engine.chunks) == calls
    expected = plain.finish()
    assert (found.text, found.words, found.nbest) == (expected.text, expected.words, expected.nbest)
    assert found.text == "one three two"
    assert found.rtf > 0.0


def test_what_comes_after_spelling_ahead_is_heard():
    utterance = Utterance(tones.setup())
    utterance.accept(say("one"))
    utterance.spell_ahead()
    utterance.accept(say("four"))
    utterance.spell_ahead()
    utterance.accept(np.zeros(0, dtype=np.float32))
    utterance.accept(say("two"))
    assert utterance.partial() == "one four two"
    assert utterance.finish().text == "one four two"


def test_the_gate_weighs_what_both_networks_say():
    samples = say("one two")
    setup = tones.setup()
    heard = Recognizer(setup).transcribe(samples)
    assert heard.text == "one two"
    # By these weights speech is what the CTC head hears well: it is sure of "one" and "two".
    config = ConfidenceConfig(speech_bias=-3.0, speech_heard=1.0)
    for least, text in ((0.5, "one two"), (0.99999, "")):
        strict = replace(setup, confidence=config, gate=replace(setup.gate, gate_min_speech=least))
        assert Recognizer(strict).transcribe(samples).text == text
    wary = replace(setup, gate=replace(setup.gate, gate_min_confidence=heard.confidence + 1e-6))
    assert Recognizer(wary).transcribe(samples).text == ""


def test_a_grammar_brings_its_own_evidence_of_speech():
    grammar = phrases_grammar(["one", "four"], alphabet_of(tones.TABLE), "en")
    setup = tones.setup()
    deaf = Recognizer(replace(setup, gate=replace(setup.gate, gate_min_ctc_tokens=99.0)))
    assert deaf.transcribe(say("one")).text == ""
    # What refuses any other text does not refuse a sentence that fits.
    assert deaf.with_grammar(grammar).transcribe(say("one")).text == "one"
    # To weights that believe nothing nothing was said, and if it was speech, it was something else.
    doubting = replace(setup, confidence=ConfidenceConfig(command_bias=-99.0))
    found = Recognizer(doubting).with_grammar(grammar).transcribe(say("one"))
    assert (found.text, found.intent["heard"], found.intent["intent"]) == ("", "one", None)
    silenced = replace(doubting, gate=deaf.setup.gate)
    assert Recognizer(silenced).with_grammar(grammar).transcribe(say("one")).intent is None


def test_a_sentence_must_not_lose_too_much():
    grammar = phrases_grammar(["one", "one two"], alphabet_of(tones.TABLE), "en")
    setup = tones.setup()
    gate = replace(setup.gate, gate_min_command=0.0, gate_min_confidence=0.0)
    credulous = Recognizer(replace(setup, gate=gate))
    for most, intent in ((1e9, "phrase"), (1.0, None)):
        held = credulous.with_grammar(grammar, ConstraintConfig(grammar_max_loss=most))
        found = held.transcribe(say("four four"))
        assert found.intent["intent"] == intent
        assert bool(found.text) == (intent is not None)
