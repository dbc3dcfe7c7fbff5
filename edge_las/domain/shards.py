"""Shards of synthesized speech: each is spoken and written whole, then all are joined to a flat corpus."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_las.domain.voices import Prosody, Voice, pick_voice
from edge_las.errors import ConfigError, EdgeLasError

SAMPLE_RATE = 16000
PCM_SCALE = 32768.0
INDEX_HEADER = "id\toffset_samples\tnum_samples\tdataset\tspeaker\tsplit\ttext"

# The voices of each split.
Cast = Mapping[str, Sequence[Voice]]


@dataclass(frozen=True)
class Sentence:
    """A text to speak, letters and apostrophes only; its data set, and the split that is to hear it."""

    text: str
    dataset: str
    split: str = "train"


@dataclass(frozen=True)
class SynthesisConfig:
    """What to make; the same config and voices give the same audio, whatever the number of jobs."""

    seed: int = 1
    pace_min: float = 0.85
    pace_max: float = 1.25
    jobs: int = os.cpu_count() or 1
    limit_hours: float | None = None
    limit_minutes: float | None = None


@dataclass(frozen=True)
class ShardResult:
    """What one chunk of sentences became."""

    number: int
    clips: int
    samples: int
    failed: tuple[str, ...]


def synthesize_shard(
    folder: Path,
    number: int,
    rows: Sequence[tuple[int, Sentence]],
    voices: Cast,
    config: SynthesisConfig,
) -> ShardResult:
    """Speak one chunk into `folder`; its index is renamed into place last, so what is there is whole."""
    audio, index, failed = [], [], []
    for clip, sentence, voice, prosody in _by_voice(rows, voices, config):
        seed = (config.seed, clip)
        try:
            samples = voice.synthesize(sentence.text, SAMPLE_RATE, seed, prosody)
        except EdgeLasError as error:
            failed.append(str(error))
            continue
        audio.append(np.clip(np.round(samples * PCM_SCALE), -32768, 32767).astype("<i2"))
        speaker = f"{voice.id} {prosody.label()}"
        index.append(
            f"{sentence.dataset}-{clip:06d}\t{audio[-1].size}\t{sentence.dataset}\t{speaker}"
            f"\t{sentence.split}\t{sentence.text}"
        )
    (np.concatenate(audio) if audio else np.zeros(0, "<i2")).tofile(folder / f"{number:05d}.i16")
    result = ShardResult(number, len(audio), sum(a.size for a in audio), tuple(failed))
    partial = folder / f"{number:05d}.json.part"
    partial.write_text(json.dumps({**asdict(result), "index": index}), encoding="utf-8")
    partial.rename(folder / f"{number:05d}.json")
    return result


def _by_voice(
    rows: Sequence[tuple[int, Sentence]], voices: Cast, config: SynthesisConfig
) -> list[tuple[int, Sentence, Voice, Prosody]]:
    """Draw who speaks what; a voice's clips follow each other: some programs take long to load it."""
    drawn = []
    for clip, sentence in rows:
        seed = (config.seed, clip)
        voice = pick_voice(voices[sentence.split], np.random.default_rng(seed))
        drawn.append((clip, sentence, voice, voice.prosody(seed, (config.pace_min, config.pace_max))))
    return sorted(drawn, key=lambda row: (row[2].id, row[3].pace, row[0]))


def finished_shards(folder: Path) -> dict[int, ShardResult]:
    """Read what earlier calls have finished."""
    done = {}
    for path in sorted(folder.glob("*.json")):
        if path.name != "plan.json":
            row = json.loads(path.read_text(encoding="utf-8"))
            done[row["number"]] = ShardResult(
                row["number"], row["clips"], row["samples"], tuple(row["failed"])
            )
    return done


def merge(out: Path) -> None:
    """Join the finished shards into audio.i16, index.tsv and failed.txt, and print what was made."""
    shards, offset, lines, failed = sorted((out / "shards").glob("[0-9]*.json")), 0, [INDEX_HEADER], []
    per_dataset: Counter[str] = Counter()
    with (out / "audio.i16.part").open("wb") as audio:
        for path in shards:
            row = json.loads(path.read_text(encoding="utf-8"))
            with path.with_suffix(".i16").open("rb") as source:
                shutil.copyfileobj(source, audio, 1 << 22)
            failed += row["failed"]
            for line in row["index"]:
                name, size, dataset, rest = line.split("\t", 3)
                lines.append(f"{name}\t{offset}\t{size}\t{dataset}\t{rest}")
                offset += int(size)
                per_dataset[dataset] += int(size)
    if offset == 0:
        raise ConfigError(f"{out}: nothing was synthesized; first failure: {failed[0] if failed else 'none'}")
    (out / "audio.i16.part").rename(out / "audio.i16")
    (out / "failed.txt").write_text("".join(f"{line}\n" for line in failed), encoding="utf-8")
    part = out / "index.tsv.part"
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.rename(out / "index.tsv")
    hours = ", ".join(
        f"{name} {size / SAMPLE_RATE / 3600:.2f} h" for name, size in sorted(per_dataset.items())
    )
    print(
        f"{out}: {len(lines) - 1} clips, {offset / SAMPLE_RATE / 3600:.2f} h, {len(failed)} failed ({hours})"
    )
