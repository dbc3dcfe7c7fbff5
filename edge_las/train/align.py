"""Forced alignment of a flat corpus: when each phone and word is said, which training may learn from.

A bootstrap, not a dependency of the model: PocketSphinx knows the transcript and only finds the times. Frame
targets bring the Listener off the ground in minutes where CTC alone stays at chance (docs/notes.md).
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from edge_las.errors import ConfigError, DeviceError
from edge_las.lexicon import PHONES
from edge_las.pronouncing import pronounce
from edge_las.train.alignment import ALIGNMENT_FILE, FIELDS, Alignment
from edge_las.train.corpus import INDEX_FILE, Clip, Corpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `edge-las align`."""
    parser.add_argument("corpus", type=Path, help="folder with index.tsv and audio.i16")


def run(args: argparse.Namespace) -> int:
    """Align as the command line says."""
    print(f"{align_corpus(args.corpus)} clips aligned")
    return 0


class Aligner:
    """Finds the times of known words in speech, with PocketSphinx and its dictionary."""

    def __init__(self) -> None:
        """Load the acoustic model. Raises: DeviceError saying which package to install."""
        try:
            from pocketsphinx import Decoder
        except ImportError:
            raise DeviceError("alignment needs PocketSphinx: pip install edge-las[align]") from None
        self._decoder: Any = Decoder(samprate=16000, loglevel="FATAL", lm=None, bestpath=False)

    def learn(self, words: Iterable[str]) -> None:
        """Add the words its dictionary lacks, said as espeak-ng says them; without it they stay out."""
        unknown = sorted({word for word in words if self._decoder.lookup_word(word) is None})
        for word, phones in zip(unknown, pronounce(unknown), strict=True):
            if phones:
                self._decoder.add_word(word, phones, False)

    def align(self, pcm: bytes, text: str) -> Alignment | None:
        """Align 16 kHz int16 samples with their text; None if a word is unknown or the text is not said."""
        decoder = self._decoder
        if any(decoder.lookup_word(word) is None for word in text.split()):
            return None
        decoder.set_align_text(text)
        try:
            self._hear(pcm)
            if decoder.hyp() is None:
                return None
            decoder.set_alignment()  # the second pass finds the phones inside the words of the first
            self._hear(pcm)
            found = decoder.get_alignment()
        except RuntimeError:
            return None
        phones, words = [], []
        for word in found:  # read at once: its segments die with it
            phones += [(PHONES.index(p.name) if p.name in PHONES else 0, p.duration) for p in word]
            if not word.name.startswith("<"):
                words.append((word.start, word.duration))
        return Alignment(tuple(phones), tuple(words)) if len(words) == len(text.split()) else None

    def _hear(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, no_search=False, full_utt=True)
        self._decoder.end_utt()


def align_corpus(folder: Path) -> int:
    """Write align.tsv beside a flat corpus, going on where interrupted; return how many clips it holds.

    Raises: ConfigError for a folder without a flat corpus.
    """
    if not (folder / INDEX_FILE).exists():
        raise ConfigError(f"{folder}: no {INDEX_FILE} is there")
    corpus = Corpus([folder])
    part, whole = folder / (ALIGNMENT_FILE + ".part"), folder / ALIGNMENT_FILE
    if whole.exists():
        return _count(whole)
    done = _begun(part)
    aligner = Aligner()
    aligner.learn(word for clip in corpus.clips for word in clip.text.split())
    left = [clip for clip in corpus.clips if clip.text and clip.id not in done]
    with open(part, "a", encoding="utf-8") as file, tqdm(left, unit="clip", mininterval=5) as bar:
        if not done:
            file.write("\t".join(FIELDS) + "\n")
        for clip in bar:
            file.write(_row(clip, aligner.align(corpus.samples(clip).tobytes(), clip.text)))
    part.replace(whole)
    return _count(whole)


def _begun(part: Path) -> set[str]:
    """Cut off a half-written last line, and give the ids that are done."""
    if not part.exists():
        return set()
    text = part.read_text(encoding="utf-8")
    text = text[: text.rfind("\n") + 1]
    part.write_text(text, encoding="utf-8")
    return {line.split("\t", 1)[0] for line in text.splitlines()[1:]}


def _count(path: Path) -> int:
    with open(path, encoding="utf-8") as file:
        return sum(bool(line.split("\t")[1]) for line in file) - 1


def _row(clip: Clip, alignment: Alignment | None) -> str:
    phones, words = ("", "") if alignment is None else alignment.columns()
    return f"{clip.id}\t{phones}\t{words}\n"
