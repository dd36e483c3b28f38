"""What a degradation predictor sees of a node: features of its last 60 samples, free of level and scale.

The collector's features of the target, over the last 60 samples, as differences to their mean in units of
their standard deviation, and as distances to the objective in the same units; of every other metric where it
stands in its own window. So nodes of 5 ms and of 500 ms look alike, and so does one before and after a shift.

A label is made of the samples *after* the ones that features were made of: `HORIZON_STEPS` more
must have come, within `LABEL_STRETCH` times the usual time, before there is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.collector.buffer import N_METRICS, push_sample, unroll
from online_models.collector.feature import (
    DAY,
    HOUR,
    KURTOSIS,
    LAG,
    MAX,
    MEAN,
    MIN,
    N_FEATURES,
    QUANTILE,
    RANKED_MAX,
    SKEWNESS,
    SPIKE_DEVIATIONS,
    STD,
    median_spacing,
    minutes_since,
    newest_above,
    rank_values,
    sum_apart,
    write_calendar,
    write_quantiles,
    write_statistics,
)
from schemas.performance import HORIZON_STEPS, LAGS, QUANTILES
from schemas.system import METRICS

TARGET: Final = "latency_mean"
STEPS: Final = 60
"""Samples of an input."""

WARM_UP: Final = 12
"""Samples before which nothing is predicted."""

LABEL_STRETCH: Final = 3
"""Times the usual spacing that the horizon may take; a label across a longer gap is none."""

_Z: Final = 10.0
_SHORT: Final = (3, 5, 10)
_BREACH_RATE: Final = 0.005
_LEAST_SCALE: Final = 0.01
N_QUANTILES: Final = len(QUANTILES)
N_LAGS: Final = len(LAGS)

TARGET_FEATURES: Final = (
    "hour_sin",
    "hour_cos",
    "day_sin",
    "day_cos",
    "log_minutes_since_spike",
    "log_variation",
    "skewness",
    "kurtosis",
    "current",
    *(f"lag_{k}" for k in LAGS),
    "min",
    *(f"q{100 * q:02.0f}" for q in QUANTILES),
    "max",
    *(f"mean_{k}" for k in _SHORT),
    "std_5",
    "margin_current",
    "margin_mean",
    "margin_q95",
    "margin_max",
    "log_ratio_current",
    "log_ratio_mean",
    "above_now",
    "above_5",
    "above_60",
    "breach_rate",
)
"""Of the target. What has a margin's name is the distance to the objective, positive below it."""

N_TARGET: Final = len(TARGET_FEATURES)
CURRENT: Final = TARGET_FEATURES.index("current")
MEAN_3: Final = TARGET_FEATURES.index("mean_3")
MEAN_10: Final = TARGET_FEATURES.index("mean_10")
MARGIN: Final = TARGET_FEATURES.index("margin_current")
RATIO: Final = TARGET_FEATURES.index("log_ratio_current")
"""Where they stand in an input, which begins with the target's."""


def input_names(others: Sequence[str] = METRICS[1:]) -> list[str]:
    """Names of an input's columns, beside these other metrics.

    >>> input_names(["cpu_usage"])[-2:]
    ['cpu_usage:current', 'cpu_usage:mean_5']
    """
    own = [f"{TARGET}:{name}" for name in TARGET_FEATURES]
    return own + [f"{name}:{kind}" for name in others for kind in ("current", "mean_5")]


INPUT_NAMES: Final = tuple(input_names())
N_INPUTS: Final = len(INPUT_NAMES)

CONTEXT: Final = (("breach_rate", "f8"), ("spiked", "i8"))
"""What of a node's past an input needs beyond its last samples."""

MOMENT: Final = np.dtype([("current", "f8"), ("mean", "f8"), ("scale", "f8"), ("spacing_ms", "i8"), ("ready", "u1")])
"""In which units an input is: `target = current + scale * change`."""


