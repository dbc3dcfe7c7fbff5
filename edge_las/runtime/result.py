"""What recognition gives, and the joining of pieces of a long recording into one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Word:
    """A word, when it was spoken, and the probability that it is right."""

    word: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True)
class Alternative:
    """A text that might have been said; scores (log domain) compare within one utterance only."""

    text: str
    score: float


@dataclass(frozen=True)
class Result:
    """The recognition of one recording.

    confidence is the probability that every word is right, 0 without text; nbest is best first.
    latency_ms runs from the delivery of the last samples to the text; rtf is processing time / duration.
    finished is False where a limit cut the text off.
    """

    text: str
    confidence: float
    words: tuple[Word, ...]
    nbest: tuple[Alternative, ...]
    duration_s: float
    rtf: float
    latency_ms: float
    intent: dict[str, Any] | None = None
    finished: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON, rounded to what they are worth."""
        return {
            "text": self.text,
            "confidence": round(self.confidence, 4),
            "words": [
                {
                    "word": word.word,
                    "start_s": round(word.start_s, 3),
                    "end_s": round(word.end_s, 3),
                    "confidence": round(word.confidence, 4),
                }
                for word in self.words
            ],
            "nbest": [{"text": item.text, "score": round(item.score, 4)} for item in self.nbest],
            "duration_s": round(self.duration_s, 4),
            "rtf": round(self.rtf, 5),
            "latency_ms": round(self.latency_ms, 3),
            "intent": self.intent,
        }


def join_results(pieces: Sequence[Result]) -> Result:
    """Put consecutive pieces of one recording together; word times then count from its beginning."""
    if len(pieces) == 1:
        return pieces[0]
    words: list[Word] = []
    offset_s = processing_s = 0.0
    for piece in pieces:
        words.extend(
            replace(word, start_s=word.start_s + offset_s, end_s=word.end_s + offset_s)
            for word in piece.words
        )
        offset_s += piece.duration_s
        processing_s += piece.rtf * piece.duration_s
    return Result(
        text=" ".join(piece.text for piece in pieces if piece.text),
        confidence=_joint_confidence(pieces),
        words=tuple(words),
        nbest=_joint_nbest(pieces),
        duration_s=offset_s,
        rtf=processing_s / offset_s,
        latency_ms=pieces[-1].latency_ms,
        finished=all(piece.finished for piece in pieces),
    )


def _joint_confidence(pieces: Sequence[Result]) -> float:
    """Multiply: all is right if every piece is."""
    spoken = [piece.confidence for piece in pieces if piece.text]
    return math.prod(spoken) if spoken else 0.0


def _joint_nbest(pieces: Sequence[Result]) -> tuple[Alternative, ...]:
    """Rank the best text and those that differ from it in one piece."""
    pieces = [piece for piece in pieces if piece.nbest]
    if not pieces:
        return ()
    best = [piece.nbest[0] for piece in pieces]
    total = sum(item.score for item in best)
    count = max(len(piece.nbest) for piece in pieces)
    swaps = [
        (piece.nbest[0].score - item.score, i, item)
        for i, piece in enumerate(pieces)
        for item in piece.nbest[1:]
    ]
    swaps.sort(key=lambda swap: swap[0])
    joined = [Alternative(_join_texts([item.text for item in best]), total)]
    for loss, place, other in swaps[: count - 1]:
        texts = [item.text for item in best]
        texts[place] = other.text
        joined.append(Alternative(_join_texts(texts), total - loss))
    return tuple(joined)


def _join_texts(texts: Sequence[str]) -> str:
    return " ".join(text for text in texts if text)
