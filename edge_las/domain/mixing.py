"""Real speech beside the synthetic: chosen from recordings, so that a domain's model keeps what it knows."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from edge_las.errors import ConfigError
from edge_las.train.corpus import AUDIO_FILE, INDEX_FILE, Clip, Corpus, read_tsv, write_index
from edge_las.train.data import holds
from edge_las.train.decode import MANIFEST
from edge_las.train.lhotse_cuts import cut_manifests

# Where kept, never trained on: what the threshold of rejection is chosen by.
NEGATIVE = "real_other"
# Of the real speech, what is chosen for holding words of the commands: the rest keeps what the base knows.
_WORDS_SHARE = 0.5


def hours_to_decode(folders: Iterable[Path]) -> float:
    """Sum up the hours of recordings that are not decoded yet, as their manifests state them.

    Raises: ConfigError naming a folder without recordings that can be read.
    """
    seconds = 0.0
    for folder in folders:
        if (folder / INDEX_FILE).exists() or cut_manifests(folder):
            continue
        if not (folder / MANIFEST).exists():
            raise ConfigError(f"{folder}: neither {INDEX_FILE}, {MANIFEST} nor cuts.jsonl.gz is there")
        seconds += sum(float(row.get("seconds") or 0.0) for _, row in read_tsv(folder / MANIFEST, ("path",)))
    return seconds / 3600


def copy_clips(corpus: Corpus, clips: Iterable[Clip], out: Path) -> Path:
    """Write clips as a flat corpus of their own, whole or not at all; return its folder."""
    if (out / INDEX_FILE).exists():
        return out
    out.mkdir(parents=True, exist_ok=True)
    rows, offset = [], 0
    with open(out / AUDIO_FILE, "wb") as audio:
        for clip in clips:
            audio.write(corpus.samples(clip).tobytes())
            size = clip.num_samples
            rows.append((clip.id, offset, size, clip.dataset, clip.speaker, clip.split, clip.text))
            offset += size
    write_index(out, rows)
    return out


def spread(clips: Sequence[Clip], count: int) -> list[Clip]:
    """Take so many clips of each of the splits train and dev, evenly."""
    chosen: list[Clip] = []
    for split in ("train", "dev"):
        rows = [clip for clip in clips if clip.split == split]
        chosen += rows[:: max(1, len(rows) // count)]
    return chosen


def choose_real(
    corpus: Corpus, hours: float, negatives: int, words: Collection[str], leave_out: bool,
    is_command: Callable[[str], bool], max_seconds: float, seed: int,
) -> list[Clip]:  # fmt: skip
    """Choose clips of the train split to hear, and others, as NEGATIVE of split dev, that are no commands.

    Half of them hold words of the commands; none does if those are to be left out. Of the rest large data
    sets give more than small ones, but less than their size. Raises: ConfigError if nothing is left.
    """
    barred = set(words) if leave_out else set()
    rng = np.random.default_rng([seed, 21])
    usable = [
        clip
        for clip in corpus.clips
        if clip.split == "train" and clip.text and 0.3 <= clip.seconds <= max_seconds
        if not holds(clip.text, barred)
    ]
    if not usable:
        raise ConfigError("--speech: no clip of the train split can be used")
    usable = [usable[int(i)] for i in rng.permutation(len(usable))]
    outside = _in_turn([clip for clip in usable if not is_command(clip.text)])[:negatives]
    kept = {clip.id for clip in outside}
    left = [clip for clip in usable if clip.id not in kept]
    holding = _holding(left, set(words), _WORDS_SHARE * hours)
    kept |= {clip.id for clip in holding}
    hours -= sum(clip.seconds for clip in holding) / 3600
    heard = [*holding, *_share_out([clip for clip in left if clip.id not in kept], hours)]
    return [*heard, *(replace(clip, dataset=NEGATIVE, split="dev") for clip in outside)]


def _holding(clips: Sequence[Clip], words: set[str], hours: float) -> list[Clip]:
    """Choose clips that hold the words, about as many for each: every word has its turn, the rarest first."""
    by_word: dict[str, list[Clip]] = {}
    for clip in clips:
        for word in words & set(clip.text.split()):
            by_word.setdefault(word, []).append(clip)
    chosen: dict[str, Clip] = {}
    left = hours * 3600
    for turn in zip_longest(*sorted(by_word.values(), key=len)):
        for clip in turn:
            if left <= 0:
                return list(chosen.values())
            if clip is not None and clip.id not in chosen:
                chosen[clip.id] = clip
                left -= clip.seconds
    return list(chosen.values())


def _share_out(clips: Sequence[Clip], hours: float) -> list[Clip]:
    sets = _by_dataset(clips)
    sizes = {name: sum(clip.seconds for clip in rows) / 3600 for name, rows in sets.items()}
    scale = hours / sum(np.sqrt(size) for size in sizes.values())
    chosen = []
    for name, rows in sets.items():
        left = scale * np.sqrt(sizes[name]) * 3600
        for clip in rows:
            if left <= 0:
                break
            chosen.append(clip)
            left -= clip.seconds
    return chosen


def _in_turn(clips: Sequence[Clip]) -> list[Clip]:
    """Order clips so that each data set has its turn."""
    ranked = [(rank, clip) for rows in _by_dataset(clips).values() for rank, clip in enumerate(rows)]
    return [clip for _, clip in sorted(ranked, key=lambda pair: pair[0])]


def _by_dataset(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    sets: dict[str, list[Clip]] = {}
    for clip in clips:
        sets.setdefault(clip.dataset, []).append(clip)
    return sets
