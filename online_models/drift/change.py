"""Drift of any metric: lasting changes of its mean or its variance, found on the residuals of a running forecast.

Raw telemetry is autocorrelated and has a day; detectors made for independent values raise
several false alarms per thousand points on it. So the usual level with the season of the day is taken off,
and what the previous residual already foretold (an autoregression learned as it
streams); what is left is near independent when nothing changes. It is watched by two-sided Page-Hinkley
tests on its mean and its size, and by River's ADWIN. A change is reported once; then level and spread are learned anew.

E. S. Page, Continuous inspection schemes, Biometrika 1954. A. Bifet and R. Gavalda, Learning from time-changing data
with adaptive windowing, SDM 2007.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from river.drift import ADWIN

from online_models.anomaly.season import SEASON, day_offset, learn_season
from online_models.slot import row_dtype

WATCH: Final = row_dtype(
    *SEASON,
    *((name, "f8") for name in ("count", "age", "steady", "level", "before", "power", "cross", "spread", "usual")),
    ("hour_size", "f8", (24,)),
    ("hour_seen", "f8", (24,)),
    ("sum", "f8", (4,)),
    ("since", "f8", (4,)),
    ("clock", "i8"),
    ("gap_ms", "f8"),
)
"""One metric's state.

`age` values since its mean changed, `steady` since its size did; `sum` holds the
Page-Hinkley sums, `since` the values since each left zero.
"""

SETTLED: Final = 64
"""Values after a change, and at the start, before a change can be reported."""

STATISTICS: Final = ("page_hinkley_mean", "page_hinkley_mean", "page_hinkley_variance", "page_hinkley_variance")

ADWIN_DELTA: Final = 1e-4

_SLACK: Final = (0.25, 0.25, 0.35, 0.35)
_LIMIT: Final = (18.0, 18.0, 30.0, 30.0)
_MEMORY: Final = 1000.0
_HOUR_MEMORY: Final = 200.0
_HOUR_WORTH: Final = 10.0
_CLIP: Final = 4.0
_USUAL_SIZE: Final = 0.8
_SIZE_SPREAD: Final = 0.6
_MAD_TO_SPREAD: Final = 1.25
_LEAST: Final = 1e-9
_LEAST_OF_LEVEL: Final = 1e-3


class Change(NamedTuple):
    """A change, seen at a row.

    Parameters
    ----------
    row
        Row that completed the evidence.
    statistic
        `page_hinkley_mean`, `page_hinkley_variance` or `adwin`.
    value, threshold
        Of the statistic.
    window
        Values since the evidence began.
    """

    row: int
    statistic: str
    value: float
    threshold: float
    window: int


class ChangeDetector:
    """Watches one metric.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> values = np.concatenate([rng.normal(30, 2, 1000), rng.normal(90, 2, 200)])
    >>> found = ChangeDetector().step(np.arange(1200) * 60_000, values)
    >>> [change.row // 100 for change in found]
    [10]
    """

    def __init__(self) -> None:
        self.watch = np.zeros(1, WATCH)
        self._adwin = ADWIN(delta=ADWIN_DELTA, clock=8)

    def step(self, time_ms: NDArray[np.int64], values: NDArray[np.float64]) -> list[Change]:
        """Feed values in order of time.

        Parameters
        ----------
        time_ms
            Event times, UTC epoch ms, `[n]`.
        values
            `[n]`; NaN where one is missing.
        """
        changes = []
        one = self.watch[0]
        for row in np.flatnonzero(np.isfinite(values)).tolist():
            residual = innovation(one, int(time_ms[row]), float(values[row]))
            which = follow(one, residual)
            self._adwin.update((min(max(residual, -_CLIP), _CLIP) + _CLIP) / (2.0 * _CLIP))
            if which >= 0:
                value, window = float(one["sum"][which]), int(one["since"][which])
                changes.append(Change(row, STATISTICS[which], value, _LIMIT[which], window))
            elif self._adwin.drift_detected and one["age"] > SETTLED:
                changes.append(Change(row, "adwin", float(self._adwin.estimation), ADWIN_DELTA, int(self._adwin.width)))
            else:
                continue
            forget(one, which < 2)
            self._adwin = ADWIN(delta=ADWIN_DELTA, clock=8)
        return changes


@njit(cache=True)
def innovation(one: Any, time_ms: int, value: float) -> float:
    """What of a value was not foretold, in units of its usual size; learns the value.

    Parameters
    ----------
    one
        A record of `WATCH`.
    time_ms, value
        The metric's next value.
    """
    gap = float(time_ms - one.clock)
    one.clock = time_ms
    if one.count == 0.0:
        one.gap_ms = 60_000.0
    elif one.count == 1.0 or 0.0 < gap < 5.0 * one.gap_ms:
        one.gap_ms += max(0.02, 1.0 / one.count) * (max(gap, 1000.0) - one.gap_ms)
    season = day_offset(one, time_ms, one.gap_ms)
    season = 0.0 if math.isnan(season) else season
    if one.age == 0.0:
        one.level = value - season
    one.count += 1.0
    one.age += 1.0
    one.steady += 1.0
    residual = value - one.level - season
    share = min(max(one.cross / max(one.power, _LEAST), 0.0), 0.98)
    left = residual - share * one.before
    hour = (time_ms // 3_600_000) % 24
    usual = (one.hour_size[hour] * one.hour_seen[hour] + _HOUR_WORTH) / (one.hour_seen[hour] + _HOUR_WORTH)
    unit = max(one.spread * usual, _LEAST_OF_LEVEL * abs(one.level), _LEAST)
    weight = max(1.0 / _MEMORY, 1.0 / one.age)
    clip = _CLIP * unit if one.age > 10.0 else max(abs(left), unit)
    near = min(max(left, -clip), clip)
    taken = near + share * one.before
    size = abs(near) * _MAD_TO_SPREAD
    one.hour_seen[hour] = min(one.hour_seen[hour] + 1.0, _HOUR_MEMORY)
    one.hour_size[hour] += (min(size / max(one.spread, _LEAST), _CLIP) - one.hour_size[hour]) / one.hour_seen[hour]
    one.spread += max(1.0 / _MEMORY, 1.0 / one.steady) * (size / usual - one.spread)
    one.power += weight * (one.before * one.before - one.power)
    one.cross += weight * (one.before * taken - one.cross)
    one.level += weight * taken
    learn_season(one, time_ms, one.gap_ms, season + taken)
    one.before = taken
    return float(left / unit)


@njit(cache=True)
def follow(one: Any, residual: float) -> int:
    """Move the sums for rising and falling mean, growing and shrinking size; the first above its limit, or -1."""
    clipped = min(max(residual, -_CLIP), _CLIP)
    size = (abs(clipped) - one.usual) / _SIZE_SPREAD
    one.usual += max(1.0 / _MEMORY, 1.0 / one.steady) * (abs(clipped) - one.usual)
    found = -1
    for k, step in enumerate((clipped, -clipped, size, -size)):
        learned = one.age if k < 2 else one.steady
        slack = _SLACK[k] + 1.0 / math.sqrt(learned)  # the usual is itself only known so well
        moved = max(one.sum[k] + step - slack, 0.0) if learned > SETTLED else 0.0
        one.since[k] = one.since[k] + 1.0 if moved > 0.0 else 0.0
        one.sum[k] = moved
        if found < 0 and moved > _LIMIT[k]:
            found = k
    return found


@njit(cache=True)
def forget(one: Any, mean: bool) -> None:
    """Learn the size anew after a change, and after one of the mean the level too; the season stays."""
    if mean:
        one.age = 0.0
        one.before = 0.0
        one.power = 0.0
        one.cross = 0.0
    one.steady = 0.0
    one.sum[:] = 0.0
    one.since[:] = 0.0
