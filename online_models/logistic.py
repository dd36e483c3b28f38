"""Online logistic regression, compiled: River's StandardScaler | LogisticRegression.

The arithmetic is River's, value by value, with a missing feature (NaN) treated as River
treats an absent key: it is neither scaled nor weighed, and its statistics and weight
stay. `to_river` gives the equal River pipeline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray
from river import compose, linear_model, optim, preprocessing

LEARNING_RATE: Final = 0.02
INTERCEPT_RATE: Final = 0.01

STATE: Final = (("count", "i8"), ("mean", "f8"), ("variance", "f8"), ("weight", "f8"))


class Logistic:
    """Model state of `d` features: counts, means, variances, weights and the intercept.

    Parameters
    ----------
    names
        The `d` features.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.state = np.zeros(len(self.names), np.dtype(list(STATE)))
        self.intercept = np.zeros(1)

    def to_river(self) -> compose.Pipeline:
        """The River pipeline in the same state."""
        rows = list(zip(self.names, self.state, strict=True))
        seen = [(name, row) for name, row in rows if row["count"] > 0]
        scaler = preprocessing.StandardScaler()
        scaler.counts.update({name: int(row["count"]) for name, row in seen})
        scaler.means.update({name: float(row["mean"]) for name, row in seen})
        scaler.vars.update({name: float(row["variance"]) for name, row in seen})
        model = linear_model.LogisticRegression(
            optimizer=optim.SGD(LEARNING_RATE),
            intercept_lr=INTERCEPT_RATE,
            intercept_init=float(self.intercept[0]),
        )
        model._weights.update({name: float(row["weight"]) for name, row in seen})
        return scaler | model


@njit(cache=True)
def probability(state: NDArray[Any], intercept: NDArray[Any], x: NDArray[Any]) -> float:
    """Probability of class 1 for features `[d]`."""
    return float(sigmoid(_logit(state, intercept, x)))


@njit(cache=True)
def sigmoid(logit: float) -> float:
    """Probability of a logit, as River limits it."""
    if logit < -30.0:
        return 0.0
    if logit > 30.0:
        return 1.0
    return 1.0 / (1.0 + math.exp(-logit))


@njit(cache=True)
def learn(state: NDArray[Any], intercept: NDArray[Any], x: NDArray[Any], label: int, importance: float) -> None:
    """One example: the scaler first, then one step of gradient descent on the log loss.

    Parameters
    ----------
    state, intercept
        Updated in place, `[d]` and `[1]`.
    x
        Features `[d]`, NaN where missing.
    label
        0 or 1.
    importance
        Sample weight.
    """
    for j in range(x.shape[0]):
        if math.isnan(x[j]):
            continue
        row = state[j]
        row.count += 1
        before = row.mean
        row.mean += (x[j] - before) / row.count
        row.variance += ((x[j] - before) * (x[j] - row.mean) - row.variance) / row.count
    gradient = importance * gradient_of(_logit(state, intercept, x), label)
    intercept[0] -= INTERCEPT_RATE * gradient
    for j in range(x.shape[0]):
        if not math.isnan(x[j]):
            row = state[j]
            row.weight -= LEARNING_RATE * (_scaled(row.mean, row.variance, x[j]) * gradient)


@njit(cache=True)
def gradient_of(logit: float, label: int) -> float:
    """Slope of the log loss at a logit."""
    sign = 1.0 if label == 1 else -1.0
    z = logit * sign
    if z > 18.0:
        return math.exp(-z) * -sign
    if z < -18.0:
        return -sign
    return -sign / (math.exp(z) + 1.0)


@njit(cache=True)
def _logit(state: NDArray[Any], intercept: NDArray[Any], x: NDArray[Any]) -> float:
    total = 0.0
    for j in range(x.shape[0]):
        if not math.isnan(x[j]):
            row = state[j]
            total += row.weight * _scaled(row.mean, row.variance, x[j])
    return float(total + intercept[0])


@njit(cache=True)
def _scaled(mean: float, variance: float, x: float) -> float:
    return (x - mean) / math.sqrt(variance) if variance != 0.0 else 0.0
