"""How good predicted breaches and latencies are, beside what knows nothing."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

F64 = NDArray[np.float64]

_BINS: Final = 10


class Breach(msgspec.Struct, frozen=True):
    """Quality of probabilities; areas are None where only one class was seen.

    `pr_auc` is average precision, whose value for a guess is the base rate; `brier_base` is the Brier score of
    always saying the base rate, `ece` the mean gap between said and seen over ten equally full bins.
    """

    n: int
    base_rate: float
    pr_auc: float | None
    roc_auc: float | None
    brier: float
    brier_base: float
    ece: float


class Latency(msgspec.Struct, frozen=True):
    """Quality of values at the end of the horizon; None where it is undefined."""

    n: int
    mae: float
    r2: float | None
    mape: float | None
    within_5_percent: float | None


def score_breach(probability: F64, breach: NDArray[np.bool_]) -> Breach:
    """Score probabilities `[n]` against what happened `[n]`."""
    rate = float(breach.mean())
    both = 0.0 < rate < 1.0
    return Breach(
        len(breach),
        rate,
        float(average_precision_score(breach, probability)) if both else None,
        float(roc_auc_score(breach, probability)) if both else None,
        float(((probability - breach) ** 2).mean()),
        rate * (1.0 - rate),
        calibration_error(probability, breach),
    )


def calibration_error(probability: F64, breach: NDArray[np.bool_]) -> float:
    """Expected calibration error over ten equally full bins.

    >>> calibration_error(np.full(100, 0.5), np.arange(100) % 4 == 0)
    0.25
    """
    order = np.argsort(probability, kind="stable")
    bins = np.array_split(order, min(_BINS, len(order)))
    gaps = [len(b) * abs(float(probability[b].mean()) - float(breach[b].mean())) for b in bins]
    return sum(gaps) / len(order)


def score_latency(forecast: F64, actual: F64) -> Latency:
    """Score values `[n]` against what happened `[n]`; relative figures leave zeros out."""
    error = np.abs(forecast - actual)
    spread = float(((actual - actual.mean()) ** 2).sum())
    some = actual != 0.0
    relative = error[some] / np.abs(actual[some])
    return Latency(
        len(actual),
        float(error.mean()),
        1.0 - float((error**2).sum()) / spread if spread > 0.0 else None,
        float(relative.mean()) if some.any() else None,
        float((relative <= 0.05).mean()) if some.any() else None,
    )
