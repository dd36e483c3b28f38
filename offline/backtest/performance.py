"""Breaches of an objective and the values that cause them, predicted from many points of a series' past.

Rolling origin: from each origin everything is trained anew on rows whose labels were known before it, the last
fifth of these to choose and calibrate, and scored on the rows up to the next origin. The online predictor runs through
the whole series once, as in a worker, and is scored on the same rows.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.training.performance_choice import choose_breach, choose_latency
from offline.training.performance_data import Rows, make_rows
from offline.training.performance_model import METHODS, Fitted
from offline.training.performance_online import ONLINE, Streamed, stream_series
from offline.training.performance_score import Breach, Latency, score_breach, score_latency
from online_models.performance.input import INPUT_NAMES
from schemas.error import ConfigError

F64 = NDArray[np.float64]

ORIGINS: Final = 4
FIRST: Final = 0.6
"""Share of the series before the first origin."""

CHOSEN: Final = "chosen"
"""At each origin the cheapest method that none beats by 1 % and not by luck, on its validation part."""

BASE: Final = "base_rate"
"""The share of breaches in training and validation, and the mean of the target."""

_VALIDATION: Final = 0.2
_ROWS_MIN: Final = 40


class Method(msgspec.Struct, frozen=True):
    """One method's scores over all origins."""

    name: str
    breach: Breach
    latency: Latency


class PerformanceBacktest(msgspec.Struct, frozen=True):
    """One column's result."""

    column: str
    samples: int
    dropped: int
    period_ms: int
    horizon: int
    objective: float
    origins: int
    first_origin_ms: int
    methods: list[Method]
    chosen_breach: list[str]
    chosen_latency: list[str]
    importance: dict[str, float]
    us_per_sample: float
    note: str


def objective_of(values: F64, objective: float | None, quantile: float) -> float:
    """The objective: as given, or a quantile of what lies before the first origin."""
    if objective is not None:
        return objective
    return float(np.quantile(values[: max(int(len(values) * FIRST), 1)], quantile))


def backtest_series(
    column: str,
    time_ms: NDArray[np.int64],
    values: F64,
    objective: float | None,
    quantile: float,
    horizon: int,
    seed: int = 0,
    origins: int = ORIGINS,
    rows_max: int = 40_000,
) -> PerformanceBacktest:
    """Score every method on one series.

    Parameters
    ----------
    column
        Its name.
    time_ms, values
        Samples `[n]`; times do not decrease, NaN is an empty cell.
    objective, quantile
        What values must not exceed, or the quantile of the values before the first origin.
    horizon
        In samples.
    seed
        Of the trees.
    origins
        Evenly over the last 40 %.
    rows_max
        Latest rows that a training takes.

    Raises
    ------
    ConfigError
        When the series is too short.
    """
    kept = np.isfinite(values) & np.concatenate(([True], np.diff(time_ms) > 0))
    time_ms, clean, dropped = time_ms[kept], values[kept], int((~kept).sum())
    if len(clean) < 2 * _ROWS_MIN:
        raise ConfigError(column, len(clean), "a column with at least 80 values at different times")
    limit = objective_of(clean, objective, quantile)
    rows = make_rows(time_ms, clean[:, None], limit, horizon)
    stream_series(time_ms[:2], clean[:2], limit, horizon)  # compiles
    started = perf_counter()
    streamed = stream_series(time_ms, clean, limit, horizon)
    us = (perf_counter() - started) / len(clean) * 1e6
    bounds = time_ms[np.minimum((len(clean) * np.linspace(FIRST, 1.0, origins + 1)).astype(int), len(clean) - 1)]
    folds = [fold for k in range(origins) if (fold := _fold(rows, bounds[k], bounds[k + 1], horizon, seed, rows_max))]
    if not folds:
        raise ConfigError(column, len(clean), "a longer column: nothing can be trained before the first origin")
    test = rows.take(np.concatenate([fold.at for fold in folds]))
    methods = [
        Method(
            name,
            score_breach(np.concatenate([fold.probability[name] for fold in folds]), test.breach),
            score_latency(np.concatenate([fold.value[name] for fold in folds]), test.future[:, -1]),
        )
        for name in folds[0].probability
    ]
    methods.append(_online(streamed, test))
    note = "" if 0 < test.breach.sum() < len(test) else "every judged row is of one class: areas are undefined"
    return PerformanceBacktest(
        column, len(clean), dropped, int(np.median(np.diff(time_ms))), horizon, limit, len(folds),
        int(bounds[0]), methods, [f.breach for f in folds], [f.latency for f in folds], folds[-1].importance, us, note,
    )  # fmt: skip


