"""Device profiles: what a board is to run with, read from `firmware_configs/`, and which board this is."""

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge_las.config import check_at_least, load_config
from edge_las.errors import ConfigError, DeviceError
from edge_las.runtime.speech_states import EndpointConfig

# Where kernels tell the board's name; older ones only know the second path.
_MODEL_FILES = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")


@dataclass(frozen=True)
class MatchConfig:
    """How a board is recognized: the beginning of its device tree model, or else of a line of /proc/cpuinfo.

    bits is the size of a pointer in the Python that runs: a 64-bit kernel may carry a 32-bit system.
    """

    bits: Literal[32, 64]
    models: tuple[str, ...] = ()
    cpuinfo: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("models", "cpuinfo"):
            if not all(getattr(self, name)):
                raise ConfigError(f"{name} holds an empty text, which would match anything")


@dataclass(frozen=True)
class EngineConfig:
    """Which engine runs the graphs, on what; affinity lists CPUs, none = all."""

    name: Literal["auto", "onnx", "tflite"]
    threads: int
    # ONNX Runtime's execution providers, in order of preference; none = its CPU provider.
    providers: tuple[str, ...] = ()
    affinity: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_at_least(self, 1, "threads")
        if any(cpu < 0 for cpu in self.affinity):
            raise ConfigError("affinity holds a CPU below 0")
        if self.providers and self.name != "onnx":
            raise ConfigError(f"providers are only for engine onnx, name is {self.name}")


@dataclass(frozen=True)
class SearchConfig:
    """How wide to search."""

    beam_size: int

    def __post_init__(self) -> None:
        check_at_least(self, 1, "beam_size")


@dataclass(frozen=True)
class AudioConfig:
    """The microphone, and how much sound is handed on at once; device "" = the system's default."""

    device: str
    rate_hz: int
    channels: int
    chunk_ms: int

    def __post_init__(self) -> None:
        check_at_least(self, 8000, "rate_hz")
        check_at_least(self, 1, "channels")
        check_at_least(self, 10, "chunk_ms")


@dataclass(frozen=True)
class VadConfig:
    """The voice activity detector; mode 0 flags most, 3 least, and is for webrtc only."""

    detector: Literal["webrtc", "webrtc+silero", "silero", "energy"]
    mode: Literal[0, 1, 2, 3] = 3


@dataclass(frozen=True)
class LimitsConfig:
    """What the service may take: enforced by systemd (`edge-las profile --systemd`) and by the server."""

    memory_mb: int
    max_clients: int

    def __post_init__(self) -> None:
        check_at_least(self, 64, "memory_mb")
        check_at_least(self, 1, "max_clients")


@dataclass(frozen=True)
class GovernorConfig:
    """Advice on the CPU frequency governor; edge-las never sets it."""

    advice: Literal["performance", "schedutil", "ondemand", "keep"]
    reason: str


@dataclass(frozen=True)
class DeviceProfile:
    """One file of `firmware_configs/`."""

    name: str
    title: str
    match: MatchConfig
    engine: EngineConfig
    search: SearchConfig
    audio: AudioConfig
    vad: VadConfig
    limits: LimitsConfig
    governor: GovernorConfig
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)


def profiles_dir() -> Path:
    """Return the folder of the profiles that came with edge-las."""
    return Path(__file__).parent.parent / "firmware_configs"


def profile_names() -> list[str]:
    """List the profiles that came with edge-las."""
    return sorted(path.stem for path in profiles_dir().glob("*.toml"))


def load_profile(wanted: str) -> DeviceProfile:
    """Load a profile by name, `auto` for the board that this is, or from a file (`*.toml`).

    Raises: ConfigError naming file and key, DeviceError for an unknown name or board.
    """
    if wanted == "auto":
        wanted = detect()
    if wanted.endswith(".toml"):
        return load_config(wanted, DeviceProfile)
    if wanted not in profile_names():
        known = ", ".join(["auto", *profile_names()])
        raise DeviceError(f"device {wanted!r} is unknown, must be a .toml file or one of {known}")
    return load_config(profiles_dir() / f"{wanted}.toml", DeviceProfile)


def detect(root: Path = Path("/"), bits: int | None = None) -> str:
    """Return the name of the profile for this board; root is the file system that tells of it.

    Raises: DeviceError naming the board if no profile is for it.
    """
    bits = bits or 8 * struct.calcsize("P")
    model, cpuinfo = board_model(root), _cpuinfo(root)
    profiles = [load_profile(name) for name in profile_names()]
    fitting = [profile for profile in profiles if profile.match.bits == bits]
    for profile in fitting:
        if model and model.startswith(profile.match.models or ("\0",)):
            return profile.name
    for profile in fitting:
        if not model and any(line.startswith(profile.match.cpuinfo or ("\0",)) for line in cpuinfo):
            return profile.name
    what = f"{model!r}, {bits}-bit" if model else f"{bits}-bit, of unknown model"
    raise DeviceError(f"no device profile is for this board ({what}): name the nearest with --device")


def board_model(root: Path = Path("/")) -> str:
    """Read the board's name from the device tree, or from the Raspberry Pi's line in /proc/cpuinfo."""
    for file in _MODEL_FILES:
        model = _read(root / file).strip("\0 \n")
        if model:
            return model
    for line in _cpuinfo(root):
        if line.startswith("Model: "):
            return line.removeprefix("Model: ")
    return ""


def pin(cpus: Iterable[int]) -> None:
    """Keep this process on the given CPUs; none = leave it as it is.

    Raises: DeviceError naming a CPU that it may not use.
    """
    wanted = set(cpus)
    if not wanted:
        return
    usable = os.sched_getaffinity(0)
    if not wanted <= usable:
        missing = ", ".join(map(str, sorted(wanted - usable)))
        have = ", ".join(map(str, sorted(usable)))
        raise DeviceError(f"engine.affinity names CPU {missing}, this process may use {have}")
    os.sched_setaffinity(0, wanted)


def _cpuinfo(root: Path) -> list[str]:
    """Read the lines of /proc/cpuinfo as `key: value`."""
    pairs = [line.partition(":") for line in _read(root / "proc/cpuinfo").splitlines()]
    return [f"{key.strip()}: {value.strip()}" for key, _, value in pairs]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
