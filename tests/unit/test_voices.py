"""Voices: what programs are asked to say, signal tools, and determinism where an engine is installed."""

import json
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from edge_las.domain import synthesize as synth
from edge_las.domain import voices_piper
from edge_las.domain.corpora import clean, collect, digit_texts, everyday_texts
from edge_las.domain.numbers import spell_digits, spell_number
from edge_las.domain.sampling import TemplateSampler
from edge_las.domain.shards import INDEX_HEADER
from edge_las.domain.voices import ENGINES, Voice, dictated, is_digits, is_spelled, list_voices, pick_voice
from edge_las.domain.voices_signal import condition, resample, trim
from edge_las.errors import ConfigError, DeviceError, EdgeLasError

needs_engine = pytest.mark.skipif(
    not (shutil.which("espeak-ng") or shutil.which("flite")), reason="no espeak-ng or flite installed"
)


def tone(frequency_hz: float, seconds: float, sample_rate: int = 16000) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * sample_rate)) / sample_rate).astype(
        np.float32
    )


def test_resampling_moves_a_tone_by_the_ratio():
    out = resample(tone(1000, 1.0), 0.8)
    assert out.size == 12800
    peak_hz = np.argmax(np.abs(np.fft.rfft(out * np.hanning(out.size)))) * 16000 / out.size
    assert peak_hz == pytest.approx(1250, abs=3)
    assert np.abs(out[1000:-1000]).max() == pytest.approx(1.0, abs=0.03)


def test_trim_keeps_fifty_ms_around_sound():
    quiet = np.zeros(8000, np.float32)
    out = trim(np.concatenate([quiet, tone(300, 0.5), quiet]), 16000)
    assert out.size == pytest.approx(8000 + 2 * 800, abs=320)
    assert trim(quiet, 16000).size == 0


def test_condition_sets_level_without_clipping_and_refuses_nan():
    out = condition(tone(200, 1.0) * 0.01, 16000, -20.0)
    assert 20 * np.log10(np.sqrt(np.mean(out**2))) == pytest.approx(-20, abs=1.0)
    assert np.abs(condition(tone(200, 1.0), 16000, 10.0)).max() <= 0.971
    assert condition(np.full(1000, np.nan, np.float32), 16000, -20.0).size == 0


def test_letters_and_digits_are_dictated_and_words_left_alone():
    rng = np.random.default_rng(0)
    assert is_spelled("e l i s e") and is_spelled("b") and not is_spelled("a") and not is_spelled("i am")
    assert is_digits("double four oh") and not is_digits("one") and not is_digits("one more")
    assert dictated("double l a", rng)[0] == "double L, A"
    assert dictated("turn on the light", rng) == ("turn on the light", 1.0)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "zero"),
        (21, "twenty one"),
        (105, "one hundred and five"),
        (1200, "one thousand two hundred"),
        (-3, "minus three"),
    ],
)
def test_numbers_in_words(value, words):
    assert spell_number(value) == words


def test_digit_strings_use_only_digit_words():
    assert spell_digits("5077") == "five zero seven seven"
    texts = collect(digit_texts(np.random.default_rng(3)), 200, 4)
    assert any("double" in t for t in texts) and any(" oh" in t for t in texts)


def test_clean_refuses_what_cannot_be_read():
    assert clean("Set it to 5") is None
    assert clean("in one minutes, 50") is None
    assert clean("wait one minutes") == "wait one minute"
    assert clean("forty one minutes") == "forty one minutes"


def test_everyday_texts_are_clean_and_reproducible():
    first = collect(everyday_texts(np.random.default_rng(5)), 300, 4)
    assert first == collect(everyday_texts(np.random.default_rng(5)), 300, 4)
    assert len(set(first)) > 250


def test_templates_report_unknown_lists_and_endless_rules():
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="unknown list 'room'"):
        TemplateSampler({}, {}).sample("go to {room}", rng)
    with pytest.raises(ConfigError, match="without end"):
        TemplateSampler({"a": "<a> x"}, {}).sample("<a>", rng)


def test_no_engine_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeviceError, match="espeak-ng"):
        list_voices()
    with pytest.raises(ConfigError, match="no engine hal"):
        list_voices(["hal"])


@needs_engine
def test_the_same_seed_speaks_the_same_and_another_differs():
    voices = list_voices()
    voice = pick_voice(voices, np.random.default_rng(1))
    one, again, other = (voice.synthesize("turn on the kitchen light", seed=s) for s in (4, 4, 5))
    assert np.array_equal(one, again)
    assert one.dtype == np.float32 and 0.7 < one.size / 16000 < 3.5
    assert one.size != other.size or not np.array_equal(one, other)
    assert {v.engine for v in voices} <= set(ENGINES)


