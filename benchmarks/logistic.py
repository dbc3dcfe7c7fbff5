"""Logistic regression in numpy, and how far its probabilities can be trusted."""

from typing import Any

import numpy as np
import numpy.typing as npt

DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_STEPS = 50


def fit(
    inputs: DoubleArray, truths: BoolArray, ridge: float = 1.0, counts: DoubleArray | None = None
) -> DoubleArray:
    """Fit P(true) = logistic(bias + inputs . weights) to inputs (N, K), truths (N,): bias and weights.

    ridge is the strength of the prior that draws the weights of standardized inputs to 0; counts (N,): for
    how many each row stands. Newton's method.
    """
    counts = np.ones(len(inputs)) if counts is None else counts
    mean = np.average(inputs, axis=0, weights=counts)
    deviation = np.sqrt(np.average((inputs - mean) ** 2, axis=0, weights=counts)) + 1e-9
    rows = np.column_stack([np.ones(len(inputs)), (inputs - mean) / deviation])
    prior = np.full(rows.shape[1], ridge)
    prior[0] = 1e-6
    weights = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        probabilities = logistic(rows @ weights)
        gradient = rows.T @ (counts * (probabilities - truths)) + prior * weights
        spread = counts * probabilities * (1.0 - probabilities)
        curvature = (rows * spread[:, None]).T @ rows + np.diag(prior)
        step = np.linalg.solve(curvature, gradient)
        # Far from the optimum Newton may overshoot where all probabilities are near 0 or 1.
        weights -= step * min(1.0, 5.0 / (np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    scaled = weights[1:] / deviation
    return np.concatenate([[weights[0] - float(scaled @ mean)], scaled])


def predict(weights: DoubleArray, inputs: DoubleArray) -> DoubleArray:
    """Return the probabilities (N,) of inputs (N, K)."""
    return logistic(weights[0] + inputs @ weights[1:])


def logistic(values: DoubleArray) -> DoubleArray:
    """Return the probabilities of log odds."""
    result: DoubleArray = 1.0 / (1.0 + np.exp(-np.clip(values, -40.0, 40.0)))
    return result


def cross_validated(inputs: DoubleArray, truths: BoolArray, folds: int = 5) -> DoubleArray:
    """Return each row's probability (N,) by a model that was fitted without it."""
    fold = np.random.default_rng(0).permutation(len(truths)) % folds
    probabilities = np.zeros(len(truths))
    for number in range(folds):
        held_back = fold == number
        weights = fit(inputs[~held_back], truths[~held_back])
        probabilities[held_back] = predict(weights, inputs[held_back])
    return probabilities


def reliability(probabilities: DoubleArray, truths: BoolArray, bins: int = 10) -> list[dict[str, Any]]:
    """Compare, in equally wide bins that hold anything, the mean probability and the share that was true."""
    places = np.minimum((probabilities * bins).astype(int), bins - 1)
    return [
        {
            "from": number / bins,
            "count": int(inside.sum()),
            "predicted": round(float(probabilities[inside].mean()), 4),
            "true": round(float(truths[inside].mean()), 4),
        }
        for number in range(bins)
        if (inside := places == number).any()
    ]


def expected_calibration_error(rows: list[dict[str, Any]]) -> float:
    """Average the distances of a reliability curve, each bin weighing as much as it holds.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 2.
    """
    total = sum(row["count"] for row in rows)
    return round(sum(row["count"] * abs(row["predicted"] - row["true"]) for row in rows) / total, 4)


def rejection_curve(probabilities: DoubleArray, truths: BoolArray) -> list[dict[str, float]]:
    """List, for thresholds from 0 to 0.95: wrong texts accepted and right ones rejected, of all such."""
    return [
        {
            "threshold": round(threshold, 2),
            "false_accepts": round(float((probabilities[~truths] >= threshold).mean()), 4),
            "false_rejects": round(float((probabilities[truths] < threshold).mean()), 4),
        }
        for threshold in np.arange(0.0, 1.0, 0.05).tolist()
    ]
