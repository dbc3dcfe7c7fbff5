"""Cut the long clips of an aligned corpus at pauses between words: shorter utterances from the same speech.

Attention costs the square of an utterance's length: in clips of 15 seconds the Speller took 60 % of a CPU's
training time (docs/notes.md). Commands are short, and the runtime hands over long speech in pieces too.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from edge_las.errors import ConfigError
from edge_las.train.alignment import ALIGNMENT_FILE, FIELDS, FRAME_SAMPLES, Alignment
from edge_las.train.corpus import AUDIO_FILE, SAMPLE_RATE, Clip, Corpus, write_index
from edge_las.train.corpus import FIELDS as INDEX_FIELDS

_FRAMES_PER_S = SAMPLE_RATE // FRAME_SAMPLES
# A boundary is a pause from this length on; without one the widest boundary will do.
_PAUSE_FRAMES = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `edge-las cut`."""
    add = parser.add_argument
    add("corpus", type=Path, help="folder with index.tsv, audio.i16 and align.tsv")
    add("out", type=Path, help="folder to write")
    add("--seconds", type=float, default=6.0, help="longest piece (default: %(default)s)")
    add("--whole", action="append", default=[], metavar="DATASET", help="leave its clips whole; repeatable")


def run(args: argparse.Namespace) -> int:
    """Cut as the command line says."""
    if args.seconds < 1.0:
        raise ConfigError(f"--seconds is {args.seconds:g}, must be at least 1")
    print(f"{cut_corpus(args.corpus, args.out, args.seconds, args.whole)} clips in {args.out}")
    return 0


def cut_corpus(folder: Path, out: Path, longest_s: float, whole: Sequence[str] = ()) -> int:
    """Write a corpus whose aligned train clips last at most about `longest_s`; the audio is a link.

    Data sets named in `whole` are not cut: where prompts are misspoken, a piece may lack its words.
    Returns the number of clips. Raises: ConfigError for a folder without an alignment.
    """
    if not (folder / ALIGNMENT_FILE).exists():
        raise ConfigError(f"{folder}: no {ALIGNMENT_FILE} is there: edge-las align {folder}")
    corpus = Corpus([folder])
    pieces: list[tuple[Clip, Alignment | None]] = []
    for clip in corpus.clips:
        alignment = corpus.alignment(clip)
        if alignment is None or clip.split != "train" or clip.seconds <= longest_s or clip.dataset in whole:
            pieces.append((clip, alignment))
        else:
            pieces += _pieces(clip, alignment, longest_s)
    out.mkdir(parents=True, exist_ok=True)
    audio = out / AUDIO_FILE
    audio.unlink(missing_ok=True)
    audio.symlink_to(os.path.relpath((folder / AUDIO_FILE).resolve(), out.resolve()))
    with open(out / ALIGNMENT_FILE, "w", encoding="utf-8") as file:
        file.write("\t".join(FIELDS) + "\n")
        file.writelines("\t".join((c.id, *a.columns())) + "\n" for c, a in pieces if a is not None)
    write_index(out, (tuple(getattr(clip, name) for name in INDEX_FIELDS) for clip, _ in pieces))
    return len(pieces)


def _pieces(clip: Clip, alignment: Alignment, longest_s: float) -> Iterator[tuple[Clip, Alignment]]:
    edges = cut_points(alignment, clip.num_samples // FRAME_SAMPLES, round(longest_s * _FRAMES_PER_S))
    words = clip.text.split()
    for number, ((first, begin), (last, end)) in enumerate(zip(edges, edges[1:], strict=False)):
        piece = replace(
            clip,
            id=f"{clip.id}.{number}",
            offset_samples=clip.offset_samples + begin * FRAME_SAMPLES,
            num_samples=(end - begin) * FRAME_SAMPLES,
            text=" ".join(words[first:last]),
        )
        spans = tuple((start - begin, frames) for start, frames in alignment.words[first:last])
        yield piece, Alignment(_between(alignment.phones, begin, end), spans)


def cut_points(alignment: Alignment, frames: int, longest: int) -> list[tuple[int, int]]:
    """Find where to cut: (words before it, frame) of each edge, the clip's begin and end among them."""
    edges = [(0, 0)]
    words = alignment.words
    # The boundary before each word but the first: its middle, and how long it is.
    gaps = []
    for number, (before, after) in enumerate(zip(words, words[1:], strict=False), start=1):
        end = before[0] + before[1]
        gaps.append((number, (end + after[0]) // 2, after[0] - end))
    while frames - edges[-1][1] > longest:
        begin = edges[-1][1]
        reachable = [gap for gap in gaps if begin + longest // 4 < gap[1] <= begin + longest]
        if not reachable:
            later = [gap for gap in gaps if gap[1] > begin + longest]
            if not later:
                break
            reachable = later[:1]
        pauses = [gap for gap in reachable if gap[2] >= _PAUSE_FRAMES]
        number, middle, _ = pauses[-1] if pauses else max(reachable, key=lambda gap: gap[2])
        edges.append((number, middle))
    return [*edges, (len(words), frames)]


def _between(phones: tuple[tuple[int, int], ...], begin: int, end: int) -> tuple[tuple[int, int], ...]:
    """Keep the stretches of phones that lie in frames begin to end, cut to fit."""
    kept, at = [], 0
    for phone, frames in phones:
        inside = min(end, at + frames) - max(begin, at)
        if inside > 0:
            kept.append((phone, inside))
        at += frames
    return tuple(kept)
