"""Speak a table of sentences with many voices, in parallel, into one flat PCM file and its index."""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import numpy as np

from edge_las.domain.shards import (
    SAMPLE_RATE,
    Cast,
    Sentence,
    ShardResult,
    SynthesisConfig,
    finished_shards,
    merge,
    synthesize_shard,
)
from edge_las.domain.voices import list_voices
from edge_las.errors import ConfigError, EdgeLasError

CHUNK_CLIPS = 128
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz' ")


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


def describe_plan(sentences: Sequence[Sentence], voices: Cast, config: SynthesisConfig) -> dict[str, object]:
    """Give what decides the audio, as plain values."""
    digest = hashlib.sha256("\n".join(f"{s.text}\t{s.dataset}\t{s.split}" for s in sentences).encode())
    for split in sorted(voices):
        digest.update(repr([split, *((v.id, v.weight) for v in voices[split])]).encode())
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


def synthesize(sentences: Sequence[Sentence], out: Path, voices: Cast, config: SynthesisConfig) -> None:
    """Speak all sentences, each with a voice of its split; resumes.

    The order is shuffled by the seed, so that any prefix is a fair sample.
    """
    folder = out / "shards"
    _prepare(folder, describe_plan(sentences, voices, config))
    order = np.random.default_rng([config.seed, 0]).permutation(len(sentences))
    done, progress = finished_shards(folder), _Progress(len(sentences))
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
    voices: Cast,
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
        synthesize(read_sentences(args.texts), args.out, {"train": voices}, config)
    except EdgeLasError as error:
        print(f"edge-las: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("edge-las: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
