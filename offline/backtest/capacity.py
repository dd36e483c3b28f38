"""Forecasts of a resource weeks ahead, made again and again from its own past, beside the simple methods."""

from __future__ import annotations

from time import thread_time
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from offline.capacity.blend import MODEL_NAME, look_ahead, sound_horizon
from offline.capacity.history import DAY_MS, History, fill, without_outliers
from offline.capacity.pool import METHODS, SIMPLE, Pool

ORIGINS: Final = 12
SHARE: Final = 1 / 3
"""A horizon is at most this share of the history: the half before the first origin is there to learn from."""

_LAST_BLOCKS: Final = 365
_LEAST_VALUES: Final = 100
"""More origins are taken where so few values follow each that the figures would say little."""


class Quality(Struct, frozen=True):
    """How good one method was; None where a figure is not defined.

    `mase` is its error over that of seasonal naive within the past of each origin, `ratio` its error over that of
    seasonal naive at the same origins, `coverage` and `width` are of its 95 % interval.
    """

    name: str
    mae: float
    mase: float | None
    wape: float | None
    ratio: float | None
    coverage: float
    width: float


class CapacityBacktest(Struct, frozen=True):
    """One column's result.

    `blend` is what `dwcp capacity forecast` makes; `best_simple` the best of seasonal naive, weekday
    mean, 28-day weekday mean and drift on the very same values, known only afterwards, `excess` the blend's error over
    its. `seconds_per_series` is the CPU time of one forecast, weights and intervals and all.
    """

    column: str
    points: int
    step_ms: int
    span_days: float
    horizon_asked_days: float
    horizon_days: float
    note: str
    origins: int
    first_origin_ms: int
    scored: int
    seconds_per_series: float
    best_simple: str
    excess: float | None
    methods: list[Quality]
    weights: dict[str, float]


def backtest_history(column: str, history: History, asked_ms: int, many: int = ORIGINS) -> CapacityBacktest:
    """Forecast from up to `many` origins in the last half of a series, and score that.

    Everything (outliers, weights, intervals) is learned before each origin alone. Scored is every value there is,
    outliers too.

    Parameters
    ----------
    column
        Its name.
    history
        The whole series.
    asked_ms
        How far ahead; at most a third of the series.
    """
    horizon = sound_horizon(history, asked_ms, SHARE)
    origins = origins_of(history, horizon, max(many, min(_LEAST_VALUES // (horizon * history.per_block), 8 * many)))
    rows = [_score(history, int(origin), horizon) for origin in origins]
    seconds = float(np.median([row.seconds for row in rows]))
    error, held, width, scale, size = (
        np.concatenate([getattr(row, name) for row in rows], axis=-1)
        for name in ("error", "held", "width", "scale", "size")
    )
    names = [MODEL_NAME, *METHODS]
    naive = names.index("seasonal_naive")
    mae = error.mean(axis=1)
    methods = [
        Quality(
            name, float(mae[k]), _over(mae[k], float(scale.mean())), _over(mae[k], float(size.mean())),
            _over(mae[k], mae[naive]), float(held[k].mean()), float(width[k].mean()),
        )
        for k, name in enumerate(names)
    ]  # fmt: skip
    simple = min(SIMPLE, key=lambda name: float(mae[names.index(name)]))
    days = horizon * history.block_ms / DAY_MS
    first_ms = history.first_ms + _begin(history, int(origins[0])) * history.step_ms
    return CapacityBacktest(
        column, history.points, history.step_ms, len(history) * history.step_ms / DAY_MS, asked_ms / DAY_MS, days,
        _note(history, asked_ms, horizon), len(rows), first_ms,
        error.shape[1], seconds, simple, _over(mae[0], mae[names.index(simple)]), methods, rows[-1].weights,
    )  # fmt: skip


class _Row(Struct):
    """One origin's scores: `error`, `held`, `width` `[blend and methods, values]`, `scale`, `size` `[values]`."""

    error: Any
    held: Any
    width: Any
    scale: Any
    size: Any
    seconds: float
    weights: dict[str, float]


def _score(history: History, origin: int, horizon: int) -> _Row:
    end = _begin(history, origin)
    past = history.until(end)
    started = thread_time()
    outlook = look_ahead(past, horizon)
    seconds = thread_time() - started
    table = fill(without_outliers(past))
    pool = Pool(table, past.season, past.year)
    made = pool.forecast(len(table), horizon)
    actual = history.value[end : end + horizon * history.per_block].reshape(horizon, -1)
    there = np.isfinite(actual)
    below, above = _usual(past, pool, horizon)
    error = np.concatenate([np.abs(outlook.predicted - actual)[None, there], np.abs(made - actual)[:, there]])
    held = np.concatenate([
        ((outlook.lower <= actual) & (actual <= outlook.upper))[None, there],
        ((made + below <= actual) & (actual <= made + above))[:, there],
    ])  # fmt: skip
    blend_width = (outlook.upper - outlook.lower)[None, there]
    width = np.concatenate([blend_width, np.broadcast_to(above - below, made.shape)[:, there]])
    lag = past.season * past.per_block
    scale = float(np.nanmean(np.abs(past.value[lag:] - past.value[:-lag])))
    return _Row(
        error, held, width, np.full(error.shape[1], scale), np.abs(actual[there]), seconds, outlook.weights
    )  # fmt: skip


def _usual(past: History, pool: Pool, horizon: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Plain intervals of the pool's methods, `[method, 1, 1]` each: quantiles of what they missed lately."""
    blocks = len(pool.table)
    origins = list(range(blocks - horizon, 2 * past.season - 1, -max(horizon // 4, 1)))[:8] or [blocks - 1]
    missed = [pool.table[o : o + horizon] - pool.forecast(o, horizon)[:, : blocks - o] for o in origins]
    low, high = np.quantile(
        np.concatenate([m.reshape(len(METHODS), -1) for m in missed], axis=1), (0.025, 0.975), axis=1
    )
    return low[:, None, None], high[:, None, None]


def origins_of(history: History, horizon: int, many: int) -> NDArray[np.int64]:
    """Blocks after which forecasts begin, evenly over the last half, or the last year where that is less."""
    last = history.blocks - horizon
    first = min(max(history.blocks // 2, 2 * history.season, last - _LAST_BLOCKS), last)
    return np.unique(np.round(np.linspace(first, last, many)).astype(np.int64))


def _begin(history: History, block: int) -> int:
    """The step at which a block begins; blocks end with the series."""
    return len(history) - (history.blocks - block) * history.per_block


def _note(history: History, asked_ms: int, horizon: int) -> str:
    if horizon * history.block_ms >= asked_ms - history.block_ms / 2:
        return ""
    span = len(history) * history.step_ms / DAY_MS
    return (
        f"{span:.1f} days of history carry a backtest of {horizon * history.block_ms / DAY_MS:g} days, "
        f"a third of them, not of {asked_ms / DAY_MS:g}"
    )


def _over(value: float, base: float) -> float | None:
    return float(value / base) if base > 1e-12 else None