@njit(cache=True)
def observe(node: Any, time_ms: int, x: NDArray[Any], objective: float) -> None:
    """Add a sample ahead of the node's clock; the target is `x[0]`."""
    push_sample(node, time_ms, x)
    breach = 1.0 if x[0] > objective else 0.0
    rate = max(_BREACH_RATE, 1.0 / (node.seen + 1))
    node.breach_rate += rate * (breach - node.breach_rate)


@njit(cache=True)
def write_input(
    node: Any,
    objective: float,
    time_ms: NDArray[Any],
    value: NDArray[Any],
    key: NDArray[Any],
    ordered: NDArray[Any],
    gaps: NDArray[Any],
    features: NDArray[Any],
    x: NDArray[Any],
    moment: Any,
) -> None:
    """Features of a node's last samples.

    Parameters
    ----------
    node
        Its row; the time of the target's last spike is updated.
    objective
        Of the target, in its unit.
    time_ms, value, key, ordered, gaps, features
        Work space `[60]`, `[metric, 64]`, float32 `[64]`, `[60]`, `[60]`, `[27]`.
    x
        `[len(input_names)]`.
    moment
        Record of `MOMENT`.
    """
    n = unroll(node, time_ms.shape[0], time_ms, value)
    column = value[0]
    current = column[n - 1]
    rank_values(column, n, key, ordered)
    write_calendar(time_ms[n - 1], features)
    write_statistics(column, n, features)
    write_quantiles(ordered, n, features)
    mean = features[MEAN]
    scale = max(features[STD], _LEAST_SCALE * abs(mean), 1e-6)
    high = mean + SPIKE_DEVIATIONS * features[STD]
    if features[MAX] > high:
        node.spiked = max(node.spiked, newest_above(time_ms, column, n, high))
    since = node.spiked if node.spiked > 0 else node.first
    moment.current, moment.mean, moment.scale = current, mean, scale
    moment.spacing_ms = median_spacing(time_ms[:n], gaps)
    moment.ready = 1 if n >= WARM_UP and moment.spacing_ms > 0 else 0
    x[0] = math.sin(2 * math.pi * features[HOUR] / 24)
    x[1] = math.cos(2 * math.pi * features[HOUR] / 24)
    x[2] = math.sin(2 * math.pi * features[DAY] / 7)
    x[3] = math.cos(2 * math.pi * features[DAY] / 7)
    x[4] = math.log1p(minutes_since(time_ms[n - 1], since))
    x[5] = math.log1p(features[STD] / max(abs(mean), 1e-6))
    x[6] = _limited(features[SKEWNESS], 0.0, 1.0)
    x[7] = _limited(features[KURTOSIS], 0.0, 1.0)
    x[8] = _limited(current, mean, scale)
    at = 9
    for k in range(N_LAGS):
        x[at] = _limited(features[LAG + k], mean, scale)
        at += 1
    x[at] = _limited(features[MIN], mean, scale)
    for k in range(N_QUANTILES):
        x[at + 1 + k] = _limited(features[QUANTILE + k], mean, scale)
    at += 1 + N_QUANTILES
    x[at] = _limited(features[MAX], mean, scale)
    at += 1
    for width in _SHORT:
        x[at] = _limited(_mean_of_last(column, n, width), mean, scale)
        at += 1
    x[at] = _limited(_std_of_last(column, n, 5), 0.0, scale)
    _write_objective(column, n, objective, scale, features, x[at + 1 :])
    x[at + 10] = node.breach_rate
    at += 11
    for j in range(1, value.shape[0]):
        _write_other(value[j], n, x[at : at + 2])
        at += 2


@njit(cache=True)
def _write_objective(
    column: NDArray[Any], n: int, objective: float, scale: float, features: NDArray[Any], x: NDArray[Any]
) -> None:
    current, mean = column[n - 1], features[MEAN]
    x[0] = _limited(objective, current, scale)
    x[1] = _limited(objective, mean, scale)
    x[2] = _limited(objective, features[QUANTILE + 4], scale)
    x[3] = _limited(objective, features[MAX], scale)
    x[4] = _log_ratio(current, objective)
    x[5] = _log_ratio(mean, objective)
    x[6] = 1.0 if current > objective else 0.0
    x[7] = _share_above(column, n, 5, objective)
    x[8] = _share_above(column, n, n, objective)


