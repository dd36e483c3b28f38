"""Anomalies in any series of one or many metrics, unsupervised, as it streams.

Every metric is held against its own forecast (`expectation`) and its own liveliness
(`liveliness`); the larger deviation counts. Beyond one unit, logarithms of the metrics'
deviations are added up, so that several metrics a little off weigh as much as one far
off, and none alone outshouts the rest. The threshold on that sum comes from a budget of
false alarms (`tail`): while learning it follows the scores, after `freeze` it stays.

An alert is an event: it begins above the threshold and ends with the third sample, and at least
five minutes, below it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.anomaly.expectation import METRIC, N_FORECASTS, deviation_of, forecast, learn_value, start_level
from online_models.anomaly.liveliness import learn_habit, restlessness, stillness
from online_models.anomaly.tail import N_SCORES, TAIL, learn_score, threshold_of
from online_models.slot import row_dtype

ALARMS_PER_DAY: Final = 0.8
"""Budget of false alarms per series and day."""

SETTLED: Final = 16
"""Samples of a series before its scores count, and before it can alert."""

SERIES: Final = row_dtype(
    *TAIL,
    ("clock", "i8"),
    ("count", "i8"),
    ("above_ms", "i8"),
    ("below", "i8"),
    ("gap_ms", "f8"),
    ("threshold", "f8", (N_SCORES,)),
    ("alerting", "u1"),
    ("frozen", "u1"),
)
"""One series' state besides its metrics'; `below` samples since `above_ms`, the last one above the threshold."""

_HOLD: Final = 2
_HOLD_MS: Final = 5 * 60 * 1000
_IN_ALERT: Final = 1.0 / (_HOLD + 1)
"""Weight of an alert's further samples where the threshold is learned: the budget is of alerts, and none is shorter."""
_LEAST_GAP_MS: Final = 1000.0
_SUM: Final = 0
_PEAK: Final = 1
_LEAST_THRESHOLD: Final = (0.1, 1.5)
_SHARE: Final = (1.0, 0.25)
"""Of the budget, for the sum and for the peak."""


class Findings(NamedTuple):
    """What was found for each sample.

    Parameters
    ----------
    score
        Anomaly score 0..1; 0.5 is the threshold. `[n]`
    alert
        Whether the sample is part of an alert, `[n]`.
    deviation
        Signed deviation of every metric, in its own units, `[n, metric]`; 0 where the value is missing.
    """

    score: NDArray[np.float64]
    alert: NDArray[np.bool_]
    deviation: NDArray[np.float64]


class Detector:
    """One series under watch.

    Parameters
    ----------
    metrics
        Names, in the order of the columns.
    alarms_per_day
        How many false alarms per day are acceptable.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(20, 1, (500, 1))
    >>> noise[400] = 35
    >>> detector = Detector(["cpu"])
    >>> found = detector.step(np.arange(500) * 60_000, noise)
    >>> bool(found.alert[400]), bool(found.alert[390])
    (True, False)
    """

    def __init__(self, metrics: Sequence[str], alarms_per_day: float = ALARMS_PER_DAY) -> None:
        self.metrics = tuple(metrics)
        self._alarms_per_day = alarms_per_day
        self.metric = np.zeros((1, len(self.metrics)), METRIC)
        self.series = np.zeros(1, SERIES)

    def freeze(self) -> None:
        """Keep the present threshold from now on; forecasts and spreads go on learning."""
        self.series["frozen"] = 1

    @property
    def threshold(self) -> float:
        """The threshold in force, on the sum of logarithms."""
        return float(self.series["threshold"][0, _SUM])

    def step(self, time_ms: NDArray[np.int64], values: NDArray[np.float64]) -> Findings:
        """Score samples in order of time.

        Parameters
        ----------
        time_ms
            Event times, UTC epoch ms, `[n]`.
        values
            The metrics, `[n, metric]`; NaN where one is missing.
        """
        n = len(time_ms)
        found = Findings(np.zeros(n), np.zeros(n, np.bool_), np.zeros((n, len(self.metrics))))
        _step(
            self.metric,
            self.series,
            np.zeros(n, np.intp),
            np.ascontiguousarray(time_ms, np.int64),
            np.ascontiguousarray(values, np.float64),
            self._alarms_per_day,
            *found,
        )
        return found


