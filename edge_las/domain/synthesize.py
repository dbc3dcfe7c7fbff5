"""Speak a table of sentences with many voices, in parallel, into one flat PCM file and its index."""

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_las.domain.voices import Voice, list_voices, pick_voice
from edge_las.errors import ConfigError, EdgeLasError

SAMPLE_RATE = 16000
PCM_SCALE = 32768.0
CHUNK_CLIPS = 128
INDEX_HEADER = "id\toffset_samples\tnum_samples\tdataset\tspeaker\ttext"
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz' ")


@dataclass(frozen=True)
class Sentence:
    """A text to speak: letters and apostrophes only, and the data set it belongs to."""

    text: str
    dataset: str


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


def read_sentences(path: Path) -> list[Sentence]:
    """Rows of `text<TAB>dataset`. Raises: ConfigError naming file and line."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    sentences = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text, _, dataset = line.partition("\t")
        if not dataset or not text.strip():
            raise ConfigError(f"{path}:{number}: expected text<TAB>dataset")
        if odd := sorted(set(text) - LETTERS):
            raise ConfigError(f"{path}:{number}: character {odd[0]!r}: spell numbers, lower case only")
        sentences.append(Sentence(text, dataset))
    if not sentences:
        raise ConfigError(f"{path}: no sentences")
    return sentences


def synthesize_shard(
    folder: Path,
    number: int,
    rows: Sequence[tuple[int, Sentence]],
    voices: Sequence[Voice],
    config: SynthesisConfig,
) -> ShardResult:
    """Speak one chunk into `folder`; its index is renamed into place last, so what is there is whole."""
    audio, index, failed = [], [], []
    for clip, sentence in rows:
        seed = (config.seed, clip)
        voice = pick_voice(voices, np.random.default_rng(seed))
        prosody = voice.prosody(seed, (config.pace_min, config.pace_max))
        try:
            samples = voice.synthesize(sentence.text, SAMPLE_RATE, seed, prosody)
        except EdgeLasError as error:
            failed.append(str(error))
            continue
        audio.append(np.clip(np.round(samples * PCM_SCALE), -32768, 32767).astype("<i2"))
        speaker = f"{voice.id} {prosody.label()}"
        index.append(
            f"{sentence.dataset}-{clip:06d}\t{audio[-1].size}\t{sentence.dataset}\t{speaker}\t{sentence.text}"
        )
    (np.concatenate(audio) if audio else np.zeros(0, "<i2")).tofile(folder / f"{number:05d}.i16")
    result = ShardResult(number, len(audio), sum(a.size for a in audio), tuple(failed))
    partial = folder / f"{number:05d}.json.part"
    partial.write_text(json.dumps({**asdict(result), "index": index}), encoding="utf-8")
    partial.rename(folder / f"{number:05d}.json")
    return result


def _plan(
    sentences: Sequence[Sentence], voices: Sequence[Voice], config: SynthesisConfig
) -> dict[str, object]:
    digest = hashlib.sha256("\n".join(f"{s.text}\t{s.dataset}" for s in sentences).encode())
    digest.update(repr([(v.id, v.weight) for v in voices]).encode())
    pace = [config.pace_min, config.pace_max]
    return {"sha256": digest.hexdigest(), "seed": config.seed, "pace": pace, "chunk_clips": CHUNK_CLIPS}


def _prepare(folder: Path, plan: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "plan.json"
    if stamp.is_file() and json.loads(stamp.read_text()) != plan:
        raise ConfigError(
            f"{folder}: begun with other texts, voices or settings: remove it or choose another --out"
        )
    stamp.write_text(json.dumps(plan))


def _finished(folder: Path) -> dict[int, ShardResult]:
    done = {}
    for path in sorted(folder.glob("*.json")):
        if path.name != "plan.json":
            row = json.loads(path.read_text(encoding="utf-8"))
            done[row["number"]] = ShardResult(
                row["number"], row["clips"], row["samples"], tuple(row["failed"])
            )
    return done


class _Progress:
    """A line on standard error every two seconds: clips, hours, failures and the time left."""

    def __init__(self, total_clips: int) -> None:
        self.total, self.began, self.shown, self.fresh = total_clips, time.monotonic(), 0.0, 0
        self.clips = self.failed = self.samples = 0

    def add(self, result: ShardResult, fresh: bool = True) -> None:
        self.clips += result.clips
        self.failed += len(result.failed)
        self.samples += result.samples
        self.fresh += (result.clips + len(result.failed)) if fresh else 0

    @property
    def hours(self) -> float:
        return self.samples / SAMPLE_RATE / 3600

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    def show(self, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self.shown < 2:
            return
        self.shown = now
        left = (self.total - self.clips - self.failed) * (now - self.began) / max(1, self.fresh)
        print(
            f"{self.clips + self.failed}/{self.total} clips, {self.hours:.2f} h, {self.failed} failed, "
            f"{now - self.began:.0f} s, about {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )


def synthesize(
    sentences: Sequence[Sentence], out: Path, voices: Sequence[Voice], config: SynthesisConfig
) -> None:
    """Speak all sentences in an order shuffled by the seed, so that any prefix is a fair sample; resumes."""
    folder = out / "shards"
    _prepare(folder, _plan(sentences, voices, config))
    order = np.random.default_rng([config.seed, 0]).permutation(len(sentences))
    done, progress = _finished(folder), _Progress(len(sentences))
    for result in done.values():
        progress.add(result, fresh=False)
    chunks = [
        (number, [(int(i), sentences[i]) for i in order[start : start + CHUNK_CLIPS]])
        for number, start in enumerate(range(0, len(order), CHUNK_CLIPS))
        if number not in done
    ]
    _run_chunks(folder, chunks, voices, config, progress)
    progress.show(force=True)
    merge(out)


def _run_chunks(
    folder: Path,
    chunks: Sequence[tuple[int, list[tuple[int, Sentence]]]],
    voices: Sequence[Voice],
    config: SynthesisConfig,
    progress: _Progress,
) -> None:
    waiting = iter(chunks)
    with ProcessPoolExecutor(config.jobs) as pool:
        running: set[Future[ShardResult]] = set()
        while True:
            for number, rows in _some(waiting, 2 * config.jobs - len(running), config, progress):
                running.add(pool.submit(synthesize_shard, folder, number, rows, voices, config))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                progress.add(future.result())
            progress.show()


def _some(
    waiting: Iterator[tuple[int, list[tuple[int, Sentence]]]],
    count: int,
    config: SynthesisConfig,
    progress: _Progress,
) -> Iterator[tuple[int, list[tuple[int, Sentence]]]]:
    """The next chunks to start; none once a limit is reached (what runs is finished and kept)."""
    enough = config.limit_hours is not None and progress.hours >= config.limit_hours
    late = config.limit_minutes is not None and progress.minutes >= config.limit_minutes
    for _ in range(0 if enough or late else count):
        item = next(waiting, None)
        if item is None:
            return
        yield item


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
    (out / "index.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out / "failed.txt").write_text("".join(f"{line}\n" for line in failed), encoding="utf-8")
    hours = ", ".join(
        f"{name} {size / SAMPLE_RATE / 3600:.2f} h" for name, size in sorted(per_dataset.items())
    )
    print(
        f"{out}: {len(lines) - 1} clips, {offset / SAMPLE_RATE / 3600:.2f} h, {len(failed)} failed ({hours})"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edge_las.domain.synthesize", description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="rows of text<TAB>dataset")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engines", help="comma-separated: only these engines (default: all found)")
    parser.add_argument("--limit-hours", type=float, help="stop after so many hours of audio")
    parser.add_argument("--limit-minutes", type=float, help="stop after so many minutes of work")
    args = parser.parse_args(argv)
    config = SynthesisConfig(
        seed=args.seed, jobs=args.jobs, limit_hours=args.limit_hours, limit_minutes=args.limit_minutes
    )
    try:
        voices = list_voices(args.engines.split(",") if args.engines else None)
        synthesize(read_sentences(args.texts), args.out, voices, config)
    except EdgeLasError as error:
        print(f"edge-las: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("edge-las: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
