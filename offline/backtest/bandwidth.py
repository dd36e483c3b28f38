"""A series through the forecaster that the worker runs, and how good its forecasts were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from offline.backtest.bandwidth_stream import UNBOUNDED, Champion, conclude_link, take_link
from offline.backtest.grid import Grid, fit_horizon, match_targets
from offline.backtest.retrain import Retraining, Turn, retrain
from online_models.bandwidth.expert import CLIMATOLOGY, EXPERTS, MOVING_AVERAGE, PERSISTENCE
from online_models.bandwidth.interval import PRIOR_RADIUS, reach_above, reach_below, track
from online_models.bandwidth.vote import BOUNDS
from online_models.served import Model
from schemas.network import HORIZON_MS, TARGETS

PUBLISHED: Final = "published"
TRAINED: Final = "trained"
_FIRST: Final = (PERSISTENCE, MOVING_AVERAGE, CLIMATOLOGY)
_BARS: Final = (EXPERTS[PERSISTENCE], EXPERTS[MOVING_AVERAGE])
_NOISE: Final = 1e-7


class Quality(Struct, frozen=True):
    """How good one forecaster was; None where a figure is not defined.

    `coverage` and `width` are of its 90 % interval; `mape` leaves out actual values of 0.
    """

    name: str
    mae: float
    mape: float | None
    r2: float | None
    coverage: float
    width: float


class Backtest(Struct, frozen=True):
    """One column's result.

    `n` forecasts whose target sample lies in the test part were scored. `ratio` is the published
    forecast's MAE over the better of persistence and moving average; None where that is never wrong.
    `trainings` are those on the way, `kept` of which passed and served.
    """

    column: str
    target: str | None
    samples: int
    dropped: int
    period_ms: int
    horizon_ms: int
    test_from_ms: int
    n: int
    ratio: float | None
    forecasters: list[Quality]
    kept: int
    trainings: list[Turn]


def backtest_column(
    column: str,
    grid: Grid,
    target: str | None = None,
    horizon_ms: int = HORIZON_MS,
    test_fraction: float = 0.15,
    trained: Model | Retraining | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Backtest:
    """Stream a column as one link's samples and score the forecasts of its last part.

    Parameters
    ----------
    column
        Its name.
    grid
        Its samples.
    target
        Which of `TARGETS` it is, and so its bounds; None for a series that may take any value.
    horizon_ms
        How far ahead; made a whole number of periods.
    test_fraction
        Share of the samples, the last ones, that forecasts are scored against.
    trained
        A model that is asked as a worker's champion is, or when to train one from what is known by then. Where none
        has an answer, the experts' vote stands in its row.
    say
        Is told of each training.

    Raises
    ------
    ConfigError
        When a library to train with is missing.
    """
    horizon_ms = fit_horizon(horizon_ms, grid.period_ms)
    m = 0 if target is None else TARGETS.index(target)
    bounds = UNBOUNDED if target is None else BOUNDS
    taken = take_link(grid, m, horizon_ms)
    turns: list[Turn] = []
    if isinstance(trained, Retraining):
        champions, turns = retrain(taken, bounds, trained, say)
    else:
        champions = [] if trained is None else [Champion(0, trained)]
    made = conclude_link(taken, bounds, champions)
    meets = match_targets(grid.time_ms, horizon_ms, grid.period_ms)
    test_at = min(round(len(grid.value) * (1.0 - test_fraction)), len(grid.value) - 1)
    row = np.flatnonzero(meets >= test_at)
    said = made["trained"][:, m]
    values = np.column_stack(
        [made["predicted"][:, m], made["expert"][:, :, m], np.where(np.isnan(said), made["vote"][:, m], said)]
    )
    lower, upper = interval_all(values, np.ascontiguousarray(made["breadth"][:, m]), meets, grid.value)
    lower[:, 0], upper[:, 0] = made["lower"][:, m], made["upper"][:, m]
    names = [PUBLISHED, *EXPERTS, TRAINED]
    first = [0, *([names.index(TRAINED)] if champions else []), *(1 + k for k in _FIRST)]
    order = [*first, *(k for k in range(1, 1 + len(EXPERTS)) if k not in first)]
    actual = grid.value[meets[row]]
    found = (
        [_quality(names[k], values[row, k], lower[row, k], upper[row, k], actual) for k in order] if len(row) else []
    )
    return Backtest(
        column, target, len(grid.value), grid.dropped, grid.period_ms, horizon_ms,
        int(grid.time_ms[test_at]), len(row), _ratio(found, actual), found,
        sum(turn.refused is None for turn in turns), turns,
    )  # fmt: skip


@njit(cache=True)
def interval_all(
    values: NDArray[Any], breadth: NDArray[Any], meets: NDArray[Any], actual: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """90 % intervals of several forecasters, as the worker makes the published one's.

    Parameters
    ----------
    values
        Forecasts, `[n, forecasters]`.
    breadth
        Unit of the intervals, `[n]`.
    meets
        Which sample each forecast is to meet, `[n]`, -1 for none; an error teaches once it is there.
    actual
        The samples, `[n]`.
    """
    n, many = values.shape
    lower, upper = np.empty((n, many)), np.empty((n, many))
    radius, lean = np.full(many, PRIOR_RADIUS), np.zeros(many)
    scored = 0
    settled = 0
    for i in range(n):
        while settled < i and meets[settled] <= i:
            if meets[settled] >= 0:
                value = actual[meets[settled]]
                for k in range(many):
                    track(radius, lean, k, value < lower[settled, k], value > upper[settled, k], scored, 1.0)
                scored += 1
            settled += 1
        for k in range(many):
            lower[i, k] = values[i, k] - breadth[i] * reach_below(radius[k], lean[k])
            upper[i, k] = values[i, k] + breadth[i] * reach_above(radius[k], lean[k])
    return lower, upper


def _quality(name: str, value: NDArray[Any], lower: NDArray[Any], upper: NDArray[Any], actual: NDArray[Any]) -> Quality:
    error = np.abs(value - actual)
    some = actual != 0.0
    spread = float(np.sum((actual - actual.mean()) ** 2))
    covered = (lower <= actual) & (actual <= upper)
    return Quality(
        name,
        float(error.mean()),
        float((error[some] / np.abs(actual[some])).mean()) if some.any() else None,
        1.0 - float(np.sum(error**2)) / spread if spread > 0.0 else None,
        float(covered.mean()),
        float((upper - lower).mean()),
    )


def _ratio(found: list[Quality], actual: NDArray[Any]) -> float | None:
    """Published MAE over the bar's; a bar below single precision counts as never wrong."""
    if not found:
        return None
    bar = min(one.mae for one in found if one.name in _BARS)
    return found[0].mae / bar if bar > _NOISE * float(np.abs(actual).max()) else None
