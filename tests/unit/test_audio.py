import io
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_las.audio import (
    SILENCE_DBFS,
    StreamingResampler,
    audio_duration,
    float_to_pcm,
    level_dbfs,
    pcm_to_float,
    read_audio,
    stream_audio,
)
from edge_las.errors import AudioError

WAV_SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")
CUT_FORMATS = [
    *(("WAV", subtype) for subtype in WAV_SUBTYPES),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "OPUS"),
    ("OGG", "VORBIS"),
    ("MP3", "MPEG_LAYER_III"),
]


def tone(seconds: float = 0.5, rate: int = 16000, hz: float = 440.0) -> np.ndarray:
    time_s = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)


def noise(frames: int, channels: int = 1) -> np.ndarray:
    values = np.random.default_rng(0).uniform(-0.9, 0.9, (frames, channels))
    return values.astype(np.float32)


def encode(samples: np.ndarray, rate: int, kind: str, subtype: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def refusal(path: Path) -> str:
    """Return the message of the AudioError that reading must end with."""
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"{path}: ")
    return message


@pytest.mark.parametrize("subtype", WAV_SUBTYPES)
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_is_read_as_libsndfile_reads_it(subtype: str, channels: int, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(5000, channels), 16000, subtype=subtype)
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
    samples = read_audio(path)
    assert samples.dtype == np.float32
    assert np.array_equal(samples, expected)
    assert audio_duration(path) == pytest.approx(5000 / 16000)


