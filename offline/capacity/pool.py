"""The pool: every method's forecast from any block of a series.

All work on a table of blocks (days, `[blocks, steps]`) without gaps. The first four are the simple
methods that the others have to beat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.capacity.smoothing import BANK, States, damped_sums, smooth
from offline.capacity.turn import last_line

Table = NDArray[np.float64]

_SHAPE_SEASONS: Final = 6
_TREND_BLOCKS: Final = 60
_SHORT_TREND_BLOCKS: Final = 28
_TURN_BLOCKS: Final = 56
_TREND_DAMPING: Final = 0.985
_YEAR_BLOCKS: Final = 365
_ALL: Final = np.arange(len(BANK))
_FLAT: Final = np.flatnonzero(BANK[:, 1] == 0.0)


class Pool:
    """A series prepared for forecasts from several origins.

    Parameters
    ----------
    table
        `[blocks, steps]`, finite.
    season
        Blocks after which it repeats; at most half of them.
    year
        Blocks in a year, 0 where that says nothing.
    """

    def __init__(self, table: Table, season: int, year: int = 0) -> None:
        self.table = table
        self.season = season
        self.year = year
        self.mean = table.mean(axis=1)
        self._bank = smooth(self.mean, season)
        self._ratio_bank = smooth(np.log(self.mean), season) if table.min() > 0.0 else None

    def forecast(self, origin: int, horizon: int) -> Table:
        """Every method's forecast, `[method, horizon, step]`, from the first `origin` blocks.

        Nothing after them is looked at. `origin` is at least `2 * season`.
        """
        return np.stack([method(self, origin, horizon) for method in METHODS.values()])

    def seasons(self, origin: int, many: int) -> Table:
        """The last so many whole seasons, or all there are, `[seasons, season, step]`; the first phase is the next."""
        many = max(min(many, origin // self.season), 1)
        return self.table[origin - many * self.season : origin].reshape(many, self.season, -1)

    def repeat(self, profile: Table, horizon: int) -> Table:
        """A season's profile `[season, step]` over and over, `[horizon, step]`."""
        return profile[np.arange(horizon) % self.season]

    def shape(self, origin: int) -> Table:
        """How the steps of a block differ from its mean, by phase, `[season, step]`.

        A phase's own shape is drawn towards that of all: few seasons say little about one.
        """
        past = self.seasons(origin, _SHAPE_SEASONS)
        off = past - past.mean(axis=2, keepdims=True)
        weight = len(past) / (len(past) + 1.0)
        found: Table = weight * off.mean(axis=0) + (1.0 - weight) * off.mean(axis=(0, 1))
        return found

    def on_level(self, level: NDArray[np.float64], origin: int) -> Table:
        """Block means `[horizon]` with the steps' shape, `[horizon, step]`."""
        return level[:, None] + self.repeat(self.shape(origin), len(level))

    def phase(self, origin: int) -> NDArray[np.float64]:
        """How the blocks of a season differ from their mean but for growth, `[season]`, next first; of the last eight.

        Drawn towards none by what one more season would weigh.
        """
        if self.season == 1:
            return np.zeros(1)
        past = self.seasons(origin, 8).mean(axis=2)
        within = np.arange(self.season) - (self.season - 1) / 2
        mean = past.mean(axis=1)
        slope = np.gradient(mean) / self.season if len(past) > 1 else np.array([_slope(past[0])])
        off = past - mean[:, None] - slope[:, None] * within
        found: NDArray[np.float64] = off.mean(axis=0) * len(past) / (len(past) + 1.0)
        return found

    def smoothed(self, origin: int, horizon: int, among: NDArray[np.intp]) -> NDArray[np.float64]:
        """Block means ahead, `[horizon]`, by the smoother of these that did best up to the origin."""
        return _ahead(self._bank, origin, horizon, among)

    def smoothed_ratio(self, origin: int, horizon: int) -> NDArray[np.float64] | None:
        """The same of the logarithms: seasons and growth in shares; None unless all values are positive."""
        return None if self._ratio_bank is None else np.exp(_ahead(self._ratio_bank, origin, horizon, _ALL))


