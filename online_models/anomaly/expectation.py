"""What one metric should be next, and how far from that it is: for any metric, scale and sampling period.

Five forecasts of the next value (the last value, a short average, the slow level with the
season of the day, of the week, and with the season plus what it lately missed) are
averaged with weights that fall with the fourth power of their recent errors. The
residual is measured in units of a running mean absolute residual. What is learned from
is taken in at most five units away, so that an incident hardly moves anything; where a
value stays away, the level is started anew.
"""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

from online_models.anomaly.liveliness import start_activity
from online_models.anomaly.season import DAY_MS, SEASON, day_offset, learn_season, week_offset
from online_models.slot import row_dtype

N_FORECASTS: Final = 5

METRIC: Final = row_dtype(
    *SEASON,
    ("error", "f8", (N_FORECASTS,)),
    *((name, "f8") for name in ("count", "age", "last", "fast", "slow", "missed", "spread", "away")),
    *((name, "f8") for name in ("previous", "run", "longest", "repeats", "activity", "calm", "calm_spread", "habit")),
)
"""One metric's state; `count` values seen, `age` of them since the level was last started anew."""

MAX_DEVIATION: Final = 1e6

_CLIP: Final = 5.0
_UNCLIPPED: Final = 10.0
_FAST: Final = 0.15
_LAST: Final = 0.7
_MEMORY_DAYS: Final = 3.0
_MEMORY_VALUES: Final = 200.0
_ERROR_RATES: Final = (0.05, 20.0)
_MAD_TO_SPREAD: Final = 1.25
_LEAST_OF_LEVEL: Final = 1e-3
_LEAST: Final = 1e-12
_DOUBT: Final = 4.0
_STAYED_AWAY: Final = 30.0


@njit(cache=True)
def forecast(metric: Any, time_ms: int, gap_ms: float, out: NDArray[Any]) -> float:
    """The metric's expected value; the single forecasts go to `out` `[forecast]`, NaN where unknown."""
    day = day_offset(metric, time_ms, gap_ms)
    week = week_offset(metric, time_ms)
    out[0] = metric.last
    out[1] = metric.fast
    out[2] = metric.slow + day
    out[3] = metric.slow + week
    out[4] = metric.slow + day + metric.missed
    total = 0.0
    weights = 0.0
    for k in range(N_FORECASTS):
        if not math.isnan(out[k]):
            weight = 1.0 / (metric.error[k] ** 4 + 1e-12)
            total += weight * out[k]
            weights += weight
    return float(total / weights)


@njit(cache=True)
def unit_of(metric: Any) -> float:
    """The metric's spread, not below what rounding alone would make."""
    return float(max(metric.spread, _LEAST_OF_LEVEL * abs(metric.slow), _LEAST))


@njit(cache=True)
def deviation_of(metric: Any, residual: float) -> float:
    """Residual in units of the spread, less for a young metric, within `MAX_DEVIATION`."""
    found = residual / (unit_of(metric) * math.sqrt(1.0 + _DOUBT / max(metric.age, 1.0)))
    return float(min(max(found, -MAX_DEVIATION), MAX_DEVIATION))


@njit(cache=True)
def start_level(metric: Any, value: float) -> None:
    """Begin anew at a value; the season stays."""
    metric.last = value
    metric.fast = value
    metric.slow = value
    metric.missed = 0.0
    metric.away = 0.0
    metric.age = 0.0
    start_activity(metric)
    for k in range(N_FORECASTS):
        metric.error[k] = 1.0


@njit(cache=True)
def learn_value(
    metric: Any, time_ms: int, gap_ms: float, value: float, expected: float, forecasts: NDArray[Any]
) -> None:
    """Take the metric's next value in.

    Parameters
    ----------
    metric
        A record of `METRIC` that has seen a value.
    time_ms, gap_ms
        Event time, and usual time between samples.
    value
        The value.
    expected, forecasts
        What `forecast` said of it.
    """
    unit = unit_of(metric)
    residual = value - expected
    clip = _CLIP * unit if metric.age > _UNCLIPPED else max(abs(residual), unit)
    metric.away = metric.away + 1.0 if abs(residual) > clip else 0.0
    if metric.away >= _STAYED_AWAY:
        start_level(metric, value)
        metric.count += 1.0
        return
    per_day = DAY_MS / gap_ms
    weight = max(1.0 / max(_MEMORY_DAYS * per_day, _MEMORY_VALUES), 1.0 / (metric.age + 1.0))
    metric.spread += weight * (min(abs(residual), clip) * _MAD_TO_SPREAD - metric.spread)
    pace = max(min(_ERROR_RATES[0], _ERROR_RATES[1] / per_day), 1.0 / (metric.age + 1.0))
    for k in range(N_FORECASTS):
        if not math.isnan(forecasts[k]):
            metric.error[k] += pace * (min(abs(value - forecasts[k]) / unit, _CLIP) - metric.error[k])
    near = min(max(value, expected - clip), expected + clip)
    if not math.isnan(forecasts[2]):
        metric.missed += _FAST * (near - forecasts[2] - metric.missed)
    offset = near - metric.slow
    metric.slow += weight * offset
    learn_season(metric, time_ms, gap_ms, offset)
    metric.fast += max(_FAST, 1.0 / (metric.age + 1.0)) * (near - metric.fast)
    metric.last += _LAST * (near - metric.last)
    metric.age += 1.0
    metric.count += 1.0
