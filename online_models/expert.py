"""The forecaster's experts: each one's value of a link's target 15 minutes ahead.

Everything is driven by event time, not by sample counts, except the moving average
of 10 samples, which is the published bar, climatology's means over days, and jumps,
which take three samples. The regression expert works on differences
to the running level in units of the running spread, so that links of one type can
share it whatever their size, and a drifting level does not carry it away.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.network_feature import WINDOW, rolling_mean, weekday_utc
from schemas.network import HORIZON_MS

EXPERTS: Final = ("persistence", "moving_average", "level", "holt", "slow", "climatology", "seasonal", "regression")
PERSISTENCE: Final = 0
MOVING_AVERAGE: Final = 1
LEVEL: Final = 2
HOLT: Final = 3
SLOW: Final = 4
CLIMATOLOGY: Final = 5
SEASONAL: Final = 6
REGRESSION: Final = 7

FEATURES: Final = 12
"""Of the regression: intercept, six experts against the level, two harmonics of the day, weekend."""

BIN_MS: Final = 30 * 60_000
DAY_BINS: Final = 48
"""Climatology: half hours; weekdays fill the first 48 bins, weekends the next 48."""

CLIP: Final = 10.0
"""Differences beyond ten spreads teach no more than ten."""

TRACK: Final = (
    ("level", "f8", (4,)),
    ("slow", "f8", (4,)),
    ("holt", "f8", (4,)),
    ("trend", "f8", (4,)),
    ("spread", "f8", (4,)),
    ("streak", "i4", (4,)),
    ("climate", "f4", (2 * DAY_BINS, 4)),
    ("climate_count", "f4", (2 * DAY_BINS,)),
    ("window", "f8", (WINDOW, 4)),
)
"""Fields of a link's state that `observe` keeps."""

_LEVEL_MS: Final = 10 * 60_000.0
_SLOW_MS: Final = 2 * 3_600_000.0
_HOLT_MS: Final = 15 * 60_000.0
_TREND_MS: Final = 45 * 60_000.0
_DAMPING_MS: Final = 10 * 60_000.0
_SPREAD_MS: Final = 3_600_000.0
_STREAK: Final = 3
_JUMP: Final = 4.0
_CLIMATE_MEMORY: Final = 150.0
_FLOOR: Final = (1e-3, 1e-2, 1e-5, 1e-2)


@njit(cache=True)
def observe(link: Any, count: int, elapsed_ms: float, x: NDArray[Any], timestamp_ms: int) -> None:
    """Take a link's next sample into its running statistics.

    Parameters
    ----------
    link
        The link's record, with the fields of `TRACK`.
    count
        Samples before this one.
    elapsed_ms
        Since the previous sample.
    x
        The four targets.
    timestamp_ms
        The sample's event time.
    """
    fast = 1.0 - math.exp(-elapsed_ms / _LEVEL_MS)
    slow = 1.0 - math.exp(-elapsed_ms / _SLOW_MS)
    holt = 1.0 - math.exp(-elapsed_ms / _HOLT_MS)
    steer = 1.0 - math.exp(-elapsed_ms / _TREND_MS)
    calm = max(1.0 - math.exp(-elapsed_ms / _SPREAD_MS), 1.0 / (count + 1.0))
    day_bin = _day_bin(timestamp_ms)
    link.climate_count[day_bin] = min(link.climate_count[day_bin] + 1.0, _CLIMATE_MEMORY)
    for m in range(4):
        value = x[m]
        link.window[count % WINDOW, m] = value
        link.climate[day_bin, m] += (value - link.climate[day_bin, m]) / link.climate_count[day_bin]
        if count == 0:
            link.level[m] = value
            link.slow[m] = value
            link.holt[m] = value
            continue
        if _has_jumped(link, value, m):
            _restart(link, count, m)
        link.spread[m] += calm * (abs(value - link.level[m]) - link.spread[m])
        link.level[m] += fast * (value - link.level[m])
        link.slow[m] += slow * (value - link.slow[m])
        before = link.holt[m]
        ahead = before + link.trend[m] * elapsed_ms
        link.holt[m] = ahead + holt * (value - ahead)
        link.trend[m] += steer * ((link.holt[m] - before) / elapsed_ms - link.trend[m])


