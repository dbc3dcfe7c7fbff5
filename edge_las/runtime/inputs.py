"""The inputs that PortAudio knows."""

from dataclasses import dataclass
from typing import Any

from edge_las.errors import DeviceError, one_line

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
    """Make PortAudio look for devices again: it lists them only when it starts.

    Raises: DeviceError if it does not start.
    """
    module = sounddevice()
    try:
        module._terminate()
        module._initialize()
    except module.PortAudioError as error:
        raise DeviceError(f"PortAudio does not start: {one_line(error)}") from None


def input_devices() -> list[InputDevice]:
    """List the inputs.

    Raises: DeviceError if PortAudio cannot tell.
    """
    module = sounddevice()
    try:
        hosts, devices = module.query_hostapis(), module.query_devices()
    except module.PortAudioError as error:
        raise DeviceError(f"PortAudio lists no devices: {one_line(error)}") from None
    default = module.default.device[0]
    return [
        _input_device(index, entry, hosts, index == default)
        for index, entry in enumerate(devices)
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


def choose_settings(
    device: InputDevice, rate_hz: int | None = None, channels: int | None = None
) -> tuple[int, int]:
    """Choose the rate in Hz and the channels to record with: those asked for, or else what the device takes.

    Raises: DeviceError naming the device if it takes none.
    """
    if rate_hz:
        return rate_hz, channels or 1
    possible = possible_rates(device, channels)
    if not possible:
        raise DeviceError(f"input device {device}: refuses every usual rate, or is in use by another program")
    return possible[0]
