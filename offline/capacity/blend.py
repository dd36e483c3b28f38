"""One forecast from the pool: weights from rolling-origin errors, intervals from rolling-origin residuals.

The pool forecasts the series' own past from up to 24 origins, the first after one season. A method's weight falls
with the tenth power of its mean absolute error there, so that methods of equal merit share and bad ones
vanish; no single one wins. The blend's residuals at the same origins give 95 % intervals by horizon, sided, made never
narrower with the horizon, and wider where few horizons fit into the past or errors outgrew what had been known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from offline.capacity.history import History, fill, without_outliers
from offline.capacity.interval import reach, widen
from offline.capacity.pool import METHODS, Pool, Table

MODEL_NAME: Final = "blend"
MODEL_VERSION: Final = "1"

ORIGINS: Final = 24
REACH_BLOCKS: Final = 90
"""How far back origins lie, or three horizons where that is more."""

POWER: Final = 10.0
HALF_BLOCKS: Final = 28.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """A forecast of one series.

    Parameters
    ----------
    history
        What it was made from.
    predicted, lower, upper
        Mean and 95 % interval, `[blocks, step]`.
    residual
        The blend's errors (actual - forecast) at past origins, `[origin, block, step]`, outliers left out; NaN
        beyond the present.
    wider
        How much intervals are widened, see `offline.capacity.interval.widen`.
    weights
        By method, summing to 1.
    ratio
        The blend's error at past origins over that of seasonal naive; None where that was never wrong.
    wape
        The same error over the mean of the absolute values; None where all are 0.
    coverage
        Share of past values that the intervals would have held.
    """

    history: History
    predicted: Table
    lower: Table
    upper: Table
    residual: NDArray[np.float64]
    wider: float
    weights: dict[str, float]
    ratio: float | None
    wape: float | None
    coverage: float

    @property
    def steps(self) -> int:
        """How many steps ahead it looks."""
        return self.predicted.size


def look_ahead(history: History, horizon: int, lift: NDArray[np.float64] | None = None) -> Outlook:
    """Forecast a series.

    Parameters
    ----------
    history
        Its past; values more than three deviations off are left out of what is learned.
    horizon
        Blocks ahead, see `sound_horizon`.
    lift
        What known events add to each step ahead, `[horizon * per_block]`.
    """
    clean = fill(without_outliers(history))
    pool = Pool(clean, history.season, history.year)
    blocks, step = clean.shape
    origins = choose_origins(blocks, history.season, horizon)
    raw = history.value[len(history) - blocks * step :].reshape(blocks, step)
    made = np.stack([pool.forecast(origin, horizon) for origin in origins])
    meant, actual = (_following(table, origins, horizon) for table in (clean, raw))
    weight = weigh(np.abs(made - meant[:, None]), blocks - origins)
    blended = np.einsum("m,omhs->ohs", weight, made)
    residual = actual - blended
    wider = widen(meant - blended, origins, blocks)
    below, above = (wider * side for side in reach(residual))
    predicted = np.tensordot(weight, pool.forecast(blocks, horizon), 1)
    if lift is not None:
        predicted = predicted + lift.reshape(horizon, step)
    floor = 0.0 if np.nanmin(history.value) >= 0.0 else -np.inf
    predicted = np.maximum(predicted, floor)
    known = np.isfinite(residual)
    error = float(np.abs(residual[known]).mean()) if known.any() else 0.0
    naive = float(np.abs(actual - made[:, 0])[known].mean()) if known.any() else 0.0
    size = float(np.abs(actual[known]).mean()) if known.any() else 0.0
    held = (residual >= -below[:, None]) & (residual <= above[:, None])
    return Outlook(
        history, predicted, np.maximum(predicted - below[:, None], floor), predicted + above[:, None],
        meant - blended, wider,
        dict(zip(METHODS, weight.tolist(), strict=True)),
        error / naive if naive > 0.0 else None, error / size if size > 0.0 else None,
        float(held[known].mean()) if known.any() else 0.0,
    )  # fmt: skip


def sound_horizon(history: History, asked_ms: int, share: float = 1.0) -> int:
    """Blocks ahead that a history can carry: as asked, but at most `share` of its length; at least one.

    Parameters
    ----------
    share
        1 for a forecast; a third for a backtest, which needs a past before each origin as well.
    """
    return max(1, min(round(asked_ms / history.block_ms), int(history.blocks * share) or 1))


def choose_origins(blocks: int, season: int, horizon: int) -> NDArray[np.int64]:
    """Blocks after which past forecasts are made: up to 24, evenly, the last one block before the end."""
    first = min(max(season + 1, blocks - max(3 * horizon, REACH_BLOCKS)), blocks - 1)
    return np.unique(np.round(np.linspace(first, blocks - 1, ORIGINS)).astype(np.int64))


def weigh(error: NDArray[Any], age: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of the methods, `[method]`.

    Parameters
    ----------
    error
        Absolute errors `[origin, method, block, step]`, NaN where unknown.
    age
        How many blocks ago each origin is, `[origin]`. An error counts half as much for every 28 blocks between
        the value and now.
    """
    horizon = error.shape[2]
    recent = np.power(0.5, np.maximum(age[:, None] - 1 - np.arange(horizon), 0) / HALF_BLOCKS)
    known = np.isfinite(error[:, 0]).sum(axis=2)
    total = np.einsum("oh,omh->m", recent, np.nansum(error, axis=3))
    loss = total / max(float((recent * known).sum()), 1e-300)
    loss = np.maximum(loss, 1e-3 * float(np.median(loss)))
    if not loss.any():
        return np.full(len(loss), 1.0 / len(loss))
    weight = (loss.min() / np.maximum(loss, 1e-300)) ** POWER if loss.min() > 0.0 else (loss == 0.0).astype(float)
    found: NDArray[np.float64] = weight / weight.sum()
    return found


def _following(table: Table, origins: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
    """What followed each origin, `[origin, horizon, step]`; NaN beyond the end."""
    padded = np.concatenate([table, np.full((horizon, table.shape[1]), np.nan)])
    found: Table = padded[origins[:, None] + np.arange(horizon)]
    return found
