"""A series as one link's samples, through the two passes that a worker makes, with champions that change on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offline.backtest.grid import Grid
from online_models.bandwidth.expert import EXPERTS
from online_models.bandwidth.feature import (
    COUNTERS,
    FEATURE_NAMES,
    WINDOW,
    encode_network,
    link_type_codes,
    write_features,
)
from online_models.bandwidth.forecaster import conclude, prepare
from online_models.bandwidth.link import LINK, SCORE, meet_value, take_value, write_recent
from online_models.bandwidth.model import Question, ask_forecaster
from online_models.bandwidth.vote import FORECAST, MODEL, catch_up, renew_trained, start_models
from online_models.bandwidth.waiting import remember
from online_models.served import Model
from schemas.codec import codec_of
from schemas.network import TARGETS, NetworkSample

UNBOUNDED: Final = np.tile([-np.inf, np.inf], (4, 1))
_NUMBERS: Final = 8
"""Trained models that waiting forecasts can tell apart, as in a worker."""


class Champion(NamedTuple):
    """A trained model, and the first sample from which it is asked."""

    since: int
    model: Model


@dataclass(frozen=True, slots=True)
class Taken:
    """What the first pass made of a link's samples; no feedback changes it.

    Parameters
    ----------
    grid
        The samples, which are of target `m`; the other three are 0 throughout.
    links, models
        The link and its type, `[1]`, after its last sample, not yet taught.
    samples
        `[n, 4]`.
    period, feature, recent, made
        Of every sample as the link stood then: its usual period, features `[n, 34]`, last samples `[n, 10, 4]`, and
        prepared `FORECAST`.
    """

    grid: Grid
    m: int
    horizon_ms: int
    links: NDArray[Any]
    models: NDArray[Any]
    samples: NDArray[np.float64]
    period: NDArray[np.float64]
    feature: NDArray[np.float64]
    recent: NDArray[np.float32]
    made: NDArray[Any]


def take_link(grid: Grid, m: int, horizon_ms: int) -> Taken:
    """Take a series in; the link is of the contract's defaults, its counters are 0.

    Parameters
    ----------
    m
        Which target the grid's values are.
    """
    n = len(grid.value)
    links, models = np.zeros(1, LINK), np.zeros(1, MODEL)
    start_models(models)
    samples = np.zeros((n, 4))
    samples[:, m] = grid.value
    period, feature, made = np.empty(n), np.empty((n, len(FEATURE_NAMES))), np.zeros(n, FORECAST)
    recent = np.empty((n, WINDOW, len(TARGETS)), np.float32)
    shown = np.maximum(samples, 0.0)  # features are of throughputs, which are never below 0
    _take(
        links, grid.time_ms, samples, shown, np.zeros(len(COUNTERS)), _code(), horizon_ms, period, feature, recent, made
    )
    return Taken(grid, m, horizon_ms, links, models, samples, period, feature, recent, made)


def conclude_link(taken: Taken, bounds: NDArray[Any], champions: Sequence[Champion] = ()) -> NDArray[Any]:
    """Every sample's `FORECAST`, `[n]`, by the worker's second pass; a link is concluded once.

    Parameters
    ----------
    bounds
        Least and greatest value of each target, `[4, 2]`.
    champions
        Trained models in order of time; each is asked, as a worker's champion is, until the next.
    """
    n, made = len(taken.made), taken.made
    edges = [0, *(one.since for one in champions), n]
    work, score = np.empty((5, len(EXPERTS))), np.zeros(n, SCORE)
    question = Question(taken.feature, taken.recent, taken.period)
    for k, (first, end) in enumerate(pairwise(edges)):
        rows = slice(first, end)
        part = made[rows]
        if k:
            renew_trained(taken.models, k)
            part["trained"] = ask_forecaster(
                champions[k - 1].model, part, question.of(np.arange(first, end)), taken.horizon_ms
            )
            part["asked"], part["epoch"] = 1 + (k - 1) % _NUMBERS, k
        _answer(
            taken.links, taken.models, taken.grid.time_ms[rows], taken.samples[rows], taken.horizon_ms, bounds,
            taken.period[rows], score[rows], part, work,
        )  # fmt: skip
    return made


def stream_link(
    grid: Grid, m: int, horizon_ms: int, bounds: NDArray[Any], champions: Sequence[Champion] = ()
) -> NDArray[Any]:
    """Both passes: every sample's `FORECAST`, `[n]`."""
    return conclude_link(take_link(grid, m, horizon_ms), bounds, champions)


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
        if made[i].asked:
            catch_up(link, made[i].epoch)
        meet_value(link, model, period[i], timestamp[i], samples[i], horizon_ms, score[i], work)
        conclude(link, model, bounds, made[i], work)
        remember(link, made[i], horizon_ms)