PIPER = """#!/bin/sh
# Stands in for piper: takes a second's worth of tone from a file, says where it wrote it.
for word in "$@"; do [ "$before" = --output_dir ] && folder=$word; before=$word; done
n=0
while read -r line; do
  [ "$line" = fail ] && { echo "no such voice"; exit 1; }
  n=$((n + 1)); cp "$TONE" "$folder/$n.wav"; echo "INFO:__main__:Wrote $folder/$n.wav" >&2
done
"""


def test_piper_speaks_line_after_line_and_its_end_is_told(tmp_path: Path, monkeypatch):
    for name, speakers, language in (("one", 1, "en-us"), ("many", 100, "en"), ("autre", 1, "fr")):
        (tmp_path / f"{name}.onnx").touch()
        described = {"num_speakers": speakers, "espeak": {"voice": language}}
        (tmp_path / f"{name}.onnx.json").write_text(json.dumps(described))
    with wave.open(str(tmp_path / "tone.wav"), "wb") as writer:
        writer.setparams((1, 2, 22050, 0, "NONE", ""))
        writer.writeframes((3000 * tone(300, 1.0, 22050)).astype("<i2").tobytes())
    (tmp_path / "piper").write_text(PIPER)
    (tmp_path / "piper").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("PIPER_VOICES", str(tmp_path))
    monkeypatch.setenv("TONE", str(tmp_path / "tone.wav"))
    voices_piper._models.cache_clear()
    voices = {voice.name: voice for voice in list_voices(["piper"])}
    assert "one" in voices and "autre" not in voices
    assert len(voices) == 1 + voices_piper.MAX_SPEAKERS and all("many#" in n for n in voices if n != "one")
    for seed in range(8):  # more voices than processes are kept
        assert voices["many#0" if seed % 2 else "one"].synthesize("turn on the light", seed=seed).size > 8000
    assert len(voices_piper._processes) <= voices_piper._MAX_PROCESSES
    with pytest.raises(DeviceError, match="piper: ended without a sound: no such voice"):
        voices["one"].synthesize("fail", seed=1)
    assert voices["one"].synthesize("turn on the light", seed=1).size > 8000
    voices_piper.close_all()
    voices_piper._models.cache_clear()


@needs_engine
def test_a_text_without_sound_is_an_error():
    with pytest.raises(EdgeLasError):
        list_voices()[0].synthesize("'", seed=1)


@needs_engine
def test_synthesis_is_whole_reproducible_and_resumes(tmp_path: Path):
    sentences = [synth.Sentence(f"number {spell_number(i)}", "t") for i in range(6)]
    voices = list_voices()
    for name, jobs in (("a", 1), ("b", 2)):
        synth.synthesize(
            sentences, tmp_path / name, {"train": voices}, synth.SynthesisConfig(seed=3, jobs=jobs)
        )
    audio = np.fromfile(tmp_path / "a/audio.i16", "<i2")
    assert np.array_equal(audio, np.fromfile(tmp_path / "b/audio.i16", "<i2"))
    rows = [line.split("\t") for line in (tmp_path / "a/index.tsv").read_text().splitlines()]
    assert "\t".join(rows[0]) == INDEX_HEADER
    assert len(rows) == 7 and sum(int(r[2]) for r in rows[1:]) == audio.size
    with pytest.raises(ConfigError, match="other texts"):
        synth.synthesize(
            sentences[:3], tmp_path / "a", {"train": voices}, synth.SynthesisConfig(seed=3, jobs=1)
        )


def test_what_decides_the_audio_decides_the_plan():
    sentences, voices = [synth.Sentence("go home", "t")], {"train": [Voice("flite", "slt")]}
    plan = synth.describe_plan(sentences, voices, synth.SynthesisConfig())
    assert synth.describe_plan(list(sentences), dict(voices), synth.SynthesisConfig(jobs=7)) == plan
    others = (
        ([synth.Sentence("go away", "t")], voices, synth.SynthesisConfig()),
        ([synth.Sentence("go home", "t", "dev")], voices, synth.SynthesisConfig()),
        (sentences, {"train": [Voice("flite", "rms")]}, synth.SynthesisConfig()),
        (sentences, voices, synth.SynthesisConfig(seed=2)),
    )
    assert all(synth.describe_plan(*other) != plan for other in others)


def test_sentence_table_errors_name_the_line(tmp_path: Path):
    path = tmp_path / "texts.tsv"
    path.write_text("good\tx\nset to 5\tx\n")
    with pytest.raises(ConfigError, match=r"texts.tsv:2: character '5'"):
        synth.read_sentences(path)


def test_voices_are_drawn_by_weight():
    voices = [Voice("flite", "slt", 3.0), Voice("flite", "rms", 1.0)]
    rng = np.random.default_rng(0)
    share = np.mean([pick_voice(voices, rng).name == "slt" for _ in range(2000)])
    assert share == pytest.approx(0.75, abs=0.04)
