"""How sure to be of a text: what Speller and CTC head say of it, made into probabilities measured on dev."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

import numpy as np

from edge_las.runtime.engine import Array
from edge_las.runtime.gate import expected_ctc_tokens
from edge_las.runtime.phones import PhoneEvidence
from edge_las.runtime.placing import Placed
from edge_las.search.hypothesis import Hypothesis

# Beyond these a probability is as good as certain; logits would grow without end.
_LEAST_PROB = 0.001
# A lead greater than this says no more, and a text without any rival has as much.
_MOST_MARGIN = 9.0
# Beyond these, silence is out of the question or as good as certain (nats of a whole text).
_LEAST_GAIN, _MOST_GAIN = -10.0, 40.0
# A beam of one has no rivals to compare with. Taken for a great lead, that made it sure of wrong texts and
# refused a sixth of spoken digits; this is a usual lead.
UNKNOWN_MARGIN = 2.0
_NO_PHONES = PhoneEvidence()


@dataclass(frozen=True)
class ConfidenceConfig:
    """Weights of four logistic models of evidence; an artifact's `search` holds those fitted for it.

    speech: that someone spoke; text: that all words are right; word: that this word is right; command:
    that a sentence of a grammar is what was said, and not the nearest thing to a noise.
    Not fitted, the Speller's own mean probability is the confidence, everything is speech, and commands are
    weighed as those of the first models. (To a domain's own, never fitted, all of 250 orders above 0.99.)
    """

    speech_bias: float = 20.0
    speech_spelled: float = 0.0
    speech_heard: float = 0.0
    speech_unspelled: float = 0.0
    speech_margin: float = 0.0
    speech_length: float = 0.0
    speech_sounded: float = 0.0
    speech_voiced: float = 0.0
    speech_over_silence: float = 0.0
    text_bias: float = 0.0
    text_spelled: float = 1.0
    text_heard: float = 0.0
    text_unspelled: float = 0.0
    text_margin: float = 0.0
    text_length: float = 0.0
    text_sounded: float = 0.0
    text_voiced: float = 0.0
    text_over_silence: float = 0.0
    word_bias: float = 0.0
    word_spelled: float = 1.0
    word_heard: float = 0.0
    command_bias: float = -0.5
    command_spelled: float = 2.0
    command_unspelled: float = -1.6
    command_margin: float = 0.35
    command_gained: float = 0.25
    command_voiced: float = 0.0
    command_over_silence: float = 0.0

    def speech(self, evidence: "Evidence") -> float:
        """Return the probability that the evidence comes of speech."""
        return self._probability("speech", evidence)

    def text(self, evidence: "Evidence") -> float:
        """Return the probability that every word is right."""
        return self._probability("text", evidence)

    def word(self, evidence: "WordEvidence") -> float:
        """Return the probability that a word is right."""
        return self._probability("word", evidence)

    def command(self, evidence: "CommandEvidence") -> float:
        """Return the probability that a sentence of a grammar was said."""
        return self._probability("command", evidence)

    def _probability(self, model: str, evidence: "Evidence | WordEvidence | CommandEvidence") -> float:
        weights = [getattr(self, f"{model}_{name}") for name in names_of(type(evidence))]
        return logistic(getattr(self, f"{model}_bias") + float(np.dot(weights, astuple(evidence))))


@dataclass(frozen=True)
class WordEvidence:
    """What tells whether a word is right: the logits of the geometric means of its tokens' probabilities.

    spelled: by the Speller; heard: by the CTC head, at the frames where each token fits best.
    """

    spelled: float
    heard: float


@dataclass(frozen=True)
class Evidence:
    """What tells whether a text is right, or of speech at all; spelled and heard are as of a word.

    unspelled: log(1 + tokens that the CTC head hears where the text has none); margin: nats that the next
    other text is worse by; length: log of the number of tokens that stand for sound; sounded: log(1 + tokens
    that the CTC head hears at all), without which much speech that is spelled badly passes for noise.
    voiced and over_silence are of `PhoneEvidence`, 0 where a model hears no phones.
    """

    spelled: float
    heard: float
    unspelled: float
    margin: float
    length: float
    sounded: float
    voiced: float = 0.0
    over_silence: float = 0.0


@dataclass(frozen=True)
class CommandEvidence:
    """What tells whether a sentence of a grammar was said; spelled, unspelled and phones are as of any text.

    margin: nats that the next sentence of another meaning is worse by; gained: nats that the CTC head
    gives it more than silence.
    """

    spelled: float
    unspelled: float
    margin: float
    gained: float
    voiced: float = 0.0
    over_silence: float = 0.0


def names_of(evidence: "type[Evidence | WordEvidence | CommandEvidence]") -> tuple[str, ...]:
    """List the kinds of evidence."""
    return tuple(field.name for field in fields(evidence))


def evidence_of(
    placed: Placed,
    margin: float,
    ctc_log_probs: Array,
    silent_ids: Sequence[int],
    phones: PhoneEvidence = _NO_PHONES,
) -> Evidence:
    """Gather what speaks for a hypothesis; margin is in nats, ctc_log_probs is (T, V)."""
    sounding = [log_prob for log_prob in placed.heard if log_prob is not None]
    return Evidence(
        spelled=logit(mean_prob(placed.hypothesis.token_log_probs)),
        heard=logit(mean_prob(sounding)),
        unspelled=math.log1p(_unspelled(placed, ctc_log_probs, silent_ids)),
        margin=_bounded_margin(margin),
        length=math.log(max(1, len(sounding))),
        sounded=math.log1p(expected_ctc_tokens(ctc_log_probs, silent_ids)),
        **asdict(phones),
    )


def command_evidence(
    placed: Placed, evidence: Evidence, margin: float, ctc_log_probs: Array, silent_ids: Sequence[int]
) -> CommandEvidence:
    """Gather what speaks for a rescored sentence of a grammar."""
    silence = float(np.logaddexp.reduce(ctc_log_probs[:, list(silent_ids)], axis=1).sum(dtype=np.float64))
    gained = min(_MOST_GAIN, max(_LEAST_GAIN, placed.hypothesis.ctc_log_prob - silence))
    return CommandEvidence(
        spelled=evidence.spelled,
        unspelled=evidence.unspelled,
        margin=_bounded_margin(margin),
        gained=gained,
        voiced=evidence.voiced,
        over_silence=evidence.over_silence,
    )


def _bounded_margin(margin: float) -> float:
    return min(_MOST_MARGIN, max(0.0, margin))


def word_evidence(placed: Placed, first: int, end: int) -> WordEvidence:
    """Gather what speaks for the word that tokens first to end spell."""
    sounding = [log_prob for log_prob in placed.heard[first:end] if log_prob is not None]
    return WordEvidence(
        logit(mean_prob(placed.hypothesis.token_log_probs[first:end])), logit(mean_prob(sounding))
    )


def _unspelled(placed: Placed, ctc_log_probs: Array, silent_ids: Sequence[int]) -> float:
    """Add up the probability of a sound over the frames at which the hypothesis has none."""
    sound = 1.0 - np.exp(ctc_log_probs[:, list(silent_ids)]).sum(axis=1)
    for (first, last), log_prob in zip(placed.spans, placed.heard, strict=True):
        if log_prob is not None:
            # A token's neighbours may share its sound.
            sound[max(0, first - 1) : last + 2] = 0.0
    return max(0.0, float(sound.sum()))


def lead(hypotheses: Sequence[Hypothesis], meaning: Callable[[Hypothesis], Any]) -> float:
    """Tell by how many nats the first hypothesis is better than the best of those with another meaning."""
    said = meaning(hypotheses[0])
    others = [item.score for item in hypotheses[1:] if meaning(item) != said]
    return hypotheses[0].score - max(others) if others else math.inf


def mean_prob(log_probs: Sequence[float]) -> float:
    """Return the geometric mean of probabilities given as logs; 0 for none."""
    return math.exp(sum(log_probs) / len(log_probs)) if log_probs else 0.0


def logit(probability: float) -> float:
    """Return the log odds, as far as they say something."""
    bounded = min(max(probability, _LEAST_PROB), 1.0 - _LEAST_PROB)
    return math.log(bounded / (1.0 - bounded))


def logistic(value: float) -> float:
    """Return the probability of log odds."""
    return 1.0 / (1.0 + math.exp(-min(max(value, -40.0), 40.0)))