@njit(cache=True)
def _write_other(column: NDArray[Any], n: int, x: NDArray[Any]) -> None:
    mean, scale = _units(column, n)
    x[0] = _limited(column[n - 1], mean, scale)
    x[1] = _limited(_mean_of_last(column, n, 5), mean, scale)


@njit(cache=True)
def _units(column: NDArray[Any], n: int) -> tuple[float, float]:
    """Mean, and standard deviation or what stands for it, of a window `[64]`, its newest value repeated behind it."""
    newest = column[n - 1]
    for i in range(n, RANKED_MAX):
        column[i] = newest
    total, square = sum_apart(column, n)
    mean = newest + total / n
    variance = max(square - total * total / n, 0.0) / max(n - 1, 1)
    return mean, max(math.sqrt(variance), _LEAST_SCALE * abs(mean), 1e-6)


@njit(cache=True)
def _limited(value: float, mean: float, scale: float) -> float:
    z = (value - mean) / scale
    z = z if z < _Z else _Z
    return z if z > -_Z else -_Z


@njit(cache=True)
def _log_ratio(value: float, objective: float) -> float:
    least = 1e-3 * abs(objective) + 1e-9
    return math.log(max(value, least) / max(objective, least))


@njit(cache=True)
def _mean_of_last(column: NDArray[Any], n: int, width: int) -> float:
    first = max(n - width, 0)
    total = 0.0
    for i in range(first, n):
        total += column[i]
    return total / (n - first)


@njit(cache=True)
def _std_of_last(column: NDArray[Any], n: int, width: int) -> float:
    first = max(n - width, 0)
    mean = _mean_of_last(column, n, width)
    total = 0.0
    for i in range(first, n):
        total += (column[i] - mean) ** 2
    return math.sqrt(total / max(n - first - 1, 1))


@njit(cache=True)
def _share_above(column: NDArray[Any], n: int, width: int, objective: float) -> float:
    first = max(n - width, 0)
    above = 0
    for i in range(first, n):
        if column[i] > objective:
            above += 1
    return above / (n - first)


@njit(cache=True)
def trace_inputs(
    node: Any,
    time_ms: NDArray[Any],
    value: NDArray[Any],
    objective: float,
    x: NDArray[Any],
    moment: NDArray[Any],
    sequence: NDArray[Any],
) -> None:
    """Inputs of one node after each of its samples, as the stream makes them.

    Parameters
    ----------
    node
        A row that has seen nothing.
    time_ms, value
        Increasing times `[n]`, samples `[n, metric]`, the target first.
    x, moment
        `[n, len(input_names)]`, `[n]` of `MOMENT`; written.
    sequence
        `[n, 60, metric]` for recurrent models, written: the window in its own units, zeros before the first sample;
        `[0, 60, metric]` leaves it out.
    """
    m = value.shape[1]
    times, window, key = np.zeros(STEPS, np.int64), np.zeros((m, RANKED_MAX)), np.zeros(RANKED_MAX, np.float32)
    ordered, gaps, features = np.zeros(STEPS), np.zeros(STEPS, np.int64), np.zeros(N_FEATURES)
    for i in range(len(time_ms)):
        observe(node, time_ms[i], value[i], objective)
        write_input(node, objective, times, window, key, ordered, gaps, features, x[i], moment[i])
        if sequence.shape[0] > 0:
            n = min(i + 1, STEPS)
            for j in range(m):
                mean, scale = _units(window[j], n)
                for k in range(n):
                    sequence[i, STEPS - n + k, j] = _limited(window[j, k], mean, scale)


assert N_INPUTS == N_TARGET + 2 * (N_METRICS - 1)
assert HORIZON_STEPS * LABEL_STRETCH < STEPS <= RANKED_MAX