@pytest.mark.parametrize("kind, subtype", CUT_FORMATS)
@pytest.mark.parametrize("rate", [8000, 48000])
def test_any_rate_and_channel_count_becomes_16_khz_mono(
    kind: str, subtype: str, rate: int, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    left = tone(1.0, rate)
    path.write_bytes(encode(np.stack([left, np.zeros_like(left)], axis=1), rate, kind, subtype))
    samples = read_audio(path)
    assert abs(len(samples) - 16000) <= 1
    expected = 0.5 * tone(1.0)
    middle = slice(2000, 14000)
    error = samples[: len(expected)][middle] - expected[middle]
    assert np.sqrt(np.mean(error**2)) < 0.02  # lossy codecs included
    assert audio_duration(path) == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_stream_and_whole_file_are_the_same_samples(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(rate * 3, 2), rate)
    whole = read_audio(path)
    for block_s in (0.01, 0.3, 100.0):
        blocks = list(stream_audio(path, block_s=block_s))
        assert np.allclose(np.concatenate(blocks), whole, atol=1e-6)
    assert len(blocks) <= 2 and abs(len(whole) - 48000) <= 1


@pytest.mark.parametrize("kind, subtype", CUT_FORMATS)
def test_a_file_that_was_cut_off_anywhere_is_refused(kind: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    whole = encode(noise(20000, 2), 48000, kind, subtype)
    near_ends = [4, 11, 12, 20, 36, 44, 46, 60, 100, len(whole) - 100, len(whole) - 2, len(whole) - 1]
    between = np.random.default_rng(0).integers(1, len(whole), 15).tolist()
    for length in near_ends + between:
        path.write_bytes(whole[:length])
        refusal(path)
    path.write_bytes(whole)
    assert len(read_audio(path)) > 6000


def test_truncation_of_wav_and_flac_is_seen_before_the_first_block(tmp_path: Path) -> None:
    for kind, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS")):
        path = tmp_path / f"a.{kind.lower()}"
        path.write_bytes(encode(noise(48000), 48000, kind, subtype)[:-3000])
        with pytest.raises(AudioError, match="truncated"):
            stream_audio(path)  # not even iterated
        with pytest.raises(AudioError, match="truncated"):
            audio_duration(path)


def test_an_ogg_file_cut_between_pages_is_refused(tmp_path: Path) -> None:
    whole = encode(noise(48000 * 3), 48000, "OGG", "OPUS")
    last_page = whole.rindex(b"OggS")
    path = tmp_path / "a.opus"
    path.write_bytes(whole[:last_page])
    assert "last Ogg page is missing" in refusal(path)
    path.write_bytes(whole[:last_page] + b"junk" * 20)
    assert "no Ogg page" in refusal(path)


@pytest.mark.parametrize("kind, subtype", [("OGG", "OPUS"), ("OGG", "VORBIS"), ("FLAC", "PCM_16")])
def test_a_flipped_bit_inside_the_audio_is_noticed(kind: str, subtype: str, tmp_path: Path) -> None:
    whole = encode(noise(16000), 16000, kind, subtype)
    path = tmp_path / f"a.{kind.lower()}"
    rng = np.random.default_rng(0)
    for _ in range(30):
        damaged = bytearray(whole)
        damaged[rng.integers(200, len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        assert "damaged" in refusal(path) or "truncated" in refusal(path)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFFFDB])
def test_wav_written_to_a_pipe_states_no_length_and_is_read_to_its_end(size: int, tmp_path: Path) -> None:
    whole = bytearray(encode(noise(3000), 16000, "WAV", "PCM_16"))
    at = whole.index(b"data") + 4
    whole[at : at + 4] = size.to_bytes(4, "little")
    path = tmp_path / "a.wav"
    path.write_bytes(whole)
    assert len(read_audio(path)) == 3000
    path.write_bytes(whole[: at + 4])
    assert "no samples" in refusal(path)


def test_chunks_around_the_audio_are_skipped(tmp_path: Path) -> None:
    whole = encode(noise(100), 16000, "WAV", "PCM_16")
    at = whole.index(b"data")
    odd = b"odd \x03\x00\x00\x00abc\x00"
    path = tmp_path / "a.wav"
    path.write_bytes(whole)
    expected = read_audio(path)
    path.write_bytes(whole[:at] + odd + whole[at:] + b"LIST\xff\x00\x00\x00cut")
    assert np.array_equal(read_audio(path), expected)
    empty = whole[:at] + b"data\x00\x00\x00\x00LIST\x04\x00\x00\x00INFO"
    path.write_bytes(empty)
    assert "no samples" in refusal(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_nan_and_infinite_samples_are_refused(bad: float, subtype: str, tmp_path: Path) -> None:
    samples = noise(50000)[:, 0].astype(np.float64)
    samples[40000] = bad
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, 16000, subtype=subtype)
    assert "NaN or infinite" in refusal(path)


def test_a_double_too_large_for_float_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(100, 1e300), 16000, subtype="DOUBLE")
    assert "NaN or infinite" in refusal(path)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.wav", b"", "is empty"),
        ("a.wav", b"this is a text, not a sound\n" * 50, "not audio"),
        ("a.txt", b"x", "not audio"),
        ("a.raw", b"\0" * 1000, "not audio"),
        ("a.wav", b"RIFF", "truncated"),
        ("a.wav", b"RIFF\x24\x00\x00\x00AVI LIST", "not audio"),
        ("a.ogg", b"OggS", "truncated"),
        ("a.flac", b"fLaC" + b"\0" * 100, "not audio"),
        ("a.wav", b"RIFF\x24\x00\x00\x00WAVEdata\x04\x00\x00\x00abcd", "no usable fmt"),
    ],
)
def test_what_is_no_audio_is_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert message in refusal(path)
    with pytest.raises(AudioError):
        audio_duration(path)


def test_missing_files_folders_and_other_formats_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.wav")
    assert "is a directory" in refusal(tmp_path)
    path = tmp_path / "a.au"
    path.write_bytes(encode(noise(100), 16000, "AU", "PCM_16"))
    assert "AU files are not supported" in refusal(path)
    with pytest.raises(AudioError, match="null byte"):
        read_audio("a\0b.wav")


def test_a_name_need_not_be_utf_8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path / "a") + b"\xff.flac"))
    path.write_bytes(encode(noise(16000), 16000, "FLAC", "PCM_16"))
    assert len(read_audio(path)) == 16000
    path.write_bytes(b"no audio")
    with pytest.raises(AudioError, match="Format not recognised"):
        read_audio(path)


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_zero_samples_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(encode(np.zeros((0, 1)), 16000, kind, "PCM_16"))
    assert "no samples" in refusal(path)
    with pytest.raises(AudioError, match="no samples"):
        audio_duration(path)


