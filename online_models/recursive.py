"""Recursive least squares with a Huber weight, compiled."""

from __future__ import annotations

from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

PRIOR_VARIANCE: Final = 0.03
"""Of each weight around 0, in units of the noise variance."""

_HUBER: Final = 1.5


@njit(cache=True)
def start_regression(covariance: NDArray[Any]) -> None:
    """Set the inverse information matrix `[d, d]` to its prior."""
    covariance[:] = 0.0
    for i in range(covariance.shape[0]):
        covariance[i, i] = PRIOR_VARIANCE


@njit(cache=True)
def predict_linear(weight: NDArray[Any], x: NDArray[Any]) -> float:
    """Dot product of `[d]` and `[d]`."""
    total = 0.0
    for i in range(x.shape[0]):
        total += weight[i] * x[i]
    return total


@njit(cache=True)
def learn_linear(
    weight: NDArray[Any], covariance: NDArray[Any], x: NDArray[Any], y: float, forgetting: float, gain: NDArray[Any]
) -> None:
    """One update of recursive least squares (Haykin, Adaptive Filter Theory, 5th ed., table 10.1).

    Residuals beyond 1.5 (targets are in units of their own scale) weigh less, as in
    Huber's M-estimator, because the published error is absolute, not squared.

    Parameters
    ----------
    weight, covariance
        `[d]` and `[d, d]`, updated in place; only symmetric matrices stay symmetric.
    x, y
        Features `[d]` and what was observed.
    forgetting
        Discount per update, just below 1.
    gain
        Work space `[d]`.
    """
    d = x.shape[0]
    residual = y - predict_linear(weight, x)
    importance = 1.0 if abs(residual) <= _HUBER else _HUBER / abs(residual)
    spread = 0.0
    for i in range(d):
        total = 0.0
        for j in range(d):
            total += covariance[i, j] * x[j]
        gain[i] = total
        spread += total * x[i]
    denominator = forgetting / importance + spread
    for i in range(d):
        weight[i] += gain[i] / denominator * residual
    trace = 0.0
    for i in range(d):
        for j in range(i + 1):
            value = (covariance[i, j] - gain[i] * gain[j] / denominator) / forgetting
            covariance[i, j] = value
            covariance[j, i] = value
        trace += covariance[i, i]
    if trace > 10.0 * PRIOR_VARIANCE * d:  # unexcited directions must not wind up
        for i in range(d):
            for j in range(d):
                covariance[i, j] *= 10.0 * PRIOR_VARIANCE * d / trace
