"""Wake words: sound is let through to recognition only after one was heard, until its command is over."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_las.audio import float_to_pcm
from edge_las.errors import ConfigError, DeviceError, one_line, system_reason
from edge_las.textfiles import read_json

FloatArray = npt.NDArray[np.float32]

# How long a command is waited for.
PATIENCE_S = 5.0
_STEP_S = 0.01
# What is read from a microWakeWord file: the keys, their types and how these are called.
_WANTED: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("wake_word", (str,), "a string"),
    ("model", (str,), "a string"),
    ("micro.probability_cutoff", (int, float), "a number"),
    ("micro.sliding_window_size", (int,), "an integer"),
)


class WakeDetector(Protocol):
    """Listens for one wake word."""

    word: str

    def hears(self, samples: FloatArray) -> bool:
        """Take the next 10 ms; tell whether the wake word has just been said."""

    def reset(self) -> None:
        """Forget what was heard."""


class MicroWakeDetector:
    """A network of pymicro-wakeword: one that comes with it, by name, or the .json of another."""

    def __init__(self, name: str, sample_rate: int) -> None:
        try:
            import pymicro_wakeword as package
        except ImportError:
            raise DeviceError("a wake word needs pymicro-wakeword: pip install 'edge-las[wake]'") from None
        if sample_rate != 16000:
            raise DeviceError(f"pymicro-wakeword cannot take {sample_rate} Hz")
        known = [model.value for model in package.Model]
        if not name.endswith(".json") and name not in known:
            raise DeviceError(f"wake word {name!r} is unknown, must be a .json file or {', '.join(known)}")
        if name.endswith(".json"):
            _check_file(Path(name))
        try:
            self._model: Any = (
                package.MicroWakeWord.from_config(Path(name))
                if name.endswith(".json")
                else package.MicroWakeWord.from_builtin(package.Model(name))
            )
        except (OSError, ValueError) as error:
            raise DeviceError(f"wake word {name}: {one_line(error)}") from None
        self._features: Any = package.MicroWakeWordFeatures()
        self.word: str = self._model.wake_word

    def hears(self, samples: FloatArray) -> bool:
        """Take the next 10 ms."""
        frames = self._features.process_streaming(float_to_pcm(samples).tobytes())
        # Every frame must be seen, the network has a state: no short cut with any().
        return sum(bool(self._model.process_streaming(frame)) for frame in frames) > 0

    def reset(self) -> None:
        """Forget what was heard."""
        self._model.reset()
        self._features.reset()


def _check_file(path: Path) -> None:
    """Raise ConfigError naming what is wrong in a .json: the package would end the process for some of it."""
    config = read_json(path)
    for name, types, kind in _WANTED:
        value = config
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, types) or isinstance(value, bool):
            raise ConfigError(f"{path}: {name} must be {kind}")
    network = path.parent / config["model"]
    try:
        with open(network, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ConfigError(f"{path}: model {network}: {system_reason(error)}") from None
    if head[4:] != b"TFL3":
        raise ConfigError(f"{path}: model {network}: is no TFLite file")


class WakeGate:
    """Holds sound back until the wake word; wakes for one command, or for PATIENCE_S in which none comes."""

    def __init__(self, detector: WakeDetector, sample_rate: int) -> None:
        self._detector = detector
        self._step = round(_STEP_S * sample_rate)
        self._patience = round(PATIENCE_S * sample_rate)
        self._rest = np.zeros(0, dtype=np.float32)
        self._left = 0
        self._in_speech = False

    @property
    def word(self) -> str:
        """The wake word."""
        return self._detector.word

    @property
    def is_awake(self) -> bool:
        """Whether sound is let through."""
        return self._left > 0 or self._in_speech

    def hold_back(self, samples: FloatArray) -> tuple[int, FloatArray]:
        """Take samples (s,) while asleep: how many were held back, and those after the wake word, (r,)."""
        samples, before = np.concatenate([self._rest, samples]), self._rest.size
        for start in range(0, samples.size - self._step + 1, self._step):
            end = start + self._step
            if self._detector.hears(samples[start:end]):
                self._detector.reset()
                self._rest, self._left = self._rest[:0], self._patience
                return end - before, samples[end:]
        self._rest = samples[samples.size // self._step * self._step :].copy()
        return samples.size - before, samples[:0]

    def pass_time(self, count: int) -> None:
        """Count samples that were let through: those without speech wear patience out."""
        if not self._in_speech:
            self._left = max(0, self._left - count)

    def speech_started(self) -> None:
        """Stay awake until the utterance is over."""
        self._in_speech = True

    def speech_ended(self, understood: bool) -> None:
        """Go to sleep if that was a command; the end of the wake word itself is none."""
        self._in_speech = False
        self._left = 0 if understood else self._patience