@njit(cache=True)
def _has_jumped(link: Any, value: float, m: int) -> bool:
    """Whether this sample is the third in a row far off the level on the same side."""
    away = value - link.level[m]
    if abs(away) <= _JUMP * link.spread[m] + _FLOOR[m]:
        link.streak[m] = 0
    elif away > 0.0:
        link.streak[m] = max(link.streak[m], 0) + 1
    else:
        link.streak[m] = min(link.streak[m], 0) - 1
    return bool(abs(link.streak[m]) >= _STREAK)


@njit(cache=True)
def _restart(link: Any, count: int, m: int) -> None:
    """Take the mean of the samples since a jump for the new level: averages would creep there for hours."""
    level = rolling_mean(link.window, count + 1, _STREAK, m)
    link.level[m] = level
    link.slow[m] = level
    link.holt[m] = level
    link.trend[m] = 0.0
    link.streak[m] = 0


@njit(cache=True)
def scale_of(link: Any, count: int, m: int) -> float:
    """Unit of a link's target: its spread, not below 0.1 % of the level (10 % while new)."""
    share = 1e-3 if count >= WINDOW else 0.1
    return float(max(link.spread[m], share * abs(link.level[m]) + _FLOOR[m]))


@njit(cache=True)
def _day_bin(timestamp_ms: int) -> int:
    weekend = DAY_BINS if weekday_utc(timestamp_ms) >= 5 else 0
    return weekend + (timestamp_ms // BIN_MS) % DAY_BINS


@njit(cache=True)
def climatology(link: Any, target_ms: int, m: int, otherwise: float) -> float:
    """Mean of a target around that time of such days, between bin centres linearly.

    `otherwise` where the link has not lived through either bin.
    """
    earlier = _day_bin(target_ms - BIN_MS // 2)
    later = _day_bin(target_ms + BIN_MS // 2)
    if link.climate_count[earlier] == 0.0:
        earlier = later
    if link.climate_count[later] == 0.0:
        later = earlier
    if link.climate_count[later] == 0.0:
        return otherwise
    share = ((target_ms - BIN_MS // 2) % BIN_MS) / BIN_MS
    return float((1.0 - share) * link.climate[earlier, m] + share * link.climate[later, m])


@njit(cache=True)
def write_experts(link: Any, count: int, target_ms: int, out: NDArray[Any]) -> None:
    """Values of every expert but the regression, `[8, 4]`, from the link's present state."""
    reach = _DAMPING_MS * (1.0 - math.exp(-HORIZON_MS / _DAMPING_MS))
    for m in range(4):
        level = link.level[m]
        out[PERSISTENCE, m] = link.window[(count - 1) % WINDOW, m]
        out[MOVING_AVERAGE, m] = rolling_mean(link.window, count, WINDOW, m)
        out[LEVEL, m] = level
        out[HOLT, m] = link.holt[m] + link.trend[m] * reach
        out[SLOW, m] = link.slow[m]
        usual = climatology(link, target_ms, m, np.nan)
        usual_now = climatology(link, target_ms - HORIZON_MS, m, np.nan)
        known = not (math.isnan(usual) or math.isnan(usual_now))
        out[CLIMATOLOGY, m] = usual if known else level
        out[SEASONAL, m] = level + usual - usual_now if known else level


@njit(cache=True)
def write_regressors(expert: NDArray[Any], scale: float, m: int, target_ms: int, out: NDArray[Any]) -> None:
    """Features `[12]` of the regression for one target, from the other experts' values."""
    level = expert[LEVEL, m]
    day = 2.0 * math.pi * (target_ms % 86_400_000) / 86_400_000.0
    out[0] = 1.0
    out[1] = _clip((expert[PERSISTENCE, m] - level) / scale)
    out[2] = _clip((expert[MOVING_AVERAGE, m] - level) / scale)
    out[3] = _clip((expert[HOLT, m] - level) / scale)
    out[4] = _clip((expert[SLOW, m] - level) / scale)
    out[5] = _clip((expert[CLIMATOLOGY, m] - level) / scale)
    out[6] = _clip((expert[SEASONAL, m] - level) / scale)
    out[7] = math.sin(day)
    out[8] = math.cos(day)
    out[9] = math.sin(2.0 * day)
    out[10] = math.cos(2.0 * day)
    out[11] = 1.0 if weekday_utc(target_ms) >= 5 else 0.0


@njit(cache=True)
def _clip(value: float) -> float:
    return min(max(value, -CLIP), CLIP)
