"""Noise of our own making, beside what was recorded: talk from other tables, crockery, water, a machine.

A model that knows coloured noise alone is confused by what has the shape of speech or of its beginnings.
Domain builds make it themselves; `python -m edge_las.domain.noises` makes it for `edge-las train --noise`.
"""

import argparse
import shutil
import sys
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_las.audio import float_to_pcm, pcm_to_float
from edge_las.domain.shards import SAMPLE_RATE
from edge_las.errors import ConfigError, EdgeLasError
from edge_las.staging import staged
from edge_las.train.corpus import INDEX_FILE, Clip, Corpus

FloatArray = npt.NDArray[np.floating[Any]]
_SECONDS = 60
# Talkers at once: a few near ones are the harder to tell from who is meant.
_TALKERS = (3, 5, 9)
_STROKES_PER_S = 4.0


def recorded_noise(noise: Path | None, speech: Sequence[Path]) -> Path | None:
    """Choose the folder of recorded noise: the one given, else the first in a folder of speech."""
    return noise or next((folder / "noise" for folder in speech if (folder / "noise").is_dir()), None)


def write_noises(out: Path, speech: Path, recorded: Path | None, seed: int) -> Path:
    """Write noises to a folder, unless it is there: crowds, of a corpus's voices, a kitchen, recordings.

    Raises: ArtifactError if the folder cannot be written, ConfigError if nobody is there to talk.
    """
    if out.exists():
        return out
    corpus = Corpus([speech])
    clips = [clip for clip in corpus.clips if clip.split == "train"]
    if not clips:
        raise ConfigError(f"{speech}: no clip of it is for training, whose voices make the crowds")
    with staged(out) as part:
        for path in recorded.iterdir() if recorded else ():
            if path.is_file():
                shutil.copyfile(path, part / path.name)
        for name, samples in _noises(corpus, clips, np.random.default_rng([seed, 31])):
            with wave.open(str(part / f"made_{name}.wav"), "wb") as wav:
                wav.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
                wav.writeframes(float_to_pcm(0.1 * samples / samples.std()).astype("<i2").tobytes())
    return out


def _noises(
    corpus: Corpus, clips: Sequence[Clip], rng: np.random.Generator
) -> Iterator[tuple[str, FloatArray]]:
    for talkers in _TALKERS:
        yield f"crowd_{talkers}", np.sum([_talker(corpus, clips, rng) for _ in range(talkers)], axis=0)
    yield "crockery", crockery(_SECONDS * SAMPLE_RATE, rng)
    yield "water", _swelling(rng) * _band(rng, 1500.0, 7800.0)
    yield "machine", _hum(rng) + 0.5 * _band(rng, 60.0, 1200.0)


def _talker(corpus: Corpus, clips: Sequence[Clip], rng: np.random.Generator) -> FloatArray:
    """Let somebody talk, with pauses, from nearer or farther away."""
    track = np.zeros(_SECONDS * SAMPLE_RATE)
    at = int(rng.uniform(0, 2) * SAMPLE_RATE)
    while at < track.size:
        said = pcm_to_float(np.asarray(corpus.samples(clips[int(rng.integers(len(clips)))])))
        said = said[: track.size - at] / max(float(said.std()), 1e-4)
        track[at : at + said.size] = said
        at += said.size + int(rng.exponential(0.5) * SAMPLE_RATE)
    return track * np.exp(rng.normal(0.0, 0.5))


def crockery(size: int, rng: np.random.Generator) -> FloatArray:
    """Strike plates and pans at random: partials that ring and a click, (size,)."""
    result = 0.003 * rng.standard_normal(size)
    for start in rng.integers(0, size, int(_STROKES_PER_S * size / SAMPLE_RATE)).tolist():
        ring_s = float(np.exp(rng.uniform(np.log(0.02), np.log(0.25))))
        time = np.arange(min(size - start, int(4 * ring_s * SAMPLE_RATE))) / SAMPLE_RATE
        partials = np.exp(rng.uniform(np.log(500.0), np.log(7000.0), (int(rng.integers(3, 9)), 1)))
        phases = 2 * np.pi * (partials * time + rng.random(partials.shape))
        decay = np.exp(-time / (ring_s * rng.uniform(0.3, 1.0, partials.shape)))
        stroke = (rng.uniform(0.2, 1.0, partials.shape) * decay * np.sin(phases)).sum(axis=0)
        stroke += 2.0 * rng.standard_normal(time.size) * np.exp(-time / 0.003)
        result[start : start + time.size] += np.exp(rng.normal(-1.5, 0.9)) * stroke
    return result


def _band(rng: np.random.Generator, low_hz: float, high_hz: float) -> FloatArray:
    """Make noise between two frequencies."""
    spectrum = np.fft.rfft(rng.standard_normal(_SECONDS * SAMPLE_RATE))
    hz = np.linspace(0, SAMPLE_RATE / 2, spectrum.size)
    noise: FloatArray = np.fft.irfft(np.where((hz > low_hz) & (hz < high_hz), spectrum, 0.05 * spectrum))
    return noise


def _swelling(rng: np.random.Generator) -> FloatArray:
    """Make a level that rises and falls within seconds."""
    knots = np.exp(rng.normal(0.0, 0.5, _SECONDS + 1))
    time = np.arange(_SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    level: FloatArray = np.interp(time, np.arange(_SECONDS + 1), knots)
    return level


def _hum(rng: np.random.Generator) -> FloatArray:
    """Let a motor run: harmonics of a tone that wavers."""
    time = np.arange(_SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(rng.uniform(45.0, 130.0) * (1 + 0.1 * np.sin(0.4 * time))) / SAMPLE_RATE
    hum: FloatArray = sum(np.sin(k * phase + rng.random()) / k for k in range(1, 20)) * _swelling(rng)
    return hum


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edge_las.domain.noises", description=__doc__)
    add = parser.add_argument
    add("corpus", type=Path, help="flat corpus (RUN/cache/NAME-HASH) whose training voices make the crowds")
    add("--recorded", type=Path, metavar="DIR", help="recordings of noise to put beside them")
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    try:
        if args.out.exists():
            raise ConfigError(f"{args.out}: exists, it is not replaced")
        if args.recorded and not args.recorded.is_dir():
            raise ConfigError(f"{args.recorded}: no such folder of noise recordings")
        if not (args.corpus / INDEX_FILE).is_file():
            raise ConfigError(f"{args.corpus}: no flat corpus is there ({INDEX_FILE})")
        write_noises(args.out, args.corpus, args.recorded, args.seed)
    except EdgeLasError as error:
        print(f"edge-las: error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {len(list(args.out.iterdir()))} noises")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
