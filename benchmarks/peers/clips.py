"""The recordings of a comparison: of a speech folder, or of one with label.json, clean and in noise."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.accuracy import word_lists
from benchmarks.noise import FloatArray, mix
from benchmarks.peers.systems import SAMPLE_RATE_HZ
from benchmarks.recordings import choose, load_recordings, spread
from benchmarks.scoring import SINGLE_WORD_SETS
from edge_las.artifact import load_manifest
from edge_las.audio import read_audio
from edge_las.domain.proof import Case, read_cases
from edge_las.errors import ConfigError
from edge_las.grammar import Grammar, phrases_grammar
from edge_las.grammar_file import load_grammar
from edge_las.manifest import GRAMMAR_NAME
from edge_las.search.automaton import Automaton

LABELS_NAME = "label.json"
_ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz'")


@dataclass(frozen=True)
class Clip:
    """A recording whose samples (S,) at 16 kHz are read when asked for, and what it says or means."""

    id: str
    samples: Callable[[], FloatArray]
    text: str = ""
    case: Case | None = None


@dataclass(frozen=True)
class ClipSet:
    """Recordings that are scored together; grammar holds what may be said, where that is known.

    model: the artifact that edge-las uses in place of the one that the comparison is of.
    """

    name: str
    clips: tuple[Clip, ...]
    grammar: Grammar | None = None
    model: Path | None = None
    snr_db: float | None = None

    @property
    def of_intents(self) -> bool:
        """Whether meanings are known rather than words."""
        return self.clips[0].case is not None


def speech_sets(folder: Path, limits: Mapping[str, int], split: str = "dev") -> list[ClipSet]:
    """Choose recordings of each data set, at most so many; single words get the grammar of their set's words.

    Raises: ConfigError naming what is missing.
    """
    recordings = load_recordings(folder, SAMPLE_RATE_HZ)
    words = word_lists(recordings)
    chosen = choose(recordings, split, list(limits))
    sets = []
    for name, limit in limits.items():
        picked = spread(chosen[name], limit)
        clips = tuple(Clip(item.id, item.samples, item.text) for item in picked)
        grammar = phrases_grammar(words[name], _ALPHABET, "en", name) if name in SINGLE_WORD_SETS else None
        sets.append(ClipSet(name, clips, grammar))
    return sets


def label_sets(
    folder: Path, domain: Path, limit: int, noise: Path | None, snrs_db: Sequence[float]
) -> list[ClipSet]:
    """Take a folder with label.json as a set of commands: clean, and mixed with noise at each ratio.

    Every ratio has the same stretches of noise. Raises: ConfigError naming what is missing.
    """
    if GRAMMAR_NAME not in load_manifest(domain).files:
        raise ConfigError(f"{domain}: has no grammar: build one with edge-las domain build")
    grammar = load_grammar(domain / GRAMMAR_NAME)
    cases = spread(read_cases(folder / LABELS_NAME, Automaton(grammar)), limit)
    clean = [partial(read_audio, case.path, SAMPLE_RATE_HZ) for case in cases]
    sets = [_label_set(folder.name, cases, clean, grammar, domain, None)]
    if noise is None:
        return sets
    hum = read_audio(noise, SAMPLE_RATE_HZ)
    offsets = np.random.default_rng(0).integers(hum.size, size=len(cases)).tolist()
    for snr_db in snrs_db:
        mixed = [
            partial(_mixed, read, hum, snr_db, offset) for read, offset in zip(clean, offsets, strict=True)
        ]
        sets.append(_label_set(f"{folder.name} {snr_db:g} dB", cases, mixed, grammar, domain, snr_db))
    return sets


def _label_set(
    name: str,
    cases: Iterable[Case],
    sounds: Iterable[Callable[[], FloatArray]],
    grammar: Grammar,
    domain: Path,
    snr_db: float | None,
) -> ClipSet:
    clips = tuple(Clip(case.path.name, read, "", case) for case, read in zip(cases, sounds, strict=True))
    return ClipSet(name, clips, grammar, domain, snr_db)


def _mixed(read: Callable[[], FloatArray], noise: FloatArray, snr_db: float, offset: int) -> FloatArray:
    return mix(read(), noise, snr_db, offset)
