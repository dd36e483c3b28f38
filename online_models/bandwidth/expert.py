"""The forecaster's experts: each one's value of a link's target one horizon ahead.

Running levels are driven by event time and their memories are multiples of the horizon,
so that the same experts serve a link sampled each minute and a series sampled each
hour. Exceptions: the moving average of 10 samples, which is the published bar, and
jumps, which take three samples. Nothing here knows the unit of a target: spreads come from the
link itself, and results scale with it.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.bandwidth.climate import (
    CLIMATE,
    PROFILE_REACH,
    PROFILED,
    climate_places,
    climatology,
    learn_climate,
    learn_profile,
    profile_at,
    profile_places,
)
from online_models.bandwidth.feature import WINDOW, rolling_mean

EXPERTS: Final = (
    "persistence",
    "moving_average",
    "quick",
    "level",
    "smooth",
    "slow",
    "steady",
    "holt",
    "median",
    "climatology",
    "seasonal",
    "seasonal_persistence",
    "profile",
    "profile_persistence",
    "own_regression",
    "shared_regression",
)
PERSISTENCE: Final = 0
MOVING_AVERAGE: Final = 1
QUICK: Final = 2
LEVEL: Final = 3
SMOOTH: Final = 4
SLOW: Final = 5
STEADY: Final = 6
HOLT: Final = 7
MEDIAN: Final = 8
CLIMATOLOGY: Final = 9
SEASONAL: Final = 10
SEASONAL_PERSISTENCE: Final = 11
PROFILE: Final = 12
PROFILE_PERSISTENCE: Final = 13
OWN_REGRESSION: Final = 14
SHARED_REGRESSION: Final = 15

REGRESSORS: Final = (PERSISTENCE, MOVING_AVERAGE, QUICK, SMOOTH, SLOW, STEADY, HOLT, CLIMATOLOGY, SEASONAL, PROFILE)
"""Experts whose differences to the level are the regressions' features."""

FEATURES: Final = 1 + len(REGRESSORS)
"""Of the regressions: an intercept comes first."""

CLIP: Final = 10.0
"""Differences beyond ten spreads teach no more than ten."""

TRACK: Final = (
    ("level", "f8", (4,)),
    ("apart", "f4", (6, 4)),
    ("trend", "f4", (4,)),
    ("spread", "f4", (4,)),
    ("wide", "f4", (4,)),
    ("period", "f4"),
    ("streak", "i1", (4,)),
    *CLIMATE,
    ("window", "f4", (WINDOW, 4)),
)
"""Fields of a link's state that `observe` keeps. The level that all else is measured against is kept in
full; `apart` has the differences to it of the other running means, of Holt's level and of the running median."""

_LEVEL: Final = 2.0 / 3.0
_MEMORY: Final = (1.0 / 3.0, 2.0, 8.0, 32.0)
"""Of the level, and of the other running means, in horizons."""

_STEADY_APART: Final = 3
_HOLT_APART: Final = 4
_MEDIAN_APART: Final = 5

_HOLT: Final = 1.0
_TREND: Final = 3.0
_DAMPING: Final = 2.0 / 3.0
_SPREAD: Final = 4.0
_WIDE: Final = 96.0
_MEDIAN: Final = 2.0
_STREAK: Final = 3
_JUMP: Final = 4.0
_SHARE: Final = 1e-7
_TINY: Final = 1e-30


@njit(cache=True)
def observe(link: Any, count: int, elapsed_ms: float, x: NDArray[Any], timestamp_ms: int, horizon_ms: int) -> None:
    """Take a link's next sample into its running statistics.

    Parameters
    ----------
    link
        The link's record, with the fields of `TRACK`.
    count
        Samples before this one.
    elapsed_ms
        Since the previous sample; more than 0, except for the first.
    x
        The four targets.
    timestamp_ms
        The sample's event time.
    horizon_ms
        How far ahead the link's forecasts look: the unit of all memories.
    """
    elapsed = elapsed_ms / horizon_ms
    holt = 1.0 - math.exp(-elapsed / _HOLT)
    steer = 1.0 - math.exp(-elapsed / _TREND)
    calm = max(1.0 - math.exp(-elapsed / _SPREAD), 1.0 / (count + 1.0))
    broad = max(1.0 - math.exp(-elapsed / _WIDE), 1.0 / (count + 1.0))
    fair = 1.0 - math.exp(-elapsed / _MEDIAN)
    follow = max(1.0 - math.exp(-elapsed / _LEVEL), 1.0 / (count + 1.0))
    if count > 0:
        link.period += max(0.05, 1.0 / count) * (min(elapsed_ms, 4.0 * horizon_ms) - link.period)
    before_ms = timestamp_ms - int(elapsed_ms)
    unusual, share = np.zeros(4), np.empty(len(_MEMORY))
    for k in range(len(_MEMORY)):
        share[k] = max(1.0 - math.exp(-elapsed / _MEMORY[k]), 1.0 / (count + 1.0))
    for m in range(4):
        value = x[m]
        link.window[count % WINDOW, m] = value
        if count == 0:
            link.level[m] = value
            continue
        if _has_jumped(link, value, m):
            _restart(link, count, m)
        if count >= WINDOW:  # before, a spread says little
            away = (value - link.level[m] - link.apart[_STEADY_APART, m]) / scale_of(link, m)
            unusual[m] = min(max(away, -PROFILE_REACH), PROFILE_REACH)
        away = abs(value - link.level[m])
        link.spread[m] += calm * (away - link.spread[m])
        link.wide[m] += broad * (away - link.wide[m])
        gap = value - link.level[m]
        moved = follow * gap
        step = fair * 1.5 * link.spread[m]
        median = link.apart[_MEDIAN_APART, m]
        link.apart[_MEDIAN_APART, m] = median + min(max(gap - median, -step), step) - moved
        before = link.apart[_HOLT_APART, m]
        ahead = before + link.trend[m] * elapsed
        ahead += holt * (gap - ahead)
        link.apart[_HOLT_APART, m] = ahead - moved
        link.trend[m] += steer * ((ahead - before) / elapsed - link.trend[m])
        for k in range(len(_MEMORY)):
            apart = link.apart[k, m]
            link.apart[k, m] = apart + share[k] * (gap - apart) - moved
        link.level[m] += moved
    learn_profile(link, before_ms, timestamp_ms, unusual)
    learn_climate(link, before_ms, timestamp_ms, x)


