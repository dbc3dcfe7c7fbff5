"""Text-to-speech programs found on this machine, behind one interface: many speakers out of few voices."""

import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_las.domain import voices_engines as engines
from edge_las.domain.numbers import ONES
from edge_las.domain.voices_piper import piper_voices, speak_piper
from edge_las.domain.voices_signal import condition, resample
from edge_las.errors import ConfigError, DeviceError

# A clip is judged by its pace: seconds of sound per spoken letter, outside of which a program has failed.
MIN_S_PER_LETTER = 0.025
MAX_S_PER_LETTER = 0.40
EXTRA_S = 0.9
DIGIT_WORDS = frozenset({*ONES[:10], "oh", "double"})
MIN_RMS = 10 ** (-45 / 20)


class SynthesisError(DeviceError):
    """A voice made no usable sound for a text."""


@dataclass(frozen=True)
class Prosody:
    """How a voice is bent: each is a factor on its natural value (tract: formant frequencies)."""

    pace: float = 1.0
    pitch: float = 1.0
    tract: float = 1.0

    def label(self) -> str:
        return f"pace={self.pace:.2f} pitch={self.pitch:.2f} tract={self.tract:.2f}"


Speak = Callable[[str, str, Prosody], tuple[np.ndarray, int]]


@dataclass(frozen=True)
class Engine:
    """A family of voices served by one program."""

    name: str
    program: str
    share: float
    speak: Speak
    voice_names: Callable[[], Sequence[tuple[str, float]]]


@dataclass(frozen=True)
class Voice:
    """One voice of one engine; `weight` is its share when voices are drawn at random."""

    engine: str
    name: str
    weight: float = 1.0

    @property
    def id(self) -> str:
        return f"{self.engine}:{self.name}"

    def prosody(self, seed: int | Sequence[int], pace: tuple[float, float] = (0.85, 1.25)) -> Prosody:
        """Draw a bent voice; pitch follows the vocal tract, as it does between men, women and children."""
        rng = np.random.default_rng(seed)
        tract = float(np.clip(math.exp(rng.normal(0.01, 0.085)), 0.83, 1.25))
        pitch = float(np.clip(tract * math.exp(rng.normal(0.0, 0.14)), 0.7, 1.6))
        return Prosody(round(math.exp(rng.uniform(*np.log(pace))), 3), round(pitch, 3), round(tract, 3))

    def synthesize(
        self,
        text: str,
        sample_rate: int = 16000,
        seed: int | Sequence[int] = 0,
        prosody: Prosody | None = None,
    ) -> np.ndarray:
        """Speak `text` (words, no digits): float32 (S,), ends trimmed to 50 ms, the same for the same seed.

        Raises: SynthesisError if what came out cannot be that text.
        """
        bent = self.prosody(seed) if prosody is None else prosody
        spoken, slower = dictated(text, np.random.default_rng([*_seed_words(seed), 3]))
        # The sound is later played `tract` times faster, so the program is asked for slower and lower speech.
        asked = replace(bent, pace=bent.pace * slower / bent.tract, pitch=bent.pitch / bent.tract)
        sound, rate = ENGINES[self.engine].speak(self.name, spoken, asked)
        samples = condition(resample(sound, sample_rate / (rate * bent.tract)), sample_rate, _level(seed))
        self._check(samples, text, sample_rate)
        return samples

    def _check(self, samples: np.ndarray, text: str, sample_rate: int) -> None:
        seconds, letters = samples.size / sample_rate, max(1, sum(map(str.isalpha, text)))
        if samples.size == 0 or float(np.sqrt(np.mean(samples**2))) < MIN_RMS:
            raise SynthesisError(f"{self.id}: silence instead of {text[:60]!r}")
        slowest = MAX_S_PER_LETTER + (0.8 if is_spelled(text) else 0.0)
        if not letters * MIN_S_PER_LETTER < seconds < letters * slowest + EXTRA_S:
            raise SynthesisError(f"{self.id}: {seconds:.1f} s of sound for {letters} letters: {text[:60]!r}")


