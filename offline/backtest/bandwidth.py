"""A series through the forecaster that the worker runs, and how good its forecasts were."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from offline.backtest.grid import Grid, fit_horizon, match_targets
from online_models.bandwidth.expert import CLIMATOLOGY, EXPERTS, MOVING_AVERAGE, PERSISTENCE
from online_models.bandwidth.feature import (
    COUNTERS,
    FEATURE_NAMES,
    WINDOW,
    encode_network,
    link_type_codes,
    write_features,
)
from online_models.bandwidth.forecaster import conclude, prepare
from online_models.bandwidth.interval import PRIOR_RADIUS, reach_above, reach_below, track
from online_models.bandwidth.link import LINK, SCORE, meet_value, take_value, write_recent
from online_models.bandwidth.model import Question, ask_forecaster
from online_models.bandwidth.vote import BOUNDS, FORECAST, MODEL, start_models
from online_models.bandwidth.waiting import remember
from online_models.served import Model
from schemas.codec import codec_of
from schemas.network import HORIZON_MS, TARGETS, NetworkSample

PUBLISHED: Final = "published"
TRAINED: Final = "trained"
UNBOUNDED: Final = np.tile([-np.inf, np.inf], (4, 1))
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


def backtest_column(
    column: str,
    grid: Grid,
    target: str | None = None,
    horizon_ms: int = HORIZON_MS,
    test_fraction: float = 0.15,
    trained: Model | None = None,
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
        A model that is asked as a worker's champion is. Where it has no answer, the experts' vote stands in its row.
    """
    horizon_ms = fit_horizon(horizon_ms, grid.period_ms)
    m = 0 if target is None else TARGETS.index(target)
    made = stream_link(grid, m, horizon_ms, UNBOUNDED if target is None else BOUNDS, trained)
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
    first = [0, *([names.index(TRAINED)] if trained is not None else []), *(1 + k for k in _FIRST)]
    order = [*first, *(k for k in range(1, 1 + len(EXPERTS)) if k not in first)]
    actual = grid.value[meets[row]]
    found = (
        [_quality(names[k], values[row, k], lower[row, k], upper[row, k], actual) for k in order] if len(row) else []
    )
    return Backtest(
        column, target, len(grid.value), grid.dropped, grid.period_ms, horizon_ms,
        int(grid.time_ms[test_at]), len(row), _ratio(found, actual), found,
    )  # fmt: skip


def stream_link(
    grid: Grid, m: int, horizon_ms: int, bounds: NDArray[Any], trained: Model | None = None
) -> NDArray[Any]:
    """Every sample's `FORECAST`, `[n]`, by the worker's kernels; the other three targets are 0 throughout.

    Parameters
    ----------
    m
        Which target the grid's values are.
    bounds
        Least and greatest value of each target, `[4, 2]`.
    trained
        A model that is asked as a worker's champion is; the link is of the contract's defaults, its counters are 0.
    """
    n = len(grid.value)
    links, models = np.zeros(1, LINK), np.zeros(1, MODEL)
    start_models(models)
    samples = np.zeros((n, 4))
    samples[:, m] = grid.value
    period, feature, made = np.empty(n), np.empty((n, len(FEATURE_NAMES))), np.zeros(n, FORECAST)
    recent = np.empty((n if trained is not None else 0, WINDOW, len(TARGETS)), np.float32)
    shown = np.maximum(samples, 0.0)  # features are of throughputs, which are never below 0
    _take(
        links, grid.time_ms, samples, shown, np.zeros(len(COUNTERS)), _code(), horizon_ms, period, feature, recent, made
    )
    if trained is not None:
        made["trained"], made["asked"] = ask_forecaster(trained, made, Question(feature, recent, period), horizon_ms), 1
    work = np.empty((5, len(EXPERTS)))
    _answer(links, models, grid.time_ms, samples, horizon_ms, bounds, period, np.zeros(n, SCORE), made, work)
    return made


def _code() -> NDArray[np.float64]:
    """Encodings of a link that is nowhere in particular, `[6]`."""
    nowhere = NetworkSample(0, "a", "b", rtt_ms=0.0, jitter_ms=0.0, throughput_mbps=0.0, packet_loss=0.0)
    columns = codec_of(NetworkSample).columns([nowhere])
    found: NDArray[np.float64] = encode_network(columns, link_type_codes(columns))[0]
    return found


@njit(cache=True)
def _take(
    links: NDArray[Any],
    timestamp: NDArray[Any],
    samples: NDArray[Any],
    shown: NDArray[Any],
    counter: NDArray[Any],
    code: NDArray[Any],
    horizon_ms: int,
    period: NDArray[Any],
    feature: NDArray[Any],
    recent: NDArray[Any],
    made: NDArray[Any],
) -> None:
    """A worker's first pass."""
    link = links[0]
    for i in range(len(timestamp)):
        period[i] = link.period
        take_value(link, timestamp[i], samples[i], horizon_ms)
        write_features(link.window, link.count, timestamp[i], shown[i], counter, code, feature[i])
        if i < len(recent):
            write_recent(link, recent[i])
        prepare(link, link.count, horizon_ms, made[i])


@njit(cache=True)
def _answer(
    links: NDArray[Any],
    models: NDArray[Any],
    timestamp: NDArray[Any],
    samples: NDArray[Any],
    horizon_ms: int,
    bounds: NDArray[Any],
    period: NDArray[Any],
    score: NDArray[Any],
    made: NDArray[Any],
    work: NDArray[Any],
) -> None:
    """Its second pass."""
    link, model = links[0], models[0]
    for i in range(len(timestamp)):
        meet_value(link, model, period[i], timestamp[i], samples[i], horizon_ms, score[i], work)
        conclude(link, model, bounds, made[i], work)
        remember(link, made[i], horizon_ms)


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
