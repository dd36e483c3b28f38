"""What a worker would have known and published at every sample, and what came one horizon later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offline.backtest.grid import match_targets
from offline.training.bandwidth_sample import Samples
from online_models.bandwidth.expert import CLIMATOLOGY, EXPERTS, MOVING_AVERAGE, PERSISTENCE
from online_models.bandwidth.feature import COUNTERS, FEATURE_NAMES, encode_network, link_type_codes, write_features
from online_models.bandwidth.forecaster import forecast
from online_models.bandwidth.link import LINK, SCORE, take_sample
from online_models.bandwidth.trained_input import make_context
from online_models.bandwidth.vote import BOUNDS, FORECAST, MODEL, start_models
from online_models.bandwidth.waiting import remember
from schemas.field import LINK_TYPES
from schemas.network import TARGETS

BARS: Final = {"persistence": PERSISTENCE, "moving-average": MOVING_AVERAGE, "climatology": CLIMATOLOGY}
"""Experts that every model is measured against."""

_ROWS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Trace:
    """Rows in order of link and time, so that windows are neighbours.

    Parameters
    ----------
    time_ms, link, age
        When, whose, and which sample of the link it is, int64 `[n]`.
    link_type
        Position in `LINK_TYPES`, int64 `[n]`.
    feature
        Enhanced features as the worker computes them, float32 `[n, 34]`.
    context
        Of `online_models.bandwidth.trained_input`, float32 `[n, 65]`.
    published
        What the online forecaster said, `[n, 4]`.
    bar
        What persistence, moving average and climatology said, `[n, 3, 4]`.
    period_ms
        The link's usual distance of samples, before each, `[n]`.
    target
        The link's sample one horizon later, `[n, 4]`; NaN where there is none within 30 s.
    """

    time_ms: NDArray[np.int64]
    link: NDArray[np.int64]
    age: NDArray[np.int64]
    link_type: NDArray[np.int64]
    feature: NDArray[np.float32]
    context: NDArray[np.float32]
    published: NDArray[np.float64]
    bar: NDArray[np.float64]
    period_ms: NDArray[np.float64]
    target: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time_ms)


def trace(samples: Samples, horizon_ms: int) -> Trace:
    """Stream samples through the worker's kernels, all links of a type sharing what they share there.

    Parameters
    ----------
    samples
        In order of time.
    horizon_ms
        How far ahead to forecast.
    """
    columns, time_ms = samples.columns, samples.time_ms
    n = len(samples)
    value = np.column_stack([columns[name] for name in TARGETS]).astype(np.float64)
    counter = np.column_stack([columns[name] for name in COUNTERS]).astype(np.float64)
    kind = link_type_codes(columns)
    code = encode_network(columns, kind)
    links, models = np.zeros(len(samples.names), LINK), np.zeros(len(LINK_TYPES), MODEL)
    start_models(models)
    feature, period = np.empty((n, len(FEATURE_NAMES))), np.empty(n)
    context, published, bar = [], [], []
    for first in range(0, n, _ROWS):
        rows = slice(first, min(first + _ROWS, n))
        made = np.zeros(rows.stop - first, FORECAST)
        _stream(
            links, models, samples.link[rows], kind[rows], time_ms[rows], value[rows], counter[rows], code[rows],
            horizon_ms, BOUNDS, feature[rows], period[rows], made,
        )  # fmt: skip
        context.append(make_context(made["expert"], made["scale"], time_ms[rows] + horizon_ms))
        published.append(made["predicted"])
        bar.append(made["expert"][:, list(BARS.values())])
    order = np.lexsort((time_ms, samples.link))
    link = samples.link[order]
    return Trace(
        time_ms[order], link, _ages(link), kind[order], feature[order].astype(np.float32),
        np.concatenate(context)[order], np.concatenate(published)[order], np.concatenate(bar)[order], period[order],
        find_targets(link, time_ms[order], value[order], horizon_ms),
    )  # fmt: skip


def find_targets(
    link: NDArray[np.int64], time_ms: NDArray[np.int64], value: NDArray[np.float64], horizon_ms: int
) -> NDArray[np.float64]:
    """The sample of the same link one horizon later, at most 30 s off, `[n, 4]`; NaN where there is none.

    Parameters
    ----------
    link, time_ms
        In order of link, then time, `[n]`.
    value
        The samples, `[n, 4]`.
    """
    found = np.full(value.shape, np.nan)
    edges = np.flatnonzero(np.diff(link, prepend=-1, append=-1))
    for first, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        meets = match_targets(time_ms[first:end], horizon_ms, 0)
        some = np.flatnonzero(meets >= 0)
        found[first + some] = value[first + meets[some]]
    return found


def _ages(link: NDArray[np.int64]) -> NDArray[np.int64]:
    """Samples of the same link before each row, in order of link, `[n]`."""
    starts = np.flatnonzero(np.diff(link, prepend=-1))
    sizes = np.diff(np.append(starts, len(link)))
    return np.arange(len(link)) - np.repeat(starts, sizes)


@njit(cache=True)
def _stream(
    links: NDArray[Any],
    models: NDArray[Any],
    slot: NDArray[Any],
    kind: NDArray[Any],
    timestamp: NDArray[Any],
    value: NDArray[Any],
    counter: NDArray[Any],
    code: NDArray[Any],
    horizon_ms: int,
    bounds: NDArray[Any],
    feature: NDArray[Any],
    period: NDArray[Any],
    made: NDArray[Any],
) -> None:
    score = np.zeros(1, SCORE)
    work = np.empty((5, len(EXPERTS)))
    for i in range(len(slot)):
        link, model = links[slot[i]], models[kind[i]]
        period[i] = link.period
        take_sample(link, model, timestamp[i], value[i], horizon_ms, score[0], work)
        write_features(link.window, link.count, timestamp[i], value[i], counter[i], code[i], feature[i])
        forecast(link, model, link.count, horizon_ms, bounds, made[i], work)
        remember(link, made[i], horizon_ms)