def test_headers_that_lie_are_refused(tmp_path: Path) -> None:
    whole = bytearray(encode(noise(100), 16000, "WAV", "PCM_16"))
    path = tmp_path / "a.wav"
    for at, length in ((22, 2), (24, 4)):  # channels, sample rate
        damaged = bytearray(whole)
        damaged[at : at + length] = b"\0" * length
        path.write_bytes(damaged)
        refusal(path)


def test_any_flipped_header_byte_gives_samples_or_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    whole = encode(noise(300), 16000, "WAV", "PCM_16")
    for at in range(48):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[at] = value
            path.write_bytes(damaged)
            try:
                assert np.isfinite(read_audio(path)).all()
            except AudioError as error:
                assert "\n" not in str(error)


def test_a_three_hour_wav_streams_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    whole = bytearray(encode(np.zeros(0), 16000, "WAV", "PCM_16"))
    data_bytes = 3 * 3600 * 16000 * 2
    at = whole.index(b"data")
    whole[at + 4 : at + 8] = data_bytes.to_bytes(4, "little")
    with open(path, "wb") as file:
        file.write(whole[: at + 8])
        file.truncate(at + 8 + data_bytes)  # sparse: takes no disk
    assert audio_duration(path) == 3 * 3600
    tracemalloc.start()
    count = 0
    for i, block in enumerate(stream_audio(path)):
        count += len(block)
        if i == 600:
            break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 601 * 16000 and peak < 2_000_000


def test_resampler_in_pieces_equals_one_piece() -> None:
    samples = noise(44100)[:, 0]
    whole = StreamingResampler(44100, 16000)
    expected = np.concatenate([whole.accept(samples), whole.finish()])
    pieces = StreamingResampler(44100, 16000)
    found = [pieces.accept(part) for part in np.array_split(samples, 97)] + [pieces.finish()]
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)
    assert abs(len(expected) - 16000) <= 1


def test_resampler_of_equal_rates_changes_nothing() -> None:
    resampler = StreamingResampler(16000, 16000)
    samples = noise(100)[:, 0]
    assert np.array_equal(resampler.accept(samples), samples)
    assert resampler.finish().size == 0


def test_pcm_survives_the_round_trip_and_is_clipped() -> None:
    pcm = np.arange(-32768, 32768).astype(np.int16)
    floats = pcm_to_float(pcm)
    assert floats.dtype == np.float32 and floats.min() == -1.0 and floats.max() < 1.0
    assert np.array_equal(float_to_pcm(floats), pcm)
    loud = np.array([1.0, 2.0, -1.5, 0.6 / 32768], dtype=np.float32)
    assert float_to_pcm(loud).tolist() == [32767, 32767, -32768, 1]
    with pytest.raises(AudioError, match="NaN"):
        float_to_pcm(np.array([np.nan], dtype=np.float32))
    with pytest.raises(TypeError, match="int16"):
        pcm_to_float(np.zeros(3, dtype=np.int32))


def test_level() -> None:
    assert level_dbfs(np.ones(100, dtype=np.float32)) == 0.0
    assert level_dbfs(tone(1.0)) == pytest.approx(-9.03, abs=0.01)
    assert level_dbfs(np.zeros(100, dtype=np.float32)) == SILENCE_DBFS
    assert level_dbfs(np.zeros(0, dtype=np.float32)) == SILENCE_DBFS


def test_plain_wav_at_16_khz_needs_numpy_only(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1000), 16000, subtype="PCM_16")
    script = (
        "import sys, json; sys.modules['soundfile'] = sys.modules['soxr'] = None\n"
        "from edge_las.audio import read_audio\n"
        "from edge_las.errors import DeviceError\n"
        "found = [len(read_audio(sys.argv[1]))]\n"
        "for name, rate in ((sys.argv[1], 8000), (sys.argv[2], 16000)):\n"
        "    try: read_audio(name, rate)\n"
        "    except DeviceError as error: found.append(str(error))\n"
        "print(json.dumps(found))\n"
    )
    flac = tmp_path / "a.flac"
    soundfile.write(flac, noise(1000), 16000)
    run = subprocess.run(
        [sys.executable, "-c", script, str(path), str(flac)], capture_output=True, text=True, check=True
    )
    count, no_soxr, no_soundfile = json.loads(run.stdout)
    assert count == 1000
    assert "pip install soxr" in no_soxr and "pip install soundfile" in no_soundfile