@njit(cache=True)
def _step(
    metric: NDArray[Any],
    series: NDArray[Any],
    slot: NDArray[Any],
    time_ms: NDArray[Any],
    values: NDArray[Any],
    alarms_per_day: float,
    score: NDArray[Any],
    alert: NDArray[Any],
    deviation: NDArray[Any],
) -> None:
    forecasts, beyond = np.empty(N_FORECASTS), np.empty(N_SCORES)
    for i in range(len(slot)):
        one = series[slot[i]]
        _learn_gap(one, time_ms[i])
        beyond[:] = 0.0
        for j in range(values.shape[1]):
            if math.isfinite(values[i, j]):
                found = _watch(metric[slot[i], j], time_ms[i], one.gap_ms, values[i, j], forecasts)
                deviation[i, j] = found
                size = math.log1p(max(abs(found) - 1.0, 0.0))
                beyond[_SUM] += size
                beyond[_PEAK] = max(beyond[_PEAK], size - metric[slot[i], j].habit)
                if one.frozen == 0:
                    learn_habit(metric[slot[i], j], size, one.gap_ms)
        one.count += 1
        if one.count <= SETTLED:
            continue
        ratio = 0.0
        for k in range(N_SCORES if values.shape[1] > 1 else 1):  # of one metric, the sum is the peak
            if one.frozen == 0 or one.threshold[k] == 0.0:
                most = one.threshold[k] if one.count > 2 * SETTLED else math.inf
                learn_score(one, k, beyond[k], most, _IN_ALERT if one.alerting == 1 else 1.0)
                threshold = threshold_of(one, k, one.gap_ms, _SHARE[k] * alarms_per_day)
                one.threshold[k] = max(threshold, _LEAST_THRESHOLD[k])
            ratio = max(ratio, beyond[k] / one.threshold[k])
        score[i] = ratio / (1.0 + ratio)
        alert[i] = _follow(one, time_ms[i], ratio > 1.0)


@njit(cache=True)
def _learn_gap(one: Any, time_ms: int) -> None:
    """Usual time between samples; outages and repeated times do not count."""
    gap = float(time_ms - one.clock)
    if one.count == 0:
        one.gap_ms = 60_000.0
    elif one.count == 1:
        one.gap_ms = max(gap, _LEAST_GAP_MS)
    elif 0.0 < gap < 5.0 * one.gap_ms:
        one.gap_ms = max(one.gap_ms + max(0.02, 1.0 / one.count) * (gap - one.gap_ms), _LEAST_GAP_MS)
    one.clock = time_ms


@njit(cache=True)
def _watch(metric: Any, time_ms: int, gap_ms: float, value: float, forecasts: NDArray[Any]) -> float:
    """Signed deviation of a metric's next value; learns it."""
    if metric.count == 0.0:
        start_level(metric, value)
        metric.count = 1.0
        metric.previous = value
        return 0.0
    expected = forecast(metric, time_ms, gap_ms, forecasts)
    away = deviation_of(metric, value - expected)
    restless = restlessness(metric, away)
    still = stillness(metric, value, metric.previous)
    metric.previous = value
    learn_value(metric, time_ms, gap_ms, value, expected, forecasts)
    size = max(abs(away), restless, still)
    return float(size if away >= 0.0 else -size)


@njit(cache=True)
def _follow(one: Any, time_ms: int, above: bool) -> bool:
    """Whether the sample belongs to an alert."""
    if above:
        one.alerting = 1
        one.above_ms = time_ms
        one.below = 0
        return True
    one.below += 1
    if one.below > _HOLD and time_ms - one.above_ms > _HOLD_MS:
        one.alerting = 0
    return bool(one.alerting == 1)
