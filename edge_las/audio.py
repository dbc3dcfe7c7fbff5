"""Sound in: PCM and float, files of any rate and channel count, resampling, level."""

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_las.channels import ChannelMixer
from edge_las.containers import WavLayout, check_aiff, check_ogg, read_wav_blocks, wav_layout
from edge_las.errors import AudioError, DeviceError, one_line, system_reason

FloatArray = npt.NDArray[np.float32]

PCM_SCALE = 32768
# What `level_dbfs` gives for silence, instead of minus infinity.
SILENCE_DBFS = -120.0

_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "AIFF", "MP3")
_ADVICE = "WAV, FLAC, Ogg, MP3 and AIFF can be read"
_RATES_HZ = (1000, 768000)
# Bounds memory where a file says it has thousands of channels.
_MAX_BLOCK_VALUES = 1 << 20


def pcm_to_float(pcm: npt.NDArray[np.int16]) -> FloatArray:
    """Scale 16-bit PCM to float32 in [-1, 1)."""
    if pcm.dtype != np.int16:
        raise TypeError(f"pcm must be int16, not {pcm.dtype}")
    return pcm.astype(np.float32) * np.float32(1 / PCM_SCALE)


def float_to_pcm(samples: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int16]:
    """Round, clip and cast float samples to 16-bit PCM.

    Raises: AudioError if a sample is NaN or infinite.
    """
    _check_finite(samples, "samples")
    scaled = np.rint(samples * np.float32(PCM_SCALE))
    pcm: npt.NDArray[np.int16] = np.clip(scaled, -PCM_SCALE, PCM_SCALE - 1).astype(np.int16)
    return pcm


def level_dbfs(samples: FloatArray) -> float:
    """Measure the RMS level in dB; 0 is a full-scale square wave, SILENCE_DBFS is silence."""
    if samples.size == 0:
        return SILENCE_DBFS
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(SILENCE_DBFS, 10.0 * math.log10(power)) if power > 0.0 else SILENCE_DBFS


def read_audio(path: str | Path, sample_rate: int = 16000) -> FloatArray:
    """Read a whole file, mixed down and resampled, as float32 (S,).

    Raises: AudioError naming the file.
    """
    return np.concatenate(list(stream_audio(path, sample_rate, block_s=10.0)))


def stream_audio(path: str | Path, sample_rate: int = 16000, block_s: float = 1.0) -> Iterator[FloatArray]:
    """Read a file in blocks (s,) of about `block_s` seconds, mixed down and resampled, in bounded memory.

    Raises: AudioError naming the file: at the call if it cannot be read or is visibly cut off, during the
    iteration if it turns out to end early or holds NaN.
    """
    source = _Source(path)
    return source.blocks(sample_rate, block_s)


def audio_duration(path: str | Path) -> float:
    """Tell the length of a file in seconds from its header.

    Raises: AudioError naming the file.
    """
    source = _Source(path)
    if source.frames is None:
        count = sum(len(block) for block in stream_audio(path, source.sample_rate))
        return count / source.sample_rate
    if source.frames == 0:
        raise AudioError(f"{path}: has no samples")
    return source.frames / source.sample_rate


