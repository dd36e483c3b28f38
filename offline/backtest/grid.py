"""A column of a CSV file as a forecaster takes it: distinct times, a period, no holes in the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.error import ConfigError

LEAST: Final = 20
TOLERANCE_MS: Final = 30_000


@dataclass(frozen=True, slots=True)
class Grid:
    """One column's samples.

    Parameters
    ----------
    time_ms
        UTC epoch milliseconds, int64 `[n]`, increasing.
    value
        float64 `[n]`, finite.
    period_ms
        As asked for, else the median distance of the times.
    dropped
        Cells that were empty or not finite.
    """

    time_ms: NDArray[np.int64]
    value: NDArray[np.float64]
    period_ms: int
    dropped: int


def make_grid(name: str, time_ms: NDArray[np.int64], value: NDArray[np.float64], period_ms: int | None = None) -> Grid:
    """Take the means of all values of one time, or of one period where one is given.

    Parameters
    ----------
    name
        The column's, for the error.
    time_ms
        Not decreasing, `[n]`.
    value
        `[n]`; NaN and infinities are left out.
    period_ms
        Length of the slots, which begin at multiples of it; without it times stay as they are.

    Raises
    ------
    ConfigError
        When fewer than 20 samples remain.
    """
    finite = np.isfinite(value)
    slot = time_ms[finite] // (period_ms or 1) * (period_ms or 1)
    times, first = np.unique(slot, return_index=True)
    if len(times) < LEAST:
        raise ConfigError("--value", name, f"a column with at least {LEAST} finite values; it has {len(times)}")
    sizes = np.diff(np.append(first, len(slot)))
    mean = np.add.reduceat(value[finite] / np.repeat(sizes, sizes), first)
    period = period_ms or int(np.median(np.diff(times)))
    return Grid(times, mean, period, int(len(value) - finite.sum()))


def fit_horizon(horizon_ms: int, period_ms: int) -> int:
    """The whole number of periods, at least one, nearest a horizon.

    >>> [fit_horizon(900_000, period) for period in (60_000, 300_000, 400_000, 3_600_000)]
    [900000, 900000, 800000, 3600000]
    """
    return max(1, round(horizon_ms / period_ms)) * period_ms


def match_targets(time_ms: NDArray[np.int64], horizon_ms: int, period_ms: int) -> NDArray[np.int64]:
    """For each sample, which sample is one horizon later, `[n]`.

    The nearest, at most half a period off (30 s where that is more); -1 if there is none.
    """
    wanted = time_ms + horizon_ms
    after = np.minimum(np.searchsorted(time_ms, wanted), len(time_ms) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(time_ms[before] - wanted) <= np.abs(time_ms[after] - wanted), before, after)
    near = np.abs(time_ms[nearest] - wanted) <= max(TOLERANCE_MS, period_ms // 2)
    return np.where(near & (nearest > np.arange(len(time_ms))), nearest, -1)