@njit(cache=True)
def _has_jumped(link: Any, value: float, m: int) -> bool:
    """Whether this sample is the third in a row far off the level on the same side."""
    away = value - link.level[m]
    if abs(away) <= _JUMP * link.spread[m] + _SHARE * abs(link.level[m]):
        link.streak[m] = 0
    elif away > 0.0:
        link.streak[m] = max(link.streak[m], 0) + 1
    else:
        link.streak[m] = min(link.streak[m], 0) - 1
    return bool(abs(link.streak[m]) >= _STREAK)


@njit(cache=True)
def _restart(link: Any, count: int, m: int) -> None:
    """Take the mean of the samples since a jump for the new level: averages would creep there for hours."""
    link.level[m] = rolling_mean(link.window, count + 1, _STREAK, m)
    link.apart[:, m] = 0.0
    link.trend[m] = 0.0
    link.streak[m] = 0


@njit(cache=True)
def scale_of(link: Any, m: int) -> float:
    """Unit of a link's target: its mean distance from its level over the last day."""
    return float(max(link.wide[m], _SHARE * abs(link.level[m]) + _TINY))


@njit(cache=True)
def breadth_of(link: Any, count: int, m: int) -> float:
    """Unit of its intervals: halfway to its spread of the last hour, and a tenth of the level while new."""
    breadth = 0.5 * (link.wide[m] + link.spread[m])
    share = _SHARE if count >= WINDOW else 0.1
    return float(max(breadth, share * abs(link.level[m]) + _TINY))


@njit(cache=True)
def write_experts(link: Any, count: int, target_ms: int, horizon_ms: int, out: NDArray[Any]) -> None:
    """Values of every expert but the regressions, `[16, 4]`, from the link's present state."""
    reach = _DAMPING * (1.0 - math.exp(-1.0 / _DAMPING))
    now_ms = target_ms - horizon_ms
    then, now = climate_places(link, target_ms, now_ms), climate_places(link, now_ms, now_ms)
    profile_then, profile_now = profile_places(link, target_ms, now_ms), profile_places(link, now_ms, now_ms)
    for m in range(4):
        level = link.level[m]
        last = link.window[(count - 1) % WINDOW, m]
        out[PERSISTENCE, m] = last
        out[MOVING_AVERAGE, m] = rolling_mean(link.window, count, WINDOW, m)
        out[QUICK, m] = level + link.apart[0, m]
        out[LEVEL, m] = level
        for k in range(1, len(_MEMORY)):
            out[LEVEL + k, m] = level + link.apart[k, m]
        out[HOLT, m] = level + link.apart[_HOLT_APART, m] + link.trend[m] * reach
        out[MEDIAN, m] = level + link.apart[_MEDIAN_APART, m]
        usual = climatology(link, then, m)
        usual_now = climatology(link, now, m)
        known = not (math.isnan(usual) or math.isnan(usual_now))
        out[CLIMATOLOGY, m] = usual if known else level
        out[SEASONAL, m] = level + usual - usual_now if known else level
        out[SEASONAL_PERSISTENCE, m] = last + usual - usual_now if known else last
        change = 0.0
        if m < PROFILED:
            change = scale_of(link, m) * (profile_at(link, profile_then, m) - profile_at(link, profile_now, m))
            change = 0.0 if math.isnan(change) else change
        out[PROFILE, m] = level + change
        out[PROFILE_PERSISTENCE, m] = last + change


@njit(cache=True)
def write_regressors(value: NDArray[Any], out: NDArray[Any]) -> None:
    """Features `[11]` of the regressions for one target, from the experts' differences to the level in spreads."""
    out[0] = 0.3
    for k in range(FEATURES - 1):
        out[1 + k] = _clip(value[REGRESSORS[k]])


@njit(cache=True)
def _clip(value: float) -> float:
    return min(max(value, -CLIP), CLIP)