class StreamingResampler:
    """Resample one stream of mono float32 that arrives in pieces."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream: Any = None
        if from_hz != to_hz:
            soxr = _soxr()
            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")

    def accept(self, samples: FloatArray) -> FloatArray:
        """Take samples (s,) and return those that are ready (r,); some tens of milliseconds stay inside."""
        if self._stream is None:
            return samples
        ready: FloatArray = self._stream.resample_chunk(samples)
        return ready

    def finish(self) -> FloatArray:
        """Return the samples still inside; the resampler cannot be used after."""
        rest: FloatArray = np.zeros(0, dtype=np.float32)
        if self._stream is not None:
            rest = self._stream.resample_chunk(rest, last=True)
        return rest


class _Source:
    """A checked file: what its header says, and its blocks."""

    def __init__(self, path: str | Path) -> None:
        self.sample_rate: int
        self.channels: int
        self._path = path
        self._wav = self._check_container()
        if self._wav is not None and self._wav.readable:
            self.sample_rate, self.channels = self._wav.sample_rate, self._wav.channels
            self.frames: int | None = self._wav.frames
        else:
            with self._open_soundfile() as sound:
                self.sample_rate, self.channels = sound.samplerate, sound.channels
                # A FLAC written to a pipe states no length; libsndfile then gives a huge number.
                self.frames = sound.frames if 0 <= sound.frames < 1 << 62 else None
                self._check_end(sound)
        low, high = _RATES_HZ
        if not low <= self.sample_rate <= high:
            raise AudioError(f"{path}: has a sample rate of {self.sample_rate} Hz, must be {low} to {high}")

    def blocks(self, sample_rate: int, block_s: float) -> Iterator[FloatArray]:
        """Yield mono blocks at `sample_rate`."""
        resampler = StreamingResampler(self.sample_rate, sample_rate)
        frames = round(block_s * self.sample_rate)
        frames = max(1, min(frames, _MAX_BLOCK_VALUES // max(1, self.channels)))
        return self._blocks(resampler, frames)

    def _blocks(self, resampler: StreamingResampler, block_frames: int) -> Iterator[FloatArray]:
        count, mixer = 0, ChannelMixer(self.channels)
        for block in self._raw_blocks(block_frames):
            count += block.shape[0]
            _check_finite(block, str(self._path))
            ready = resampler.accept(mixer.accept(block))
            if ready.size:
                yield ready
        if count == 0:
            raise AudioError(f"{self._path}: has no samples")
        if self.frames is not None and count < self.frames:
            raise AudioError(f"{self._path}: is truncated: has {count} of {self.frames} samples")
        rest = resampler.finish()
        if rest.size:
            yield rest

    def _raw_blocks(self, block_frames: int) -> Iterator[FloatArray]:
        if self._wav is not None and self._wav.readable:
            with open(self._path, "rb") as file:
                try:
                    yield from read_wav_blocks(file, self._wav, block_frames)
                except AudioError as error:
                    raise AudioError(f"{self._path}: {error}") from None
            return
        with self._open_soundfile() as sound:
            while True:
                try:
                    block = sound.read(block_frames, dtype="float32", always_2d=True)
                except RuntimeError as error:
                    raise AudioError(f"{self._path}: is damaged or truncated: {one_line(error)}") from None
                if not len(block):
                    return
                yield block

    def _check_container(self) -> WavLayout | None:
        try:
            status = os.stat(self._path)
            if not stat.S_ISREG(status.st_mode):
                raise AudioError(
                    "is a directory" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
                )
            if status.st_size == 0:
                raise AudioError("is empty (0 bytes)")
            with open(self._path, "rb") as file:
                if file.read(4) == b"OggS":
                    check_ogg(file, status.st_size)
                check_aiff(file, status.st_size)
                return wav_layout(file, status.st_size)
        except AudioError as error:
            raise AudioError(f"{self._path}: {error}") from None
        except OSError as error:
            raise AudioError(f"{self._path}: {system_reason(error)}") from None
        except ValueError as error:  # a zero byte in the name
            raise AudioError(f"{self._path}: {error}") from None

    def _check_end(self, sound: Any) -> None:
        """Seek to the last sample: a FLAC file that was cut off is found out before it is used."""
        if sound.format != "FLAC" or not self.frames:
            return
        try:
            sound.seek(self.frames - 1)
            found = len(sound.read(1))
        except RuntimeError:
            found = 0
        if not found:
            raise AudioError(f"{self._path}: is truncated: its last of {self.frames} samples is missing")

    def _open_soundfile(self) -> Any:
        soundfile = _soundfile(self._path)
        try:
            sound = soundfile.SoundFile(os.fsencode(self._path))  # a name need not be UTF-8
        except (RuntimeError, TypeError, ValueError) as error:
            reason = one_line(error).rpartition("': ")[2].rstrip(".")  # libsndfile's repeats the file's name
            if reason.startswith("File does not exist"):  # said of MP3 without a whole frame
                reason = "it ends too early"
            raise AudioError(f"{self._path}: not audio that can be read: {reason} ({_ADVICE})") from None
        if sound.format not in _FORMATS:
            sound.close()
            raise AudioError(f"{self._path}: {sound.format} files are not supported ({_ADVICE})")
        return sound


def _soundfile(path: str | Path) -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: libsndfile itself is missing
        raise DeviceError(
            f"{path}: anything but plain WAV needs soundfile: pip install soundfile ({one_line(error)})"
        ) from None
    return soundfile


def _soxr() -> Any:
    try:
        import soxr
    except ImportError as error:
        raise DeviceError(f"resampling needs soxr: pip install soxr ({one_line(error)})") from None
    return soxr


def _check_finite(samples: npt.NDArray[Any], name: str) -> None:
    # A sum is not finite if any sample is not: no temporary array in the usual case.
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(samples.sum()) or bool(np.isfinite(samples).all()):
            return
    raise AudioError(f"{name}: holds samples that are NaN or infinite")
