"""Which words come out under a grammar, and which are refused: the tests for that, fitted and counted."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from statistics import fmean

import numpy as np

from benchmarks.confidence import named, speech_bar
from benchmarks.listening import share
from benchmarks.logistic import DoubleArray, fit, predict
from edge_las.errors import ConfigError
from edge_las.runtime.confidence import CommandEvidence, names_of
from edge_las.runtime.recognizer import Recognizer

THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(2, 61))


@dataclass(frozen=True)
class Order:
    """What was said under a grammar: whether it is in it, what was understood, and what speaks for that.

    loss is in nats a token (`loss_of`); evidence is None where no sentence fits.
    """

    said: str
    is_inside: bool
    text: str
    loss: float
    evidence: CommandEvidence | None

    @property
    def is_right(self) -> bool:
        """Whether the grammar's likeliest sentence is what was said."""
        return self.is_inside and self.text == self.said


@dataclass(frozen=True)
class Acceptance:
    """What an order must pass: weights of its evidence, bias first, least probability, greatest loss."""

    weights: DoubleArray
    least: float
    most_loss: float

    def accept(self, orders: Sequence[Order]) -> list[bool]:
        """Tell of each order whether its text comes out."""
        believed = probabilities(self.weights, orders) >= self.least
        return [
            bool(sure) and bool(order.text) and order.loss <= self.most_loss
            for sure, order in zip(believed, orders, strict=True)
        ]


def probabilities(weights: DoubleArray, orders: Sequence[Order]) -> DoubleArray:
    """Return how likely each order was said, (N,); 0 where no sentence fits."""
    result = np.zeros(len(orders))
    fitting = [number for number, order in enumerate(orders) if order.evidence]
    if fitting:
        result[fitting] = predict(weights, _rows([orders[number] for number in fitting]))
    return result


def _rows(orders: Sequence[Order]) -> DoubleArray:
    return np.array([astuple(order.evidence) for order in orders if order.evidence], dtype=np.float64)


@dataclass(frozen=True)
class Trial:
    """A data set's texts under a grammar of all, and of either half with the other half as strangers.

    noise is under that of all, and so is heldout, to which nothing is fitted; both may be empty.
    """

    texts: list[str]
    everything: list[Order]
    halves: list[Order]
    noise: list[Order]
    heldout: list[Order]


def rates(found: Sequence[Order], tests: Acceptance) -> dict[str, float]:
    """Count under tests: words of the grammar understood rightly, others rejected."""
    accepted = tests.accept(found)
    inside = [(order, yes) for order, yes in zip(found, accepted, strict=True) if order.is_inside]
    return {
        "grammar_max_loss": tests.most_loss,
        "accuracy": share([yes and order.is_right for order, yes in inside]),
        "wrong": share([yes and not order.is_right for order, yes in inside]),
        "rejected": share(
            [not yes for order, yes in zip(found, accepted, strict=True) if not order.is_inside]
        ),
    }


def fit_acceptance(trials: Sequence[Trial], most_lost: float) -> Acceptance:
    """Fit what tells right texts from noise, then choose how much a text may lose.

    Of right texts the first may refuse a share of most_lost. The second is where the share of texts that are
    not understood and the share of strangers that are accepted, added up, are least; trials count alike.
    Source: Youden 1950, Index for Rating Diagnostic Tests.
    """
    noisy = [trial for trial in trials if trial.noise]
    right = [order for trial in noisy for order in trial.everything if order.is_right]
    noise = [order for trial in noisy for order in trial.noise if order.evidence]
    if not right or not noise:
        raise ConfigError("nothing to fit: no text was understood, or there is no noise")
    weights = fit(_rows([*right, *noise]), np.arange(len(right) + len(noise)) < len(right)).round(4)
    least = speech_bar(probabilities(weights, right), probabilities(weights, noise), most_lost)

    def worth(tests: Acceptance) -> float:
        found = [rates(trial.halves, tests) for trial in trials]
        return fmean(row["accuracy"] + row["rejected"] for row in found)

    # Of equals the strictest.
    return max((Acceptance(weights, least, most) for most in THRESHOLDS), key=worth)


def acceptance_of(recognizer: Recognizer) -> Acceptance:
    """Take the tests that a model has."""
    setup = recognizer.setup
    names = ("bias", *names_of(CommandEvidence))
    weights = np.array([getattr(setup.confidence, f"command_{name}") for name in names])
    return Acceptance(weights, setup.gate.gate_min_command, setup.constraint.grammar_max_loss)


def settings_of(tests: Acceptance) -> dict[str, float]:
    """Name the tests as a manifest does."""
    weights = named("command", CommandEvidence, tests.weights)
    return {**weights, "gate_min_command": tests.least, "grammar_max_loss": tests.most_loss}
