"""One forecast from the pool: weights from rolling-origin errors, intervals from rolling-origin residuals.

The pool forecasts the series' own past from up to 24 origins, the first after one season. A method's weight falls
with its mean absolute error there, and faster the more certain it is that this is no chance: methods of equal merit
share and bad ones vanish; no single one wins. The blend's residuals at the same origins give 95 % intervals by
horizon, sided, never narrower with the horizon, and wider by as much as the methods are at odds about the future
and by a share of what the load swings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from offline.capacity.history import History, fill, without_outliers
from offline.capacity.interval import APART, RECENT_BLOCKS, SWING, reach, swing
from offline.capacity.pool import METHODS, Pool, Table

MODEL_NAME: Final = "blend"
MODEL_VERSION: Final = "3"

ORIGINS: Final = 24
REACH_BLOCKS: Final = 90
"""How far back origins lie, or three horizons where that is more."""

POWER: Final = 5.0
CERTAINTY: Final = 1.0
"""A method's weight falls with the power of its error over the best one's, and e-fold for each standard error that it
is behind, in horizons that do not overlap."""

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
    apart
        How far each method's forecast is from the blend, by block, `[method, block]`.
    bursts
        By how much outliers of the last 60 blocks were off, 0 elsewhere, `[block, step]`.
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
    apart: NDArray[np.float64]
    bursts: NDArray[np.float64]
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
    weight, merit = weigh(np.abs(made - meant[:, None]), blocks - origins)
    blended = np.einsum("m,omhs->ohs", weight, made)
    residual = actual - blended
    ahead = pool.forecast(blocks, horizon)
    predicted = np.tensordot(weight, ahead, 1)
    farther = APART * np.maximum.accumulate(merit @ np.abs(ahead - predicted).mean(axis=2))
    farther += SWING * swing(raw[-RECENT_BLOCKS:])
    below, above = (side + farther for side in reach(residual))
    apart = (ahead - predicted).mean(axis=2)
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
        meant - blended, apart, np.where(np.isfinite(raw), raw - clean, 0.0)[-RECENT_BLOCKS:],
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


def weigh(error: NDArray[Any], age: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the methods, and what they would be if all were chance, `[method]` each.

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
    each = np.nansum(error, axis=3)
    loss = np.einsum("oh,omh->m", recent, each) / max(float((recent * known).sum()), 1e-300)
    loss = np.maximum(loss, 1e-3 * float(np.median(loss)))
    best = int(np.argmin(loss))
    if not loss[best] > 0.0:
        equal = _share(loss == 0.0)
        return equal, equal
    mean = each.sum(axis=2) / np.maximum(known.sum(axis=1), 1)[:, None]
    horizons = max(float(age.max()) / horizon, 1.0)
    deviation = (mean - mean[:, [best]]).std(axis=0) / np.sqrt(horizons)
    errors_apart = (loss - loss[best]) / np.maximum(deviation, max(1e-12 * loss[best], 1e-300))
    merit = (loss[best] / loss) ** POWER
    return _share(merit * np.exp(-CERTAINTY * errors_apart)), _share(merit)


def _share(part: NDArray[Any]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = part / part.sum()
    return found


def _following(table: Table, origins: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
    """What followed each origin, `[origin, horizon, step]`; NaN beyond the end."""
    padded = np.concatenate([table, np.full((horizon, table.shape[1]), np.nan)])
    found: Table = padded[origins[:, None] + np.arange(horizon)]
    return found
