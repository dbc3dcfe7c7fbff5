"""What is heard at once: clips one after the other, or phrases, with all that is known of how it was said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_las.lexicon import SILENCE
from edge_las.tokens import TokenTable
from edge_las.train.alignment import FRAME_SAMPLES, UNKNOWN
from edge_las.train.corpus import SAMPLE_RATE, Corpus
from edge_las.train.teacher import ROW_SAMPLES

# Fewest and most seconds of pause between joined clips; below zero would cut trimmed clips.
_JOIN_PAUSE_S = (0.02, 0.45)
# Most words of a phrase that is taken over into a spliced utterance, and how its cut edges are softened.
_PHRASE_WORDS = 4
FADE = np.linspace(0.0, 1.0, 48, dtype=np.float32)

Voice = tuple[str, str]  # data set, speaker


@dataclass(frozen=True)
class Stretch:
    """Samples of a corpus that an utterance has from sample `at` on; cut edges are faded."""

    at: int
    corpus: int
    offset: int
    samples: int
    fade_in: bool
    fade_out: bool


@dataclass(frozen=True)
class Utterance:
    """One clip, or several joined, or phrases of several."""

    stretches: tuple[Stretch, ...]
    num_samples: int
    text: str
    phones: np.ndarray  # (F,) uint8
    words: list[tuple[int, int]]  # first frame (negative = unknown) and frames of each word
    taught: np.ndarray  # (F', D) int8, by ROW_SAMPLES

    def wave(self, corpus: Corpus) -> np.ndarray:
        """Read its samples, (num_samples,) int16."""
        wave = np.zeros(self.num_samples, np.int16)
        for stretch in self.stretches:
            place = wave[stretch.at : stretch.at + stretch.samples]
            place[:] = corpus.read(stretch.corpus, stretch.offset, stretch.samples)
            if stretch.fade_in:
                place[: len(FADE)] = (place[: len(FADE)] * FADE).astype(np.int16)
            if stretch.fade_out:
                place[-len(FADE) :] = (place[-len(FADE) :] * FADE[::-1]).astype(np.int16)
        return wave


@dataclass(frozen=True)
class Piece:
    """A stretch of a clip, in frames of 10 ms, and what is said in it."""

    clip: int
    begin: int
    end: int
    text: tuple[str, ...]
    phones: np.ndarray  # (end - begin,) uint8
    words: list[tuple[int, int]]  # first frame of the clip (negative = unknown) and frames of each word


def join_clips(
    corpus: Corpus, item: Sequence[int], rng: np.random.Generator, teacher_dim: int = 0
) -> Utterance:
    """Put clips of a corpus one after the other, with pauses between them."""
    pauses = [round(rng.uniform(*_JOIN_PAUSE_S) * SAMPLE_RATE / FRAME_SAMPLES) for _ in item[1:]]
    return _lay(corpus, [_whole(corpus, i) for i in item], pauses, teacher_dim)


def splice(
    corpus: Corpus, clips: Sequence[int], seconds: float, rng: np.random.Generator, teacher_dim: int = 0
) -> Utterance:
    """Put random phrases of aligned clips of one voice together, to about `seconds`.

    Words lose the company they were always heard in (Lam et al. 2021, arXiv:2104.01393).
    """
    wanted = round(seconds * SAMPLE_RATE / FRAME_SAMPLES)
    pieces: list[Piece] = []
    while wanted > 0:
        pieces.append(_phrase(_whole(corpus, int(rng.choice(clips))), rng))
        wanted -= pieces[-1].end - pieces[-1].begin
    return _lay(corpus, pieces, [0] * (len(pieces) - 1), teacher_dim)


def by_voice(corpus: Corpus, clips: Sequence[int]) -> Mapping[Voice, list[int]]:
    """List the clips of each voice whose words are all known to lie somewhere."""
    found: dict[Voice, list[int]] = {}
    for i in clips:
        if corpus.aligned(corpus.clips[i]):
            found.setdefault((corpus.clips[i].dataset, corpus.clips[i].speaker), []).append(i)
    return found


def _whole(corpus: Corpus, number: int) -> Piece:
    clip, alignment = corpus.clips[number], corpus.alignment(corpus.clips[number])
    frames, text = clip.num_samples // FRAME_SAMPLES, tuple(clip.text.split())
    if alignment is None:
        return Piece(number, 0, frames, text, np.full(frames, UNKNOWN, np.uint8), [(-1, 0)] * len(text))
    return Piece(number, 0, frames, text, alignment.frame_phones(frames), list(alignment.words))


def _phrase(whole: Piece, rng: np.random.Generator) -> Piece:
    """Cut a few words out of a clip, at the middle of the pauses around them."""
    count = len(whole.words)
    first = int(rng.integers(count))
    last = min(count, first + int(rng.integers(1, _PHRASE_WORDS + 1)))
    ends = [begin + frames for begin, frames in whole.words]
    begin = 0 if first == 0 else (ends[first - 1] + whole.words[first][0]) // 2
    end = whole.end if last == count else (ends[last - 1] + whole.words[last][0]) // 2
    begin, end = min(begin, whole.end - 1), max(begin + 1, min(end, whole.end))
    phones, words = whole.phones[begin:end], whole.words[first:last]
    return Piece(whole.clip, begin, end, whole.text[first:last], phones, words)


def _lay(corpus: Corpus, pieces: Sequence[Piece], pauses: Sequence[int], teacher_dim: int) -> Utterance:
    """Lay pieces one after the other; after all but the last there is a pause, in frames."""
    stretches: list[Stretch] = []
    phones: list[np.ndarray] = []
    words: list[tuple[int, int]] = []
    begins: list[int] = []
    at = 0
    for piece, pause in zip(pieces, [*pauses, 0], strict=True):
        begins.append(at)
        stretches.append(_stretch(corpus, piece, at * FRAME_SAMPLES))
        phones.append(piece.phones)
        words += [(first if first < 0 else at + first - piece.begin, n) for first, n in piece.words]
        if pause:
            # Beside a clip that was not aligned, silence would be all that is known of an utterance.
            phones.append(np.full(pause, UNKNOWN if UNKNOWN in piece.phones[:1] else SILENCE, np.uint8))
        at += piece.end - piece.begin + pause
    taught = np.zeros((-(-at * FRAME_SAMPLES // ROW_SAMPLES), teacher_dim), np.int8)
    if teacher_dim:
        _lay_taught(corpus, pieces, begins, taught)
    text = " ".join(word for piece in pieces for word in piece.text)
    return Utterance(tuple(stretches), at * FRAME_SAMPLES, text, np.concatenate(phones), words, taught)


def _stretch(corpus: Corpus, piece: Piece, at: int) -> Stretch:
    clip, samples = corpus.clips[piece.clip], (piece.end - piece.begin) * FRAME_SAMPLES
    long = samples > 2 * len(FADE)
    fade_in = long and piece.begin > 0
    fade_out = long and (piece.end + 1) * FRAME_SAMPLES <= clip.num_samples
    offset = clip.offset_samples + piece.begin * FRAME_SAMPLES
    return Stretch(at, clip.corpus, offset, samples, fade_in, fade_out)


def _lay_taught(corpus: Corpus, pieces: Sequence[Piece], begins: list[int], taught: np.ndarray) -> None:
    for piece, at in zip(pieces, begins, strict=True):
        clip = corpus.clips[piece.clip]
        if (teacher := corpus.teacher(clip)) is not None:
            offset = clip.offset_samples + piece.begin * FRAME_SAMPLES
            end = min(piece.end * FRAME_SAMPLES, clip.num_samples)
            teacher.lay(taught, at * FRAME_SAMPLES, offset, end - piece.begin * FRAME_SAMPLES)


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
