"""Recursive least squares with a Huber weight, compiled."""

from __future__ import annotations

from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

PRIOR_VARIANCE: Final = 0.03
"""Of each weight around its start, in units of the noise variance."""

_HUBER: Final = 0.7
_WINDUP: Final = 10.0


def packed_size(d: int) -> int:
    """Length of the lower triangle of a `[d, d]` matrix, row by row."""
    return d * (d + 1) // 2


@njit(cache=True)
def start_regression(covariance: NDArray[Any], d: int) -> None:
    """Set the inverse information matrix, a packed lower triangle, to its prior."""
    covariance[:] = 0.0
    for i in range(d):
        covariance[i * (i + 1) // 2 + i] = PRIOR_VARIANCE


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
) -> float:
    """One update of recursive least squares (Haykin, Adaptive Filter Theory, 5th ed., table 10.1).

    Residuals beyond 0.7 (targets are in units of their own scale) weigh less, as in
    Huber's M-estimator, because the published error is absolute, not squared.

    Parameters
    ----------
    weight, covariance
        `[d]` and a packed lower triangle, updated in place; single precision is enough, because a
        matrix that rounding made indefinite starts again from the prior.
    x, y
        Features `[d]` and what was observed.
    forgetting
        Discount per update, just below 1.
    gain
        Work space `[d]`; holds covariance times x afterwards, before the update.

    Returns
    -------
    x times covariance times x, before the update.
    """
    d = x.shape[0]
    residual = y - predict_linear(weight, x)
    importance = 1.0 if abs(residual) <= _HUBER else _HUBER / abs(residual)
    spread = _multiply(covariance, x, gain)
    if not spread >= 0.0:
        start_regression(covariance, d)
        spread = _multiply(covariance, x, gain)
    denominator = forgetting / importance + spread
    trace = 0.0
    at = 0
    for i in range(d):
        weight[i] += gain[i] / denominator * residual
        for j in range(i + 1):
            covariance[at] = (covariance[at] - gain[i] * gain[j] / denominator) / forgetting
            at += 1
        trace += covariance[at - 1]
    if trace > _WINDUP * PRIOR_VARIANCE * d:  # unexcited directions must not wind up
        for k in range(at):
            covariance[k] *= _WINDUP * PRIOR_VARIANCE * d / trace
    return float(spread)


@njit(cache=True)
def learn_along(weight: NDArray[Any], gain: NDArray[Any], spread: float, ratio: float, residual: float) -> None:
    """One update of weights whose covariance is another regression's times `ratio` (LMS-Newton).

    Parameters
    ----------
    gain, spread
        As `learn_linear` left and returned them for the other regression, which met the same features.
    residual
        What was observed less what these weights predicted.
    """
    importance = 1.0 if abs(residual) <= _HUBER else _HUBER / abs(residual)
    share = ratio / (1.0 / importance + ratio * spread) * residual
    for i in range(weight.shape[0]):
        weight[i] += share * gain[i]


@njit(cache=True)
def _multiply(covariance: NDArray[Any], x: NDArray[Any], out: NDArray[Any]) -> float:
    """Write covariance times x into `out`; x times that is the answer."""
    d = x.shape[0]
    for i in range(d):
        out[i] = 0.0
    at = 0
    for i in range(d):
        for j in range(i):
            out[i] += covariance[at] * x[j]
            out[j] += covariance[at] * x[i]
            at += 1
        out[i] += covariance[at] * x[i]
        at += 1
    total = 0.0
    for i in range(d):
        total += out[i] * x[i]
    return total
