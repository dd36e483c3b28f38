"""The probability that is published: persistence, moving average and regression, believed as far as they were right.

Persistence and the moving average are scores (how far the target, or the mean of its last 10, is from the
objective) that a logistic line each turns into probabilities, learned by recursive Newton steps. The three are mixed by
the exponential of their log losses, prequential and slowly forgotten: the mixture loses at most the logarithm of 3 more
than the best of them since any time within its memory (Cesa-Bianchi and Lugosi, Prediction, Learning, and Games,
2006, chapter 3). It begins as persistence, and leaves that when another has proved better.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.logistic import sigmoid
from online_models.performance.input import CURRENT, MARGIN, MEAN_10, RATIO

OPINIONS: Final = ("mixture", "persistence", "moving_average", "regression")
N_OPINIONS: Final = len(OPINIONS)

MIX: Final = np.dtype([("line", "f8", (2, 2)), ("covariance", "f8", (2, 3)), ("loss", "f8", (3,))])
"""Of a partition: slope and intercept of the simple scores, their covariances packed, and the discounted losses."""

_SCALES: Final = 0.1
_START_SLOPE: Final = 8.0
_START_VARIANCE: Final = 30.0
_HEAD_START: Final = 3.0
"""Log loss that the others are behind persistence when nothing is known."""

_MEMORY: Final = 0.9999
_LEAST: Final = 1e-3
"""No probability is believed to be nearer to 0 or 1 than this when losses are counted."""


def new_mix() -> NDArray[Any]:
    """A partition's mixture before its first label, `[1]` of `MIX`."""
    mix = np.zeros(1, MIX)
    mix["line"][0] = (_START_SLOPE, 0.0)
    mix["covariance"][0] = (_START_VARIANCE, 0.0, _START_VARIANCE)
    mix["loss"][0] = (0.0, _HEAD_START, _HEAD_START)
    return mix


@njit(cache=True)
def write_opinions(mix: Any, x: NDArray[Any], regression: float, out: NDArray[Any]) -> None:
    """Probabilities of a breach, `[opinion]`: the mixture's first, then what it is made of.

    Parameters
    ----------
    mix
        Record of `MIX`.
    x
        The input.
    regression
        What the regression says.
    """
    for k in range(2):
        out[1 + k] = sigmoid(mix.line[k, 0] * _score(x, k) + mix.line[k, 1])
    out[3] = regression
    least = min(mix.loss[0], mix.loss[1], mix.loss[2])
    total = mixed = 0.0
    for k in range(3):
        weight = math.exp(least - mix.loss[k])
        total += weight
        mixed += weight * out[1 + k]
    out[0] = mixed / total


@njit(cache=True)
def learn_mix(mix: Any, x: NDArray[Any], said: NDArray[Any], label: int) -> None:
    """Count what was said of an input, then learn from it.

    Parameters
    ----------
    said
        What `write_opinions` wrote for it.
    label
        0 or 1.
    """
    for k in range(3):
        right = said[1 + k] if label == 1 else 1.0 - said[1 + k]
        mix.loss[k] = _MEMORY * mix.loss[k] - math.log(min(max(right, _LEAST), 1.0 - _LEAST))
    for k in range(2):
        score = _score(x, k)
        probability = sigmoid(mix.line[k, 0] * score + mix.line[k, 1])
        a, b, c = mix.covariance[k, 0], mix.covariance[k, 1], mix.covariance[k, 2]
        along, across = a * score + b, b * score + c
        spread = 1.0 / max(probability * (1.0 - probability), _LEAST) + along * score + across
        mix.covariance[k, 0] = a - along * along / spread
        mix.covariance[k, 1] = b - along * across / spread
        mix.covariance[k, 2] = c - across * across / spread
        error = label - probability
        mix.line[k, 0] += (mix.covariance[k, 0] * score + mix.covariance[k, 1]) * error
        mix.line[k, 1] += (mix.covariance[k, 1] * score + mix.covariance[k, 2]) * error


@njit(cache=True)
def _score(x: NDArray[Any], k: int) -> float:
    """How far the target (0), or the mean of its last 10 (1), is beyond the objective."""
    if k == 0:
        return float(x[RATIO])
    return float(_SCALES * (x[MEAN_10] - x[CURRENT] - x[MARGIN]))
