"""Recursive least squares for a few inputs, some of which may be missing; compiled.

S. Haykin, Adaptive Filter Theory, 5th ed., table 10.1. Unlike `online_models.recursive` the matrix is whole and
its loops are of equal length, which is several times faster for sixteen inputs.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.slot import row_dtype

PRIOR_VARIANCE: Final = 0.2
"""Of each weight around 0, in units of the noise variance."""

FORGETTING: Final = 0.9999
RESIDUAL_LIMIT: Final = 1.0

_SETTLED: Final = 300
"""Observations after which an input's mean stays, so that weights keep their meaning."""

_WINDUP: Final = 10.0


def regression_dtype(inputs: int) -> np.dtype[Any]:
    """State of one regression on `inputs` inputs and a constant."""
    size = inputs + 1
    return row_dtype(
        ("count", "i8", (inputs,)), ("mean", "f8", (inputs,)), ("weight", "f8", (size,)),
        ("covariance", "f8", (size, size)),
    )  # fmt: skip


def start(regressions: NDArray[Any]) -> None:
    """Set regressions to their prior."""
    regressions["covariance"] = PRIOR_VARIANCE * np.eye(regressions.dtype["weight"].shape[0])


@njit(cache=True)
def predict(regression: Any, x: NDArray[Any], centred: NDArray[Any]) -> float:
    """The prediction for inputs `[d]`, NaN where missing: these count as their mean.

    `centred` `[d + 1]` is set to what `learn` needs.
    """
    d = x.shape[0]
    weight, mean, count = regression.weight, regression.mean, regression.count
    total = weight[d]
    centred[d] = 1.0
    for j in range(d):
        centred[j] = 0.0 if math.isnan(x[j]) or count[j] == 0 else x[j] - mean[j]
        total += weight[j] * centred[j]
    return float(total)


@njit(cache=True)
def learn(
    regression: Any, x: NDArray[Any], centred: NDArray[Any], residual: float, importance: float, gain: NDArray[Any]
) -> None:
    """One update after `predict`.

    Parameters
    ----------
    x, centred
        As of `predict`.
    residual
        What was observed less what was predicted; limited, because outcomes have heavy tails.
    importance
        Weight of the observation, above 0.
    gain
        Room `[d + 1]`.
    """
    size = centred.shape[0]
    weight, covariance = regression.weight, regression.covariance
    residual = min(max(residual, -RESIDUAL_LIMIT), RESIDUAL_LIMIT)
    for a in range(size):
        gain[a] = 0.0
    for b in range(size):
        for a in range(size):
            gain[a] += covariance[b, a] * centred[b]
    spread = 0.0
    for a in range(size):
        spread += gain[a] * centred[a]
    if not spread >= 0.0:  # rounding made the matrix indefinite: start its confidence anew
        _reset(covariance)
        return
    step, growth = 1.0 / (FORGETTING / importance + spread), 1.0 / FORGETTING
    trace = 0.0
    for b in range(size):
        share = gain[b] * step
        weight[b] += share * residual
        for a in range(size):
            covariance[b, a] = (covariance[b, a] - share * gain[a]) * growth
        trace += covariance[b, b]
    if trace > _WINDUP * PRIOR_VARIANCE * size:  # directions that nothing excites must not wind up
        for b in range(size):
            for a in range(size):
                covariance[b, a] *= _WINDUP * PRIOR_VARIANCE * size / trace
    for j in range(size - 1):
        if regression.count[j] < _SETTLED and not math.isnan(x[j]):
            regression.count[j] += 1
            regression.mean[j] += (x[j] - regression.mean[j]) / regression.count[j]


@njit(cache=True)
def _reset(covariance: NDArray[Any]) -> None:
    for b in range(covariance.shape[0]):
        for a in range(covariance.shape[0]):
            covariance[b, a] = PRIOR_VARIANCE if a == b else 0.0
