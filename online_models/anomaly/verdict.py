"""What is found for one record: score, type, severity, and the deviations that say so.

Statistics are held against a calibrated threshold each: the largest harmful deviation, how outlying half-space
trees find all deviations together, and, where trained isolation forests are served, how outlying those do. The
score is `ratio / (1 + ratio)` of the largest ratio, so 0.5 is where the false-alarm budget is. Operators' factors
scale the deviations of the metrics that speak for a type before anything is decided; that on `unknown` scales the
ratio of what is of no type.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.anomaly.baseline import N_METRICS, doubt_of
from online_models.anomaly.calibration import N_METHODS
from online_models.anomaly.rule import HARM, TYPE_OF_METRIC, UNKNOWN, harm_of, severity_of, type_of

METHODS: Final = ("baseline", "half_space_trees", "isolation_forest", "warm_up")
BY_BASELINE: Final = 0
BY_FOREST: Final = 1
BY_TRAINED: Final = 2
WARMING_UP: Final = 3

THRESHOLD: Final = 0.5
"""Where the false-alarm budget is on the published score."""

VERDICT: Final = np.dtype(
    [
        ("score", "f8"),
        ("method", "i8"),
        ("type", "i8"),
        ("severity", "i8"),
        ("severity_score", "f8"),
        ("residual", "f8"),
        ("anomalous", "?"),
        ("suppressed", "?"),
        ("judged", "?"),
        ("known", "?"),
        ("count", "i8"),
        ("elapsed_ms", "f8"),
        ("z", "f8", (N_METRICS,)),
        ("mean", "f8", (N_METRICS,)),
        ("p95", "f8", (N_METRICS,)),
    ],
    align=True,
)
"""What was found for a row; where it is `known`, mean, p95 and count are the node's before it."""

SPREAD: Final = 3
"""Length of what is known of the forest's usual scores: count, mean, variance."""

_SETTLED: Final = 200.0
_SPREAD_MEMORY: Final = 2000.0


@njit(cache=True)
def worst_of(z: NDArray[Any]) -> float:
    """The largest deviation towards harm."""
    worst = 0.0
    for j in range(N_METRICS):
        worst = max(worst, harm_of(z, HARM, j))
    return worst


@njit(cache=True)
def outlying(spread: NDArray[Any], score: float) -> float:
    """The forest's score in deviations from what it usually says; 0 until that is known."""
    if spread[0] < _SETTLED:
        return 0.0
    return float((score - spread[1]) / max(np.sqrt(spread[2]), 1e-6))


@njit(cache=True)
def learn_spread(spread: NDArray[Any], score: float) -> None:
    """Count, mean and variance of the forest's scores, winsorised at three deviations."""
    if spread[0] >= _SETTLED:
        reach = 3.0 * max(np.sqrt(spread[2]), 1e-6)
        score = min(max(score, spread[1] - reach), spread[1] + reach)
    spread[0] += 1.0
    weight = max(1.0 / spread[0], 1.0 / _SPREAD_MEMORY)
    step = score - spread[1]
    spread[1] += weight * step
    spread[2] = (1.0 - weight) * (spread[2] + weight * step * step)


@njit(cache=True)
def judge(
    found: Any,
    x: NDArray[Any],
    threshold: NDArray[Any],
    factor: NDArray[Any],
    statistic: NDArray[Any],
    scaled: NDArray[Any],
) -> None:
    """Fill in a verdict.

    Parameters
    ----------
    found
        A record of `VERDICT` that is known and whose `z` is set; the rest is written.
    x
        The metrics.
    threshold
        Of each method, in deviations.
    factor
        Operators' factor on the threshold of each type.
    statistic
        Of each method; the baseline's is written, the others are `outlying` of the record.
    scaled
        Room for one record's deviations.
    """
    doubt = doubt_of(found.count)
    residual = 0.0
    for j in range(N_METRICS):
        kind = TYPE_OF_METRIC[j]
        scaled[j] = found.z[j] / factor[kind] if kind != UNKNOWN else found.z[j]
        residual += min(abs(found.z[j]) * doubt, 5.0)
    found.type = type_of(scaled, x, found.mean)
    statistic[BY_BASELINE] = worst_of(scaled)
    ratio = 0.0
    found.method = BY_BASELINE
    for k in range(N_METHODS):
        if statistic[k] / threshold[k] > ratio:
            ratio = statistic[k] / threshold[k]
            found.method = k
    if found.type == UNKNOWN:
        ratio /= factor[UNKNOWN]
    found.score = ratio / (1.0 + ratio)
    found.anomalous = found.score > THRESHOLD
    found.severity_score = min(worst_of(found.z) / 10.0, 1.0)
    found.severity = severity_of(found.severity_score, x[0])
    found.residual = residual / (5.0 * N_METRICS)
