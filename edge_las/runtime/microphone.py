"""Microphones through PortAudio: finding them, recording, losing them and getting them back."""

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
from edge_las.runtime.sources import WAIT_S, Block

FloatArray = npt.NDArray[np.float32]

# Sound that may wait for a slow loop; more is dropped and counted.
QUEUE_S = 5.0
# The first sound of a healthy device has been seen to take 1.7 s.
_STALL_S = 4.0
_RETRY_S = 1.0
# Tried after the device's own.
_RATES_HZ = (48000, 44100, 16000)


@dataclass(frozen=True)
class InputDevice:
    """An input that PortAudio knows."""

    index: int
    name: str
    host: str
    channels: int
    default_hz: int
    is_default: bool

    def __str__(self) -> str:
        return f"{self.index} {self.name!r}"


def sounddevice() -> Any:
    """Import sounddevice, which starts PortAudio.

    Raises: DeviceError telling what to install.
    """
    try:
        import sounddevice as module
    except ImportError:
        raise DeviceError("a microphone needs sounddevice: pip install 'edge-las[mic]'") from None
    except OSError:
        raise DeviceError("a microphone needs PortAudio: apt install libportaudio2") from None
    return module


def rescan() -> None:
    """Make PortAudio look for devices again: it lists them only when it starts."""
    module = sounddevice()
    module._terminate()
    module._initialize()


def input_devices() -> list[InputDevice]:
    """List the inputs."""
    module = sounddevice()
    hosts = module.query_hostapis()
    default = module.default.device[0]
    return [
        _input_device(index, entry, hosts, index == default)
        for index, entry in enumerate(module.query_devices())
        if entry["max_input_channels"] > 0
    ]


def _input_device(index: int, entry: Any, hosts: Any, is_default: bool) -> InputDevice:
    host, rate_hz = hosts[entry["hostapi"]]["name"], round(entry["default_samplerate"])
    return InputDevice(index, entry["name"], host, entry["max_input_channels"], rate_hz, is_default)


def find_device(wanted: str | None) -> InputDevice:
    """Find an input by its index, its name or a part of that; the system's default for None.

    Raises: DeviceError naming what was wanted and what there is.
    """
    devices = input_devices()
    if not devices:
        raise DeviceError(
            f"no microphone {wanted or ''} found: this machine shows no input device".replace("  ", " ")
        )
    there = f"there are: {', '.join(map(str, devices))}"
    if wanted is None:
        found = [device for device in devices if device.is_default] or devices[:1]
    elif wanted.isdecimal():
        found = [device for device in devices if device.index == int(wanted)]
    else:
        found = [device for device in devices if device.name == wanted] or [
            device for device in devices if wanted.lower() in device.name.lower()
        ]
    if not found:
        raise DeviceError(f"no input device {wanted!r}; {there}")
    if len(found) > 1:
        raise DeviceError(f"{wanted!r} fits {len(found)} input devices: {', '.join(map(str, found))}")
    return found[0]


def possible_rates(device: InputDevice, channels: int | None = None) -> list[tuple[int, int]]:
    """List the (rate in Hz, channels) that the device accepts: its own rate first, few channels first."""
    module = sounddevice()
    rates = dict.fromkeys([device.default_hz, *_RATES_HZ])
    counts = [channels] if channels else dict.fromkeys([1, min(2, device.channels), device.channels])
    found = []
    for rate in rates:
        for count in counts:
            try:
                module.check_input_settings(device.index, count, "float32", samplerate=rate)
            except (module.PortAudioError, ValueError):
                continue
            found.append((rate, count))
            break
    return found


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
        module = sounddevice()
        self.device = find_device(self._config.device)
        self.rate_hz, self.channels = self._settings(self.device)
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

    def _settings(self, device: InputDevice) -> tuple[int, int]:
        if self._config.rate_hz:
            return self._config.rate_hz, self._config.channels or 1
        possible = possible_rates(device, self._config.channels)
        if not possible:
            raise DeviceError(
                f"input device {device}: refuses every usual rate, or is in use by another program"
            )
        return possible[0]

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
                rescan()
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
