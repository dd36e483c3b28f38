"""Seeded series of many kinds, as links and services show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.backtest.grid import Grid, make_grid

START_MS: Final = 1_700_006_400_000
DAY_MS: Final = 86_400_000
PERIODS: Final = (30_000, 60_000, 300_000, 1_800_000, 3_600_000)

Values = NDArray[np.float64]
Kind = Callable[[np.random.Generator, Values], Values]


def _autoregressive(rng: np.random.Generator, n: int, keep: float = 0.9) -> Values:
    noise = rng.normal(size=n)
    found = np.zeros(n)
    for k in range(1, n):
        found[k] = keep * found[k - 1] + noise[k]
    return found


def _noise(rng: np.random.Generator, day: Values) -> Values:
    return 100 + 10 * rng.normal(size=len(day))


def _autoregression(rng: np.random.Generator, day: Values) -> Values:
    return 50 + _autoregressive(rng, len(day))


def _daily(rng: np.random.Generator, day: Values) -> Values:
    return 100 + 30 * np.sin(2 * np.pi * day) + 10 * np.sin(4 * np.pi * day) + 2 * _autoregressive(rng, len(day))


def _weekly(rng: np.random.Generator, day: Values) -> Values:
    return np.where(day % 7 >= 5, 0.5, 1.0) * (100 + 40 * np.sin(2 * np.pi * day)) + 3 * rng.normal(size=len(day))


def _walk(rng: np.random.Generator, day: Values) -> Values:
    return np.cumsum(rng.normal(size=len(day)))


def _walk_and_noise(rng: np.random.Generator, day: Values) -> Values:
    return _walk(rng, day) + 5 * rng.normal(size=len(day))


def _trend(rng: np.random.Generator, day: Values) -> Values:
    return 48 * day + 5 * rng.normal(size=len(day))


def _shifts(rng: np.random.Generator, day: Values) -> Values:
    n = len(day)
    return 100 + np.cumsum((rng.random(n) < 0.002) * rng.normal(size=n) * 50) + 3 * rng.normal(size=n)


def _outliers(rng: np.random.Generator, day: Values) -> Values:
    return 100 + 3 * rng.normal(size=len(day)) + (rng.random(len(day)) < 0.01) * 300


def _zeros(rng: np.random.Generator, day: Values) -> Values:
    return (rng.random(len(day)) < 0.3) * rng.exponential(size=len(day))


def _heavy(rng: np.random.Generator, day: Values) -> Values:
    return rng.lognormal(0.0, 1.5, len(day))


def _calm_and_wild(rng: np.random.Generator, day: Values) -> Values:
    return 100 + np.where(day * 4 % 2 < 1, 1.0, 8.0) * rng.normal(size=len(day))


def _counts(rng: np.random.Generator, day: Values) -> Values:
    return rng.poisson(3.0, len(day)).astype(float)


STATIONARY: Final[dict[str, Kind]] = {
    "noise": _noise,
    "autoregression": _autoregression,
    "daily": _daily,
    "weekly": _weekly,
    "outliers": _outliers,
    "zeros": _zeros,
    "heavy": _heavy,
}
MOVING: Final[dict[str, Kind]] = {
    "walk": _walk,
    "walk_and_noise": _walk_and_noise,
    "trend": _trend,
    "shifts": _shifts,
    "calm_and_wild": _calm_and_wild,
    "counts": _counts,
}


def make_kind(kind: str, period_ms: int, n: int = 4000, seed: int = 0) -> Grid:
    """A kind of series, one sample per period."""
    time_ms = START_MS + np.arange(n) * period_ms
    day = (time_ms - START_MS) / DAY_MS
    value = (STATIONARY | MOVING)[kind](np.random.default_rng(seed + period_ms), day)
    return make_grid(kind, time_ms, value)
