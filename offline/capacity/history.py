"""A series as capacity sees it: an hourly or daily grid with gaps, in whole weeks where there are any."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.error import ConfigError

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
LEAST_POINTS: Final = 100
OUTLIER_SIGMAS: Final = 3.0
MOST_BLOCKS: Final = 1200
"""Older blocks are left out: three years of days."""

_STEPS_H: Final = (1, 2, 3, 4, 6, 8, 12, 24)
_MONTH_DAYS: Final = (28.0, 31.0)
_GAP_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True)
class History:
    """A resource's past on an even grid.

    Parameters
    ----------
    first_ms
        Beginning of the first step, UTC epoch milliseconds.
    step_ms
        Length of a step: an hour, a divisor of a day, a day, or the series' own period where that is longer.
    value
        float64 `[n]`: the mean of each step; NaN where nothing is known.
    """

    first_ms: int
    step_ms: int
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)

    @property
    def points(self) -> int:
        """Steps with a value."""
        return int(np.isfinite(self.value).sum())

    @property
    def end_ms(self) -> int:
        """End of the last step: where a forecast begins."""
        return self.first_ms + len(self) * self.step_ms

    @property
    def per_block(self) -> int:
        """Steps in a block: those of a day, or one."""
        return max(DAY_MS // self.step_ms, 1)

    @property
    def block_ms(self) -> int:
        """Length of a block: a day, or a step where that is longer."""
        return max(DAY_MS, self.step_ms)

    @property
    def blocks(self) -> int:
        """Whole blocks."""
        return len(self) // self.per_block

    @property
    def season(self) -> int:
        """Blocks after which a series repeats: a week of days, a year of months, else one.

        One as well where less than two of them are known.
        """
        days = self.block_ms / DAY_MS
        season = 7 if days == 1 else 12 if _MONTH_DAYS[0] <= days <= _MONTH_DAYS[1] else 1
        return season if self.blocks >= 2 * season else 1

    @property
    def year(self) -> int:
        """Blocks in a year, in whole seasons; 0 where a block is no day."""
        return 364 if self.block_ms == DAY_MS else 0

    def until(self, end: int) -> History:
        """The first `end` steps."""
        return replace(self, value=self.value[:end])

    def times(self, steps: int) -> NDArray[np.int64]:
        """Beginnings of the steps that follow, `[steps]`."""
        return self.end_ms + self.step_ms * np.arange(steps, dtype=np.int64)


def make_history(name: str, time_ms: NDArray[np.int64], value: NDArray[np.float64]) -> History:
    """Means of a series over hours, or over longer steps where it has no more.

    Parameters
    ----------
    name
        The column's, for the error.
    time_ms
        Not decreasing, `[n]`.
    value
        `[n]`; NaN and infinities are left out.

    Raises
    ------
    ConfigError
        When fewer than 100 steps have a value.
    """
    finite = np.isfinite(value)
    time_ms, value = time_ms[finite], value[finite]
    distinct = np.unique(time_ms)
    if len(distinct) < LEAST_POINTS:
        raise ConfigError(
            "--value", name, f"a column with at least {LEAST_POINTS} points in time; it has {len(distinct)}"
        )
    step_ms = _step(distinct)
    first_ms = int(distinct[0]) // step_ms * step_ms if step_ms <= DAY_MS else int(distinct[0]) - step_ms // 2
    slot = (time_ms - first_ms) // step_ms
    count = np.bincount(slot)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(slot, value) / count
    if (points := int((count > 0).sum())) < LEAST_POINTS:
        length = f"{step_ms // HOUR_MS} h"
        raise ConfigError("--value", name, f"a column with at least {LEAST_POINTS} means of {length}; it has {points}")
    return History(first_ms, step_ms, mean)


def _step(distinct: NDArray[np.int64]) -> int:
    """The step that suits these times, in ms."""
    period = float(np.median(np.diff(distinct)))
    if period > DAY_MS:
        return (
            int(np.ptp(distinct) / round(np.ptp(distinct) / period)) if period < 27 * DAY_MS else _mean_step(distinct)
        )
    return next(hours for hours in _STEPS_H if hours * HOUR_MS >= period) * HOUR_MS


def _mean_step(distinct: NDArray[np.int64]) -> int:
    """The mean distance: months differ in length, and their median drifts away from them."""
    return int(np.ptp(distinct) / (len(distinct) - 1))


def without_outliers(history: History) -> History:
    """The same with what lies more than three deviations off its surroundings left out.

    A value is compared with the median of its time of day in the seven blocks around it, the deviation is
    that of all such differences; after a level shift the surroundings are the new level. At most the
    farthest value in twenty goes: more of them are how the series is.
    """
    blocks, step = history.blocks, history.per_block
    if blocks < 7:
        return history
    tail = history.value[len(history) - blocks * step :].reshape(blocks, step)
    padded = np.concatenate([_beyond(tail[6::-1], tail[13:6:-1])[::-1], tail, _beyond(tail[-7:], tail[-14:-7])])
    with np.errstate(all="ignore"):
        around = _nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 7, axis=0))
    off = np.abs(tail - around)
    known = off[np.isfinite(off)]
    if not len(known) or not (spread := float(np.sqrt(np.mean(known**2)))):
        return history
    limit = max(OUTLIER_SIGMAS * spread, float(np.quantile(known, 0.95)))
    value = history.value.copy()
    value[len(history) - blocks * step :][(off > limit).ravel()] = np.nan
    return replace(history, value=value)


def _beyond(near: NDArray[np.float64], far: NDArray[np.float64]) -> NDArray[np.float64]:
    """Three blocks that follow the last seven as these do the seven before, so that growth is no outlier at the end."""
    level = _nanmedian(near.T)
    slope = 0.0
    if len(far) == len(near):
        change = level - _nanmedian(far.T)
        slope = float(np.median(change[np.isfinite(change)])) / len(near) if np.isfinite(change).any() else 0.0
    return level + slope * np.arange(4, 7)[:, None]


def _nanmedian(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the last axis' values, NaN where there is none."""
    ordered = np.sort(windows, axis=-1)
    count = np.isfinite(windows).sum(-1)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[..., None], -1)[..., 0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, windows.shape[-1] - 1)[..., None], -1)[..., 0]
    return np.where(count > 0, (low + high) / 2, np.nan)


def fill(history: History) -> NDArray[np.float64]:
    """Its last whole blocks without gaps, `[blocks, per_block]`.

    A gap is filled with the value one season earlier, at the beginning with the one a season later; what is
    left (whole seasons of nothing) with the nearest value before.
    """
    step, season = history.per_block, history.season
    blocks = min(history.blocks, MOST_BLOCKS)
    value = history.value[len(history) - blocks * step :].reshape(blocks, step).copy()
    if np.isfinite(value).all():
        return value
    for block in range(season, blocks):
        _take(value, block, block - season)
    for block in range(blocks - season - 1, -1, -1):
        _take(value, block, block + season)
    flat = value.ravel()
    known = np.flatnonzero(np.isfinite(flat))
    return flat[known[np.maximum(np.searchsorted(known, np.arange(len(flat)), "right") - 1, 0)]].reshape(value.shape)


def _take(value: NDArray[np.float64], block: int, source: int) -> None:
    missing = np.isnan(value[block])
    value[block, missing] = value[source, missing]