def _ahead(bank: States, origin: int, horizon: int, among: NDArray[np.intp]) -> NDArray[np.float64]:
    level, slope, part, loss = bank
    k = int(among[np.argmin(loss[origin, among])])
    phase = (origin + np.arange(horizon)) % part.shape[2]
    found: NDArray[np.float64] = (
        level[origin, k] + slope[origin, k] * damped_sums(BANK[k, 2], horizon) + part[origin, k, phase]
    )
    return found


def seasonal_naive(pool: Pool, origin: int, horizon: int) -> Table:
    """The last season again."""
    return pool.repeat(pool.seasons(origin, 1)[0], horizon)


def weekday_mean(pool: Pool, origin: int, horizon: int) -> Table:
    """Mean of all there is, by weekday and hour."""
    return pool.repeat(pool.seasons(origin, origin).mean(axis=0), horizon)


def weekday_mean_28d(pool: Pool, origin: int, horizon: int) -> Table:
    """Mean of the last four seasons, by weekday and hour."""
    return pool.repeat(pool.seasons(origin, 4).mean(axis=0), horizon)


def drift(pool: Pool, origin: int, horizon: int) -> Table:
    """The last season again, moved by the mean change from the first to the last."""
    season = pool.season
    change = pool.mean[origin - season : origin].mean() - pool.mean[:season].mean()
    moved: Table = change / max(origin - season, season) * np.arange(1, horizon + 1)[:, None]
    return seasonal_naive(pool, origin, horizon) + moved


def seasonal_median(pool: Pool, origin: int, horizon: int) -> Table:
    """Median of the last eight seasons, by weekday and hour."""
    return pool.repeat(np.median(pool.seasons(origin, 8), axis=0), horizon)


def daily_mean(pool: Pool, origin: int, horizon: int) -> Table:
    """Mean of the last two seasons' blocks by hour: where weekdays do not differ."""
    return np.broadcast_to(pool.seasons(origin, 2).mean(axis=(0, 1)), (horizon, pool.table.shape[1]))


def daily_median(pool: Pool, origin: int, horizon: int) -> Table:
    """Median of the last eight seasons' blocks by hour: where weekdays do not differ and values are skewed."""
    past = pool.seasons(origin, 8)
    return np.broadcast_to(np.median(past.reshape(-1, past.shape[2]), axis=0), (horizon, pool.table.shape[1]))


def ets(pool: Pool, origin: int, horizon: int) -> Table:
    """Exponential smoothing of the block means, with season and damped slope."""
    return pool.on_level(pool.smoothed(origin, horizon, _ALL), origin)


def ets_ratio(pool: Pool, origin: int, horizon: int) -> Table:
    """The same of their logarithms, so that what grows swings more; `ets` where values are not positive.

    It goes no farther beyond the last four seasons than their own range: exponentials run away.
    """
    path = pool.smoothed_ratio(origin, horizon)
    if path is None:
        return ets(pool, origin, horizon)
    recent = pool.mean[max(0, origin - 4 * pool.season) : origin]
    room = float(np.ptp(recent))
    path = np.clip(path, recent.min() - room, recent.max() + room)
    shape = 1.0 + pool.repeat(pool.shape(origin), horizon) / recent.mean()
    found: Table = path[:, None] * np.maximum(shape, 0.0)
    return found


def ets_slow(pool: Pool, origin: int, horizon: int) -> Table:
    """The slowest level of the bank."""
    return pool.on_level(pool.smoothed(origin, horizon, _FLAT[:1]), origin)


def theta(pool: Pool, origin: int, horizon: int) -> Table:
    """Theta method: the smoothed level moved by half the slope of a straight line through the last year."""
    slope = _slope(pool.mean[max(0, origin - _YEAR_BLOCKS) : origin])
    path = pool.smoothed(origin, horizon, _FLAT) + 0.5 * slope * np.arange(1, horizon + 1)
    return pool.on_level(path, origin)


