import os
import time
from types import SimpleNamespace

import numpy as np
import pytest

from edge_las.errors import AudioError, DeviceError
from edge_las.runtime import inputs, microphone
from edge_las.runtime.inputs import find_device, input_devices, possible_rates
from edge_las.runtime.microphone import Microphone, MicrophoneConfig
from edge_las.runtime.sources import FileSource, PcmSource


class PortAudioError(Exception):
    pass


class FakePortAudio:
    """Stands in for the module sounddevice; `stream` is the last one opened."""

    PortAudioError = PortAudioError

    def __init__(self):
        self.entries = [
            ("HDA Intel: Analog", 0, 48000.0),
            ("USB Mic: Audio (hw:1,0)", 2, 44100.0),
            ("USB Cam: Audio (hw:2,0)", 1, 48000.0),
        ]
        self.default = SimpleNamespace(device=[2, 0])
        self.rates = {44100, 48000}
        self.stream = None

    def query_hostapis(self):
        return ({"name": "ALSA"},)

    def query_devices(self):
        return [
            {"name": name, "hostapi": 0, "max_input_channels": channels, "default_samplerate": rate}
            for name, channels, rate in self.entries
        ]

    def check_input_settings(self, device, channels, dtype, samplerate):
        # As USB microphones do: their own rates, their own number of channels.
        if samplerate not in self.rates or channels != self.entries[device][1]:
            raise PortAudioError("Invalid sample rate")

    def InputStream(self, **settings):  # noqa: N802
        if not self.entries[settings["device"]][1]:
            raise PortAudioError("Device unavailable")
        self.stream = SimpleNamespace(active=True, settings=settings)
        self.stream.start = lambda: None
        self.stream.abort = self.stream.close = lambda ignore_errors: setattr(self.stream, "active", False)
        return self.stream

    def _terminate(self):
        pass

    def _initialize(self):
        pass

    def say(self, samples, overflow=False):
        status = SimpleNamespace(input_overflow=overflow)
        self.stream.settings["callback"](samples, len(samples), None, status)


@pytest.fixture
def portaudio(monkeypatch):
    fake = FakePortAudio()
    monkeypatch.setattr(inputs, "sounddevice", lambda: fake)
    monkeypatch.setattr(microphone, "WAIT_S", 0.001)
    return fake


def test_devices_are_found_by_index_name_and_part(portaudio):
    assert [device.index for device in input_devices()] == [1, 2]
    assert find_device(None).index == 2
    assert find_device("1").index == find_device("usb mic").index == 1
    assert find_device("USB Cam: Audio (hw:2,0)").index == 2
    for wanted in ("7", "headset", "0"):
        with pytest.raises(DeviceError, match=rf"'{wanted}'; there are: 1 'USB Mic.*', 2 'USB Cam"):
            find_device(wanted)
    with pytest.raises(DeviceError, match="fits 2 input devices: 1 'USB Mic"):
        find_device("usb")
    portaudio.entries = portaudio.entries[:1]
    with pytest.raises(DeviceError, match="no microphone headset found"):
        find_device("headset")


def test_a_stereo_device_of_44100_hz_is_resampled_and_mixed(portaudio):
    source = Microphone(MicrophoneConfig("usb mic"), 16000)
    assert (source.rate_hz, source.channels) == (44100, 2)
    assert possible_rates(source.device) == [(44100, 2), (48000, 2)]
    tone = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
    stereo = np.stack([tone, 0 * tone], axis=1).astype(np.float32)
    heard = []
    for start in range(0, 44100, 2205):
        portaudio.say(stereo[start : start + 2205])
        heard.append(source.read().samples)
    heard = np.concatenate(heard)
    assert 15000 < heard.size <= 16000
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(heard.size) / 16000)
    np.testing.assert_allclose(heard[200:-200], expected[200:-200], atol=0.01)


def test_a_full_queue_drops_counts_and_stays_bounded(portaudio):
    source = Microphone(MicrophoneConfig("1"), 16000)
    block = np.zeros((2205, 2), dtype=np.float32)
    for _ in range(130):
        portaudio.say(block)
    portaudio.say(block, overflow=True)
    first = source.read()
    # 100 blocks are 5 s; 31 were dropped, and the device itself lost something once.
    assert (first.overflows, first.lost_s) == (32, pytest.approx(31 * 0.05))
    blocks = [source.read() for _ in range(99)]
    assert all(item.overflows == 0 for item in blocks)
    assert source.read().samples.size == 0


