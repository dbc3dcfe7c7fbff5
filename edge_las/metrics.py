"""What recognition is measured by: word and character errors (jiwer) and exact matches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_las.errors import ConfigError, DeviceError


@dataclass(frozen=True)
class ErrorReport:
    """Errors of a corpus against its references, counted over all of it."""

    substitutions: int
    deletions: int
    insertions: int
    reference_length: int

    @property
    def errors(self) -> int:
        """All errors together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference unit; with an empty reference 0 if there are none, else infinite."""
        if self.reference_length == 0:
            return float("inf") if self.errors else 0.0
        return self.errors / self.reference_length


@dataclass(frozen=True)
class Report:
    """How one set of utterances was recognized."""

    utterances: int
    words: ErrorReport
    characters: ErrorReport
    exact: int

    @property
    def wer(self) -> float:
        """Word error rate, 0 to above 1."""
        return self.words.rate

    @property
    def cer(self) -> float:
        """Character error rate, spaces included."""
        return self.characters.rate

    @property
    def accuracy(self) -> float:
        """Share of utterances without any error; for single words and commands."""
        return self.exact / self.utterances

    def to_dict(self) -> dict[str, float | int]:
        """Give the numbers for JSON, rates to 4 decimals."""
        return {
            "utterances": self.utterances,
            "words": self.words.reference_length,
            "wer": round(self.wer, 4),
            "cer": round(self.cer, 4),
            "accuracy": round(self.accuracy, 4),
            "substitutions": self.words.substitutions,
            "deletions": self.words.deletions,
            "insertions": self.words.insertions,
        }


def measure(references: Sequence[str], hypotheses: Sequence[str]) -> Report:
    """Compare hypotheses with references, pair by pair; both are taken as normalized already.

    Raises: ConfigError if there are none or their numbers differ.
    """
    words = word_errors(references, hypotheses)
    characters = character_errors(references, hypotheses)
    return Report(len(references), words, characters, _count_exact(references, hypotheses))


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorReport:
    """Count word errors over a corpus."""
    _check_pairs(references, hypotheses)
    return _counts(_jiwer().process_words(list(references), list(hypotheses)))


def character_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorReport:
    """Count character errors over a corpus; spaces count, runs of them as one."""
    _check_pairs(references, hypotheses)
    clean = [[" ".join(text.split()) for text in texts] for texts in (references, hypotheses)]
    return _counts(_jiwer().process_characters(*clean))


def wer(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Compute the word error rate of a corpus."""
    return word_errors(references, hypotheses).rate


def cer(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Compute the character error rate of a corpus."""
    return character_errors(references, hypotheses).rate


def accuracy(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Compute the share of utterances recognized exactly."""
    _check_pairs(references, hypotheses)
    return _count_exact(references, hypotheses) / len(references)


def _count_exact(references: Sequence[str], hypotheses: Sequence[str]) -> int:
    return sum(a.split() == b.split() for a, b in zip(references, hypotheses, strict=True))


def _counts(output: Any) -> ErrorReport:
    length = output.hits + output.substitutions + output.deletions
    return ErrorReport(output.substitutions, output.deletions, output.insertions, length)


def _check_pairs(references: Sequence[str], hypotheses: Sequence[str]) -> None:
    if isinstance(references, str) or isinstance(hypotheses, str):
        raise TypeError("references and hypotheses must be lists of texts")
    if not references or len(references) != len(hypotheses):
        raise ConfigError(f"{len(references)} references and {len(hypotheses)} hypotheses cannot be compared")


def _jiwer() -> Any:
    try:
        import jiwer
    except ImportError as error:
        raise DeviceError(f"word error rates need jiwer: pip install jiwer ({error})") from None
    return jiwer