def trend(pool: Pool, origin: int, horizon: int) -> Table:
    """A straight line through the last 60 blocks."""
    return _line(pool, origin, horizon, _TREND_BLOCKS, 1.0)


def trend_28d(pool: Pool, origin: int, horizon: int) -> Table:
    """The same through the last 28, slightly damped: growth that began lately."""
    return _line(pool, origin, horizon, _SHORT_TREND_BLOCKS, _TREND_DAMPING)


def turn(pool: Pool, origin: int, horizon: int) -> Table:
    """The line since the series turned last, if it did within 56 blocks, slightly damped; see `last_line`."""
    phase = pool.phase(origin)
    past = pool.mean[origin - max(min(origin, _TURN_BLOCKS) // pool.season, 1) * pool.season : origin]
    level, slope = last_line(past - np.resize(phase, len(past)))
    path = level + slope * damped_sums(_TREND_DAMPING, horizon)
    return pool.on_level(path + phase[np.arange(horizon) % pool.season], origin)


def _line(pool: Pool, origin: int, horizon: int, blocks: int, damping: float) -> Table:
    """A straight line through the last whole seasons of so many blocks, damped, with the season on it."""
    blocks = min(origin, blocks)
    phase = pool.phase(origin)
    past = pool.mean[origin - max(blocks // pool.season, 1) * pool.season : origin]
    past = past - np.resize(phase, len(past))
    slope = _slope(past)
    level = past.mean() + slope * (len(past) - 1) / 2 + slope * damped_sums(damping, horizon)
    return pool.on_level(level + phase[np.arange(horizon) % pool.season], origin)


def level_median(pool: Pool, origin: int, horizon: int) -> Table:
    """Median of all values of the last four seasons: where hours do not differ either."""
    return np.full((horizon, pool.table.shape[1]), np.median(pool.seasons(origin, 4)))


def last_year(pool: Pool, origin: int, horizon: int) -> Table:
    """How past years went on from this day, on the level and weekdays of the last four weeks.

    Up to three years, each smoothed over a week and taken from its own level; before the first,
    `weekday_mean_28d`.
    """
    four, now = 4 * pool.season, weekday_mean_28d(pool, origin, horizon)
    many = min((origin - four) // pool.year, 3) if pool.year else 0
    if many < 1:
        return now
    smooth = np.concatenate([[0.0], np.cumsum(pool.mean[:origin])])
    path = np.zeros(horizon)
    for year in range(1, many + 1):
        then = origin - year * pool.year
        before = pool.mean[then - four : then].mean()
        first = np.minimum(then + np.arange(horizon), origin - 7)
        path += ((smooth[first + 7] - smooth[first]) / 7 - before) / many
    return now + path[:, None]


def _slope(z: NDArray[np.float64]) -> float:
    """Slope of the least-squares line, per block."""
    at = np.arange(len(z)) - (len(z) - 1) / 2
    spread = float(at @ at)
    return float(at @ z) / spread if spread else 0.0


SIMPLE: Final = ("seasonal_naive", "weekday_mean", "weekday_mean_28d", "drift")

METHODS: Final[dict[str, Callable[[Pool, int, int], Table]]] = {
    "seasonal_naive": seasonal_naive,
    "weekday_mean": weekday_mean,
    "weekday_mean_28d": weekday_mean_28d,
    "drift": drift,
    "seasonal_median": seasonal_median,
    "daily_mean": daily_mean,
    "daily_median": daily_median,
    "level_median": level_median,
    "ets": ets,
    "ets_ratio": ets_ratio,
    "ets_slow": ets_slow,
    "theta": theta,
    "trend": trend,
    "trend_28d": trend_28d,
    "turn": turn,
    "last_year": last_year,
}
"""By name; the simple ones first."""
