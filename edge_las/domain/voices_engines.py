"""The speech programs themselves: how each is called, and which of its voices are worth hearing."""

from __future__ import annotations

import io
import math
import subprocess
import wave
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from edge_las.errors import DeviceError

if TYPE_CHECKING:
    from edge_las.domain.voices import Prosody

TIMEOUT_S = 60
# Chosen so that pace 1 reads LibriSpeech sentences about as fast as its readers do.
ESPEAK_WORDS_PER_MIN = 148
FLITE_STRETCH = 1.08
ESPEAK_ACCENTS = {
    "en-us": 4.0,
    "en-us-nyc": 1.0,
    "en-gb": 1.5,
    "en-gb-x-rp": 1.0,
    "en-gb-scotland": 0.8,
    "en-gb-x-gbclan": 0.6,
    "en-gb-x-gbcwmd": 0.6,
    "en-029": 0.5,
}
# Left out: whispers, robots, monsters and variants with echoes that hide the words.
ESPEAK_VARIANTS = """
Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario Michael Mike Nguyen
RicishayMax RicishayMax2 RicishayMax3 adam anika announcer antonio aunty belinda benjamin boris caleb david
ed edward edward2 f1 f2 f3 f4 f5 grandma grandpa gustave iven iven2 iven3 iven4 john klatt klatt2 klatt3
klatt4 klatt6 linda m1 m2 m3 m4 m5 m6 m7 m8 marcelo max michel miguel norbert pablo paul pedro quincy rob
robert sandro shelby steph steph2 steph3 travis victor zac
"""
# Natural mean pitch. The voice rms ignores any target (measured): its pitch moves with the vocal tract only.
FLITE_PITCH_HZ = {"slt": 170.0, "rms": 103.0, "awb": 129.0, "kal16": 90.0, "kal": 90.0}
# Diphone voices (kal, kal16) sound rougher, and kal has 8 kHz only: fewer of them.
FLITE_WEIGHTS = {"slt": 1.2, "rms": 1.2, "awb": 1.0, "kal16": 0.7, "kal": 0.15}


# Diphone voices, and one of hidden Markov models; starting festival costs more than speaking.
FESTIVAL_WEIGHTS = {
    "cmu_us_slt_arctic_hts": 1.0,
    "kal_diphone": 0.6,
    "ked_diphone": 1.0,
    "rab_diphone": 1.0,
    "don_diphone": 1.0,
}


def run(command: list[str], text: str = "") -> bytes:
    """Standard output of a speech program given `text`. Raises: DeviceError naming the program."""
    try:
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise DeviceError(f"{command[0]}: not installed") from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"{command[0]}: no answer within {TIMEOUT_S} s") from error
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise DeviceError(
            f"{command[0]}: exit status {done.returncode}: {reason[-1] if reason else 'no message'}"
        )
    return done.stdout


def parse_wave(data: bytes, program: str) -> tuple[np.ndarray, int]:
    """16-bit mono WAV from a pipe, whose stated length may be wrong: float32 (S,), sample rate."""
    try:
        with wave.open(io.BytesIO(data)) as reader:
            rate, width, channels = reader.getframerate(), reader.getsampwidth(), reader.getnchannels()
    except (wave.Error, EOFError) as error:
        raise DeviceError(f"{program}: no WAV came out: {error or 'empty'}") from error
    if (width, channels) != (2, 1):
        raise DeviceError(f"{program}: expected 16-bit mono, got {8 * width} bits, {channels} channels")
    body = data[data.index(b"data") + 8 :]
    samples = np.frombuffer(body[: len(body) // 2 * 2], dtype="<i2")
    return samples.astype(np.float32) / 32768.0, rate


def speak_espeak(name: str, text: str, prosody: Prosody) -> tuple[np.ndarray, int]:
    """Source: espeak-ng's pitch scale is exponential, one octave in 50 steps around 50."""
    pitch = round(min(99.0, max(0.0, 50 + 50 * math.log2(prosody.pitch))))
    speed = round(min(400.0, max(80.0, ESPEAK_WORDS_PER_MIN * prosody.pace)))
    data = run(
        ["espeak-ng", "-v", name, "-s", str(speed), "-p", str(pitch), "-b", "1", "--stdout", "--", text]
    )
    return parse_wave(data, "espeak-ng")


def espeak_voices() -> list[tuple[str, float]]:
    """Accents crossed with the speaker variants that are installed."""
    variants = [v for v in ESPEAK_VARIANTS.split() if v in _installed_variants()]
    return [
        (f"{accent}+{variant}", weight)
        for accent, weight in ESPEAK_ACCENTS.items()
        if accent in _installed_accents()
        for variant in variants
    ]


@lru_cache(maxsize=1)
def _installed_variants() -> frozenset[str]:
    lines = run(["espeak-ng", "--voices=variant"]).decode().splitlines()
    return frozenset(part[3:] for line in lines for part in line.split() if part.startswith("!v/"))


@lru_cache(maxsize=1)
def _installed_accents() -> frozenset[str]:
    lines = run(["espeak-ng", "--voices=en"]).decode().splitlines()[1:]
    return frozenset(line.split()[1] for line in lines if " mb/" not in line)


def speak_flite(name: str, text: str, prosody: Prosody) -> tuple[np.ndarray, int]:
    base = ["flite", "-voice", name, "--setf", f"duration_stretch={FLITE_STRETCH / prosody.pace:.3f}"]
    tone = ["--setf", f"int_f0_target_mean={FLITE_PITCH_HZ[name] * prosody.pitch:.1f}"]
    return parse_wave(run([*base, *tone, "-t", text + " ", "-o", "/dev/stdout"]), "flite")


def flite_voices() -> list[tuple[str, float]]:
    """Voices of the flite found here that can say anything (awb_time only tells the time)."""
    listed = run(["flite", "-lv"]).decode().split(":", 1)[-1].split()
    return [(name, weight) for name, weight in FLITE_WEIGHTS.items() if name in listed]


def speak_festival(name: str, text: str, prosody: Prosody) -> tuple[np.ndarray, int]:
    """Its voices take a pace, but no pitch: that moves with the vocal tract only."""
    setting = f"(begin (voice_{name}) (Parameter.set 'Duration_Stretch {1 / prosody.pace:.3f}))"
    return parse_wave(run(["text2wave", "-eval", setting, "-o", "/dev/stdout"], text), "text2wave")


def festival_voices() -> list[tuple[str, float]]:
    """Voices of the festival found here."""
    listed = run(["festival", "--pipe"], "(print (voice.list))").decode().strip("()\n ").split()
    return [(name, weight) for name, weight in FESTIVAL_WEIGHTS.items() if name in listed]