class _Fold(msgspec.Struct):
    at: NDArray[Any]
    probability: dict[str, F64]
    value: dict[str, F64]
    breach: str
    latency: str
    importance: dict[str, float]


def _fold(rows: Rows, origin: int, end: int, horizon: int, seed: int, rows_max: int) -> _Fold | None:
    """Train on what was known at an origin, and answer the rows up to the next."""
    known = np.flatnonzero(rows.end_ms < origin)
    at = np.flatnonzero((rows.time_ms >= origin) & (rows.time_ms < end))
    if len(known) < _ROWS_MIN or not len(at):
        return None
    known = known[-rows_max:]
    cut = rows.time_ms[known[int(len(known) * (1.0 - _VALIDATION))]]
    training, validation = rows.take(known[rows.end_ms[known] < cut]), rows.take(known[rows.time_ms[known] >= cut])
    if not len(training):
        return None
    test, steps = rows.take(at), (horizon,)
    fitted = {name: fit(training, validation, steps, seed) for name, fit in METHODS.items()}
    probability = {name: one.probability(test) for name, one in fitted.items()}
    value = {name: one.value(test)[:, 0] for name, one in fitted.items()}
    breach = choose_breach(list(fitted.values()), validation)
    latency = choose_latency(list(fitted.values()), validation, steps)
    rate, mean = float(rows.breach[known].mean()), float(rows.future[known, -1].mean())
    base = {BASE: np.full(len(at), rate)}
    level = {BASE: np.full(len(at), mean)}
    return _Fold(
        at,
        {CHOSEN: probability[breach], **base, **probability},
        {CHOSEN: value[latency], **level, **value},
        breach,
        latency,
        importance_of(fitted[breach], validation, seed),
    )


def importance_of(fitted: Fitted, rows: Rows, seed: int, shown: int = 5, rows_max: int = 2_000) -> dict[str, float]:
    """How much log loss rises when an input is shuffled, for the inputs that matter most.

    Parameters
    ----------
    fitted
        The method.
    rows
        Held-out rows; the last ones are taken.
    seed
        Of the shuffle.
    shown
        How many inputs.
    rows_max
        Rows taken.
    """
    some = rows.take(np.arange(max(len(rows) - rows_max, 0), len(rows)))
    rng = np.random.default_rng(seed)
    before = _log_loss(fitted.probability(some), some.breach)
    risen = {}
    for k in range(some.x.shape[1]):
        x = some.x.copy()
        x[:, k] = rng.permutation(x[:, k])
        risen[INPUT_NAMES[k]] = _log_loss(fitted.probability(replace(some, x=x)), some.breach) - before
    top = sorted(risen, key=lambda name: -risen[name])[:shown]
    return {name: risen[name] for name in top if risen[name] > 0.0}


def _log_loss(probability: F64, breach: NDArray[np.bool_]) -> float:
    said = np.clip(np.where(breach, probability, 1.0 - probability), 1e-6, 1.0)
    return float(-np.log(said).mean())


def _online(streamed: Streamed, test: Rows) -> Method:
    at = np.searchsorted(streamed.time_ms, test.time_ms)
    return Method(
        ONLINE,
        score_breach(streamed.probability[at], test.breach),
        score_latency(streamed.value[at], test.future[:, -1]),
    )