def test_the_callback_copies(portaudio):
    portaudio.rates = {16000}
    portaudio.entries[1] = ("USB Mic", 1, 16000.0)
    source = Microphone(MicrophoneConfig("1"), 16000)
    buffer = np.full((800, 1), 0.5, dtype=np.float32)
    portaudio.say(buffer)
    buffer[:] = 0
    assert source.read().samples.tolist() == [0.5] * 800


@pytest.mark.parametrize("how", ["inactive", "stalled"])
def test_a_device_that_goes_and_comes_back(portaudio, monkeypatch, how):
    monkeypatch.setattr(microphone, "_RETRY_S", 0.01)
    source = Microphone(MicrophoneConfig("usb mic"), 16000)
    if how == "inactive":
        portaudio.stream.active = False
    else:
        monkeypatch.setattr(microphone, "_STALL_S", 0.0)
    gone = source.read()
    assert gone.interrupted and "'USB Mic: Audio (hw:1,0)' is gone" in gone.notice
    monkeypatch.setattr(microphone, "_STALL_S", 4.0)
    usb = portaudio.entries.pop(1)
    for _ in range(5):
        time.sleep(0.005)
        assert source.read().notice == ""
    portaudio.entries.append(usb)  # at another index
    portaudio.rates = {48000}
    deadline = time.monotonic() + 5
    while not (notice := source.read().notice):
        assert time.monotonic() < deadline
    assert notice == "input device 2 'USB Mic: Audio (hw:1,0)' is back at 48000 Hz"
    portaudio.say(np.ones((4800, 2), dtype=np.float32))
    assert source.read().samples.size > 0
    source.close()
    source.close()


@pytest.mark.parametrize("failing", ["_initialize", "query_devices"])
def test_an_audio_system_that_is_gone_is_waited_for(portaudio, monkeypatch, failing):
    monkeypatch.setattr(microphone, "_RETRY_S", 0.0)
    source = Microphone(MicrophoneConfig("usb mic"), 16000)
    portaudio.stream.active = False
    assert source.read().interrupted
    works = getattr(portaudio, failing)
    setattr(portaudio, failing, lambda: (_ for _ in ()).throw(PortAudioError("Internal error")))
    assert source.read().notice == ""
    setattr(portaudio, failing, works)
    assert "is back" in source.read().notice


def test_what_cannot_be_opened_is_named(portaudio):
    portaudio.rates = set()
    with pytest.raises(DeviceError, match=r"1 'USB Mic.*refuses every usual rate"):
        Microphone(MicrophoneConfig("1"), 16000)
    portaudio.InputStream = lambda **settings: (_ for _ in ()).throw(PortAudioError("Device\nunavailable"))
    with pytest.raises(DeviceError, match=r"1 'USB Mic.*: Device unavailable"):
        Microphone(MicrophoneConfig("1", 48000, 2), 16000)


def pcm_source(data, channels=1, rate=16000):
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return PcmSource(reader, rate, channels, 16000)


def read_all(source):
    parts = []
    while (block := source.read()) is not None:
        parts.append(block.samples)
    source.close()
    return np.concatenate(parts)


def test_pcm_from_a_pipe():
    pcm = np.arange(-3000, 3000, dtype="<i2")
    np.testing.assert_array_equal(read_all(pcm_source(pcm.tobytes())), pcm.astype(np.float32) / 32768)
    stereo = np.stack([pcm, pcm], axis=1)
    np.testing.assert_array_equal(read_all(pcm_source(stereo.tobytes(), 2)), pcm.astype(np.float32) / 32768)
    assert read_all(pcm_source(pcm.tobytes(), 1, 48000)).size == 2000
    with pytest.raises(AudioError, match="within a sample"):
        read_all(pcm_source(pcm.tobytes() + b"x", 2))
    with pytest.raises(AudioError, match="standard input is a WAV file, must be raw"):
        read_all(pcm_source(b"RIFF" + pcm.tobytes()))


def test_a_pipe_without_data_does_not_block():
    reader, writer = os.pipe()
    source = PcmSource(reader, 16000, 1, 16000)
    started = time.monotonic()
    assert source.read().samples.size == 0
    assert time.monotonic() - started < 2.0
    os.close(writer)


def test_a_file_is_a_source(clips_dir):
    assert read_all(FileSource(clips_dir / "speech_commands-13060.wav", 16000)).size == 16000