def _seed_words(seed: int | Sequence[int]) -> list[int]:
    return [seed] if isinstance(seed, int) else list(seed)


def _level(seed: int | Sequence[int]) -> float:
    return float(np.random.default_rng([*_seed_words(seed), 7]).uniform(-30.0, -18.0))


def is_spelled(text: str) -> bool:
    """True for letter names in a row ("e l i s e") or alone ("b"), false for the words "a", "i" and "o"."""
    words = text.split()
    return (
        bool(words)
        and all(len(w) == 1 or w == "double" for w in words)
        and (len(words) > 1 or text not in "aio")
    )


def is_digits(text: str) -> bool:
    """True for two or more digit words and nothing else."""
    words = text.split()
    return len(words) > 1 and all(word in DIGIT_WORDS for word in words)


def dictated(text: str, rng: np.random.Generator) -> tuple[str, float]:
    """What a program is given and a factor on the pace: people slow down and pause to spell or give a number.

    Letters become capitals, which every engine names; a comma is a short pause.
    """
    spelled = is_spelled(text)
    if not spelled and not is_digits(text):
        return text, 1.0
    pause_share = float(rng.choice([0.0, 0.3, 1.0], p=[0.4, 0.3, 0.3]))
    words = [word.upper() if len(word) == 1 else word for word in text.split()]
    # Without a comma espeak-ng swallows a capital A before another letter, and programs read pairs as words.
    pauses = [
        "" if word == "double" else "," if spelled or rng.random() < pause_share else "" for word in words
    ]
    return " ".join(map("".join, zip(words, pauses, strict=True))).rstrip(","), float(rng.uniform(0.62, 1.05))


ENGINES: dict[str, Engine] = {
    "espeak": Engine("espeak", "espeak-ng", 0.55, engines.speak_espeak, engines.espeak_voices),
    "flite": Engine("flite", "flite", 0.45, engines.speak_flite, engines.flite_voices),
    "festival": Engine("festival", "text2wave", 0.12, engines.speak_festival, engines.festival_voices),
    "piper": Engine("piper", "piper", 0.4, speak_piper, piper_voices),
}


def list_voices(only: Iterable[str] | None = None) -> list[Voice]:
    """Voices installed here, each engine weighted by its share; `only` names engines or voices.

    Raises: ConfigError for one that edge-las does not know; DeviceError where none is installed.
    """
    wanted = list(ENGINES) if only is None else list(only)
    found = [voice for name in wanted for voice in _named(name)]
    if not found:
        programs = ", ".join(ENGINES[name.partition(":")[0]].program for name in wanted)
        raise DeviceError(
            f"voices: none of the programs {programs} is installed: apt install espeak-ng flite"
        )
    return found


def _named(name: str) -> list[Voice]:
    engine, _, wanted = name.partition(":")
    if engine not in ENGINES:
        raise ConfigError(f"voices: no engine {engine}, known are {', '.join(ENGINES)}")
    voices = _engine_voices(ENGINES[engine])
    found = [voice for voice in voices if wanted in ("", voice.name)]
    if voices and not found:
        raise ConfigError(f"voices: {engine} has no voice {wanted}; e.g. {voices[0].name}")
    return found


def _engine_voices(engine: Engine) -> list[Voice]:
    if shutil.which(engine.program, path=os.environ.get("PATH")) is None:
        return []
    named = engine.voice_names()  # none, if there is the program alone
    total = sum(weight for _, weight in named)
    return [Voice(engine.name, name, engine.share * weight / total) for name, weight in named]


def pick_voice(voices: Sequence[Voice], rng: np.random.Generator) -> Voice:
    """Draw a voice by weight."""
    weights = np.cumsum([voice.weight for voice in voices])
    return voices[int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))]
