"""Recordings and noises as a model hears them, with no gate between: what thresholds are tuned on."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.noise import FloatArray
from benchmarks.recordings import Recording
from benchmarks.scoring import edit_distance, right_words
from edge_las.runtime.confidence import Evidence, WordEvidence, word_evidence
from edge_las.runtime.gate import LevelMeter, expected_ctc_tokens
from edge_las.runtime.listener_stream import Heard, ListenerStream
from edge_las.runtime.recognizer import Recognizer
from edge_las.runtime.segment import PieceCutter
from edge_las.runtime.spelling import Judged, judge, spell
from edge_las.search.config import BeamConfig


@dataclass(frozen=True)
class Sound:
    """A recording or a stretch of noise as the Listener heard it; `said` is empty for noise."""

    source: str
    said: str
    heard: Heard
    level_dbfs: float
    ctc_tokens: float
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What became of a sound: its text, and what speaks for that and for each word, which may be right."""

    source: str
    said: str
    text: str
    ctc_tokens: float
    level_dbfs: float
    evidence: Evidence
    words: tuple[tuple[WordEvidence, bool], ...]

    @property
    def is_right(self) -> bool:
        """Whether every word is right; noise has no right text."""
        return bool(self.text) and self.text == self.said

    @property
    def is_mostly_right(self) -> bool:
        """Whether at least half of the letters are right; noise has no right text."""
        return bool(self.said) and edit_distance(self.text, self.said) <= len(self.said) / 2


def listen(recognizer: Recognizer, source: str, said: str, samples: FloatArray) -> Sound | None:
    """Run the Listener; None where the sound has no encoded frame, or is digital silence."""
    setup = recognizer.setup
    stream = ListenerStream(setup.engine, setup.manifest)
    meter = LevelMeter(recognizer.sample_rate)
    meter.accept(samples)
    stream.accept(samples)
    heard = stream.finish()
    if heard is None or meter.dbfs == -np.inf:
        return None
    tokens = expected_ctc_tokens(heard.ctc_log_probs, setup.silent_ids)
    return Sound(source, said, heard, meter.dbfs, tokens, samples.size / recognizer.sample_rate)


def listen_to_all(recognizer: Recognizer, recordings: Iterable[Recording]) -> Iterator[Sound]:
    """Listen to the recordings that the Speller can take in one piece."""
    limit_s = recognizer.manifest.speller.max_utterance_s
    for recording in recordings:
        if recording.seconds < limit_s:
            sound = listen(recognizer, recording.dataset, recording.text, recording.samples())
            if sound is not None:
                yield sound


def listen_in_pieces(recognizer: Recognizer, recording: Recording) -> list[Sound]:
    """Listen to a recording of any length, cut at pauses as `Recognizer.transcribe` does."""
    cutter = PieceCutter(recognizer.manifest.speller.max_utterance_s, recognizer.sample_rate)
    parts: list[list[FloatArray]] = [[]]
    for samples, ends in cutter.accept(recording.samples()):
        parts[-1].append(samples)
        if ends:
            parts.append([])
    parts[-1].append(cutter.finish())
    sounds = (listen(recognizer, recording.dataset, recording.text, np.concatenate(part)) for part in parts)
    return [sound for sound in sounds if sound is not None]


def spelled(recognizer: Recognizer, sound: Sound, search: BeamConfig | None = None) -> Judged:
    """Spell a sound freely, without any gate."""
    setup = replace(recognizer.setup, grammar=None, search=search or recognizer.setup.search)
    return judge(setup, spell(setup, sound.heard, sound.seconds), sound.heard)


def answer(recognizer: Recognizer, sound: Sound) -> Answer:
    """Spell a sound, and gather what speaks for the text."""
    found = spelled(recognizer, sound)
    grouped = recognizer.tokens.words(found.placed.hypothesis.tokens)
    right = right_words(sound.said, [word for word, _, _ in grouped])
    words = tuple(
        (word_evidence(found.placed, first, end), is_right)
        for (_, first, end), is_right in zip(grouped, right, strict=True)
    )
    return Answer(
        sound.source, sound.said, found.text, sound.ctc_tokens, sound.level_dbfs, found.evidence, words
    )


def answers(recognizer: Recognizer, sounds: Iterable[Sound | None]) -> list[Answer]:
    """Spell all sounds; keep those that give any text."""
    found = (answer(recognizer, sound) for sound in sounds if sound is not None)
    return [item for item in found if item.text]


def share(truths: Sequence[bool]) -> float:
    """Return the share of what is true; 0 of nothing."""
    return round(sum(truths) / len(truths), 4) if truths else 0.0
