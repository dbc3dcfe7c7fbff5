"""A microphone through PortAudio: recording, losing it and getting it back."""

import os
import queue
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_las.audio import StreamingResampler
from edge_las.channels import ChannelMixer
from edge_las.errors import DeviceError, one_line
from edge_las.runtime import inputs
from edge_las.runtime.sources import WAIT_S, Block

FloatArray = npt.NDArray[np.float32]

# Sound that may wait for a slow loop; more is dropped and counted.
QUEUE_S = 5.0
# The first sound of a healthy device has been seen to take 1.7 s.
_STALL_S = 4.0
_RETRY_S = 1.0


@dataclass(frozen=True)
class MicrophoneConfig:
    """What to record from: None is the system's default, or the device's own."""

    device: str | None = None
    rate_hz: int | None = None
    channels: int | None = None
    # How much sound comes at once.
    block_s: float = 0.05


class Microphone:
    """A source of live sound; goes on when its device was unplugged and came back."""

    def __init__(self, config: MicrophoneConfig, sample_rate: int) -> None:
        self._config = config
        self._sample_rate = sample_rate
        self._stream: Any = None
        self._retry_at = 0.0
        self._open()

    def _open(self) -> None:
        module = inputs.sounddevice()
        self.device = inputs.find_device(self._config.device)
        self.rate_hz, self.channels = inputs.choose_settings(
            self.device, self._config.rate_hz, self._config.channels
        )
        self._mixer = ChannelMixer(self.channels)
        self._resampler = StreamingResampler(self.rate_hz, self._sample_rate)
        self._queue: queue.Queue[FloatArray] = queue.Queue(round(QUEUE_S / self._config.block_s))
        # Written by the callback alone; the reader remembers how much of it it has reported.
        self._dropped_frames = self._overflows = 0
        self._reported = (0, 0)
        self._heard_at = time.monotonic()
        try:
            stream = module.InputStream(
                samplerate=self.rate_hz,
                channels=self.channels,
                device=self.device.index,
                dtype="float32",
                blocksize=round(self._config.block_s * self.rate_hz),
                callback=self._callback,
            )
            stream.start()
        except (module.PortAudioError, ValueError, OSError) as error:
            raise DeviceError(f"input device {self.device}: {one_line(error)}") from None
        self._stream = stream

    def _callback(self, indata: FloatArray, frames: int, times: Any, status: Any) -> None:
        if status.input_overflow:
            self._overflows += 1
        try:
            self._queue.put_nowait(indata.copy())
        except queue.Full:
            self._dropped_frames += frames
            self._overflows += 1

    def read(self) -> Block:
        """Return the next block, an empty one if there is none within WAIT_S."""
        if self._stream is None:
            return self._try_again()
        try:
            samples = self._queue.get(timeout=WAIT_S)
        except queue.Empty:
            return self._check()
        self._heard_at = time.monotonic()
        overflows, dropped = self._overflows, self._dropped_frames
        reported, self._reported = self._reported, (overflows, dropped)
        lost_s = (dropped - reported[1]) / self.rate_hz
        mixed = self._mixer.accept(samples)
        return Block(self._resampler.accept(mixed), overflows - reported[0], lost_s)

    def _check(self) -> Block:
        if self._stream.active and time.monotonic() - self._heard_at < _STALL_S:
            return Block()
        self.close()
        return Block(
            notice=f"input device {self.device} is gone; waiting for it to come back", interrupted=True
        )

    def _try_again(self) -> Block:
        now = time.monotonic()
        if now < self._retry_at:
            time.sleep(min(WAIT_S, self._retry_at - now))
            return Block()
        self._retry_at = now + _RETRY_S
        try:
            with quiet_stderr():
                inputs.rescan()
                self._open()
        except DeviceError:
            return Block()
        return Block(notice=f"input device {self.device} is back at {self.rate_hz} Hz")

    def close(self) -> None:
        """Stop recording."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(Exception):  # a device that is gone fails in its own way
                stream.abort(ignore_errors=True)
                stream.close(ignore_errors=True)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep PortAudio and ALSA from writing ten lines at each attempt to open a device."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
