"""`edge-las doctor`: looks at microphone, engine, model and machine, and says what to do."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_las.audio import level_dbfs
from edge_las.channels import ChannelMixer
from edge_las.errors import DeviceError, EdgeLasError, one_line
from edge_las.runtime import inputs
from edge_las.runtime.host import throttling
from edge_las.runtime.listen import add_device_arguments
from edge_las.runtime.microphone import MicrophoneConfig
from edge_las.runtime.recognizer import Recognizer

FloatArray = npt.NDArray[np.float32]

_RECORD_S = 3.0
_QUIET_DBFS = -50.0
_CLIPPED = 0.999
_RATE_TOLERANCE = 0.02
_HOT_C = 75.0
_SYS = Path("/sys")


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is (ok, warning, error), what was found and what to do about it."""

    name: str
    status: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Recording:
    """Samples (s,) of an input, the rate at which they really came, and whether channels cancelled out."""

    samples: FloatArray
    stated_hz: int
    measured_hz: float
    cancelled: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--model", metavar="DIR", help="artifact folder (default: the bundled model)")
    parser.add_argument("--engine", default="auto", help="auto (default), onnx, tflite")
    parser.add_argument("--json", action="store_true", help="print a JSON line for each check")
    add_device_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print every check; return 1 if one found an error."""
    config = MicrophoneConfig(args.device, args.rate, args.channels)
    status = 0
    for check in checks(config, args.model, args.engine):
        if check.status == "error":
            status = 1
        if args.json:
            print(json.dumps(asdict(check), ensure_ascii=False), flush=True)
            continue
        print(f"{check.status:<8} {check.name:<12} {check.found}", flush=True)
        if check.advice:
            print(f"{'':21} -> {check.advice}", flush=True)
    return status


def checks(config: MicrophoneConfig, model: str | None, engine: str, root: Path = _SYS) -> Iterator[Check]:
    """Make all checks, the quick ones first."""
    yield from check_machine(root)
    yield from _guarded("model", lambda: check_model(model, engine))
    yield from _guarded("microphone", lambda: check_recording(record(config)))


def _guarded(name: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from look()
    except EdgeLasError as error:
        message, _, advice = str(error).partition(": pip install ")
        yield Check(name, "error", message, f"pip install {advice}" if advice else "")


def check_model(model: str | None, engine: str) -> Iterator[Check]:
    """Load a model and see that it keeps up with sound."""
    recognizer = Recognizer.load(model, engine)
    manifest = recognizer.manifest
    yield Check("model", "ok", f"{manifest.name}, verified")
    noise = np.random.default_rng(0).normal(0.0, 0.05, 2 * recognizer.sample_rate).astype(np.float32)
    recognizer.transcribe(noise)
    started = time.perf_counter()
    recognizer.transcribe(noise)
    rtf = (time.perf_counter() - started) / 2.0
    found = f"{engine}, one thread: {rtf:.3f} s for a second of sound"
    if rtf > 0.8:
        yield Check(
            "engine", "error", found, "too slow to follow speech: a smaller model, --beam 1 or a faster board"
        )
    else:
        yield Check("engine", "ok", found)


def record(config: MicrophoneConfig, seconds: float = _RECORD_S) -> Recording:
    """Record from an input and time it; raises DeviceError if it gives nothing."""
    module = inputs.sounddevice()
    device = inputs.find_device(config.device)
    rate_hz, channels = inputs.choose_settings(device, config.rate_hz, config.channels)
    print(f"recording {seconds:g} s from {device}: say something", file=sys.stderr, flush=True)
    blocks: list[FloatArray] = []
    arrivals_s: list[float] = []

    def take(indata: FloatArray, frames: int, times: object, status: object) -> None:
        arrivals_s.append(time.monotonic())
        blocks.append(indata.copy())

    try:
        with module.InputStream(
            device=device.index, samplerate=rate_hz, channels=channels, dtype="float32", callback=take
        ):
            give_up_at = time.monotonic() + 2.0 * seconds + 3.0
            while time.monotonic() < give_up_at and (not blocks or arrivals_s[-1] - arrivals_s[0] < seconds):
                time.sleep(0.05)
    except (module.PortAudioError, ValueError) as error:
        raise DeviceError(f"input device {device}: {one_line(error)}") from None
    if len(blocks) < 2:
        raise DeviceError(f"input device {device}: opens, but gives no sound")
    mixer = ChannelMixer(channels)
    samples = mixer.accept(np.concatenate(blocks))
    elapsed_s = arrivals_s[-1] - arrivals_s[0]
    measured = (samples.size - len(blocks[0])) / elapsed_s if elapsed_s else 0.0
    return Recording(samples, rate_hz, measured, mixer.takes_one)


def check_recording(recording: Recording) -> Iterator[Check]:
    """Judge level, clipping, silence and rate."""
    samples = recording.samples
    level = level_dbfs(samples)
    zeros = float(np.mean(samples == 0.0))
    clipped = float(np.mean(np.abs(samples) >= _CLIPPED))
    if not samples.any():
        yield Check("microphone", "error", "nothing but digital zeros",
                    "unmute it (alsamixer, F4), or choose another: edge-las devices")  # fmt: skip
        return
    if level < _QUIET_DBFS:
        yield Check("microphone", "warning", f"level {level:.0f} dBFS: nearly silent",
                    "if you spoke: raise the capture level (alsamixer, F4) or come nearer")  # fmt: skip
    else:
        yield Check("microphone", "ok", f"level {level:.0f} dBFS")
    if zeros > 0.2:
        yield Check("zeros", "warning", f"{zeros:.0%} of the samples are exactly zero",
                    "something drops sound: another USB port, or switch its noise gate off")  # fmt: skip
    if clipped > 1e-4:
        yield Check("clipping", "warning", f"{clipped:.2%} of the samples are at full scale",
                    "lower the capture level (alsamixer, F4)")  # fmt: skip
    if recording.cancelled:
        yield Check("channels", "warning", "they cancel each other out: one of them is used",
                    "record one alone (--channels 1), or see that no side is wired in reverse")  # fmt: skip
    found = f"{recording.stated_hz} Hz stated, {recording.measured_hz:.0f} measured"
    if abs(recording.measured_hz / recording.stated_hz - 1.0) > _RATE_TOLERANCE:
        yield Check(
            "rate", "error", found, "another --rate (edge-las devices lists them) or another USB port"
        )
    else:
        yield Check("rate", "ok", found)


def check_machine(root: Path = _SYS) -> Iterator[Check]:
    """Read CPU governors, temperatures and throttling where the system shows them."""
    governors = sorted(
        {_text(path) for path in root.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")} - {""}
    )
    if not governors:
        yield Check("governor", "ok", "not shown by this system")
    elif "powersave" in governors:
        yield Check("governor", "warning", ", ".join(governors),
                    "for steady speed: echo schedutil | sudo tee "
                    "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")  # fmt: skip
    else:
        yield Check("governor", "ok", ", ".join(governors))
    yield _temperature(root)
    flags = throttling(root)
    if flags is not None:
        yield _throttling(flags)


def _temperature(root: Path) -> Check:
    shown = [_text(path) for path in root.glob("class/thermal/thermal_zone*/temp")]
    degrees = [int(text) / 1000.0 for text in shown if text.lstrip("-").isdecimal()]
    if not degrees:
        return Check("temperature", "ok", "not shown by this system")
    if max(degrees) >= _HOT_C:
        return Check("temperature", "warning", f"{max(degrees):.0f} degrees C",
                     "boards slow down when hot: a heat sink or a fan")  # fmt: skip
    return Check("temperature", "ok", f"{max(degrees):.0f} degrees C")


def _throttling(flags: list[str]) -> Check:
    if not flags:
        return Check("throttling", "ok", "none")
    weak = any(flag.startswith("under-voltage") for flag in flags)
    advice = "a power supply and a cable made for the board" if weak else "a heat sink or a fan"
    return Check("throttling", "warning", ", ".join(flags), advice)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
