"""What is heard at once: a clip or several joined, with all that is known of when and how it was said."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_las.tokens import TokenTable
from edge_las.train.alignment import FRAME_SAMPLES, UNKNOWN
from edge_las.train.corpus import SAMPLE_RATE, Corpus
from edge_las.train.teacher import ROW_SAMPLES

# Fewest and most seconds of pause between joined clips; below zero would cut trimmed clips.
_JOIN_PAUSE_S = (0.02, 0.45)


@dataclass(frozen=True)
class Utterance:
    """One clip, or several joined."""

    wave: np.ndarray  # (S,) int16
    text: str
    phones: np.ndarray  # (F,) uint8
    words: list[tuple[int, int]]  # first frame (negative = unknown) and frames of each word
    taught: np.ndarray  # (F', D) int8, by ROW_SAMPLES


def join_clips(
    corpus: Corpus, item: Sequence[int], rng: np.random.Generator, teacher_dim: int = 0
) -> Utterance:
    """Put clips of a corpus one after the other, with pauses between them."""
    waves: list[np.ndarray] = []
    phones: list[np.ndarray] = []
    words: list[tuple[int, int]] = []
    begins: list[int] = []
    for i in item:
        clip, alignment = corpus.clips[i], corpus.alignment(corpus.clips[i])
        if waves:
            pause = round(rng.uniform(*_JOIN_PAUSE_S) * SAMPLE_RATE / FRAME_SAMPLES)
            waves.append(np.zeros(pause * FRAME_SAMPLES, np.int16))
            phones.append(np.zeros(pause, np.uint8))  # silence
        begin, frames = sum(map(len, phones)), clip.num_samples // FRAME_SAMPLES
        begins.append(begin)
        waves.append(corpus.samples(clip)[: frames * FRAME_SAMPLES])
        if alignment is None:
            phones.append(np.full(frames, UNKNOWN, np.uint8))
            words += [(-1, 0)] * len(clip.text.split())
        else:
            phones.append(alignment.frame_phones(frames))
            words += [(begin + first, count) for first, count in alignment.words]
    wave = np.concatenate(waves)
    taught = np.zeros((-(-len(wave) // ROW_SAMPLES), teacher_dim), np.int8)
    if teacher_dim:
        _lay_taught(corpus, item, begins, taught)
    text = " ".join(corpus.clips[i].text for i in item)
    return Utterance(wave, text, np.concatenate(phones), words, taught)


def _lay_taught(corpus: Corpus, item: Sequence[int], begins: list[int], taught: np.ndarray) -> None:
    for i, begin in zip(item, begins, strict=True):
        clip = corpus.clips[i]
        if (teacher := corpus.teacher(clip)) is not None:
            teacher.lay(taught, begin * FRAME_SAMPLES, clip.offset_samples, clip.num_samples)


def token_spans(tokens: TokenTable, ids: Sequence[int], utterance: Utterance) -> np.ndarray:
    """Share each word's stretch evenly among its tokens; <eos> has what follows: (U + 1, 2) float32."""
    spans = np.full((len(ids) + 1, 2), -1.0, np.float32)
    said = tokens.words(ids)
    if len(said) != len(utterance.words):  # a word that is all unknown characters
        return spans
    for (_, first, last), (begin, frames) in zip(said, utterance.words, strict=True):
        if begin >= 0:
            edges = np.linspace(begin, begin + frames, last - first + 1)
            spans[first:last] = np.stack([edges[:-1], edges[1:]], axis=1)
    if len(ids) and spans[-2, 1] >= 0:
        spans[-1] = spans[-2, 1], len(utterance.phones)
    return spans
