"""What a measurement ran on: board, CPU, frequency governor, temperature, throttling, where readable."""

import os
import platform
from pathlib import Path
from typing import Any

# The Raspberry Pi's firmware reports throttling as bits; where the file is hangs on the board.
# Source: Raspberry Pi documentation, vcgencmd get_throttled.
_THROTTLED = "devices/platform/soc*/*firmware/get_throttled"
_FLAGS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_FLAGS |= {bit + 16: f"{flag} since boot" for bit, flag in _FLAGS.items()}


def describe_host(root: Path = Path("/")) -> dict[str, Any]:
    """Collect what does not change while measuring; what cannot be read is null."""
    return {
        "board": _read(root, "/proc/device-tree/model"),
        "machine": platform.machine(),
        "cpu": _cpu_name(root),
        "cpus": os.cpu_count(),
        "governor": _read(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def describe_heat(root: Path = Path("/")) -> dict[str, Any]:
    """Read what changes under load: temperature, frequency, throttling flags, load; null where unknown."""
    temperature = _read(root, "/sys/class/thermal/thermal_zone0/temp")
    frequency = _read(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    return {
        "temperature_c": int(temperature) / 1000.0 if temperature else None,
        "frequency_mhz": int(frequency) / 1000.0 if frequency else None,
        "throttled": throttling(root / "sys"),
        "load_1min": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def throttling(sys: Path = Path("/sys")) -> list[str] | None:
    """Name the Raspberry Pi's throttling flags that are set; None where the system shows none."""
    for path in sorted(sys.glob(_THROTTLED)):
        try:
            bits = int(_read(sys, str(path.relative_to(sys))) or "", 16)
        except ValueError:
            continue
        return [flag for bit, flag in _FLAGS.items() if bits & 1 << bit]
    return None


def _cpu_name(root: Path) -> str | None:
    lines = (_read(root, "/proc/cpuinfo") or "").splitlines()
    for wanted in ("model name", "CPU part"):
        for line in lines:
            key, _, value = line.partition(":")
            if key.strip() == wanted:
                return value.strip() if wanted == "model name" else f"ARM part {value.strip()}"
    return None


def _read(root: Path, path: str) -> str | None:
    try:
        text = (root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.strip("\0 \n") or None
