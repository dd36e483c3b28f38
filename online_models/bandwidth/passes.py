"""The two passes over a batch of samples, one horizon ahead, with their columns around them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from online_models.bandwidth.feature import COUNTERS, FEATURE_NAMES, WINDOW, encode_network, link_type_codes
from online_models.bandwidth.link import SCORE, answer, take_in
from online_models.bandwidth.vote import BOUNDS, FORECAST
from schemas.batch import Batch, matrix
from schemas.field import LINK_TYPES
from schemas.network import HORIZON_MS, TARGETS

FORMULA: Final = np.ones(len(LINK_TYPES))
"""AMST's streams are what the contract's formula says, on links of every type."""


class Samples(NamedTuple):
    """Columns of a batch as the passes take them: `[n]`, the four targets `[n, 4]`."""

    timestamp: NDArray[np.int64]
    target: NDArray[np.float64]
    kind_of_link: NDArray[np.int64]

    @classmethod
    def of(cls, batch: Batch) -> Samples:
        """Of a batch of network samples."""
        timestamp = np.ascontiguousarray(batch.columns["timestamp"], np.int64)
        return cls(timestamp, matrix(batch.columns, TARGETS), link_type_codes(batch.columns))


class Taken(NamedTuple):
    """What the first pass says of every row; features and recent samples as far as they were asked for."""

    kind: NDArray[np.int64]
    clock: NDArray[np.int64]
    period: NDArray[np.float64]
    feature: NDArray[np.float64]
    recent: NDArray[np.float32]
    made: NDArray[Any]


class Answered(NamedTuple):
    """What the second pass says: confidence, transport parameters and action `[n, 6]`, scores.

    Forecasts are in `Taken.made`.
    """

    certain: NDArray[np.float64]
    amst: NDArray[np.int64]
    score: NDArray[Any]


def take_batch(
    rows: NDArray[Any],
    slot: NDArray[np.intp],
    batch: Batch,
    samples: Samples,
    lateness_ms: int,
    horizon_ms: int = HORIZON_MS,
    *,
    features: bool = True,
    recent: bool = False,
) -> Taken:
    """Take a batch in, and prepare its forecasts.

    Parameters
    ----------
    rows, slot
        The links, and which one each row of the batch is of.
    features, recent
        Whether those are asked for.
    """
    n = len(batch)
    if features:
        counter, code = matrix(batch.columns, COUNTERS), encode_network(batch.columns, samples.kind_of_link)
    else:
        counter, code = np.empty((0, len(COUNTERS))), np.empty((0, 6))
    found = Taken(
        np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n),
        np.empty((n if features else 0, len(FEATURE_NAMES))),
        np.empty((n if recent else 0, WINDOW, len(TARGETS)), np.float32), np.zeros(n, FORECAST),
    )  # fmt: skip
    take_in(rows, slot, samples.timestamp, samples.target, counter, code, lateness_ms, *found, horizon_ms)
    return found


def answer_batch(
    rows: NDArray[Any],
    models: NDArray[Any],
    slot: NDArray[np.intp],
    samples: Samples,
    taken: Taken,
    horizon_ms: int = HORIZON_MS,
    tuned: NDArray[np.float64] = FORMULA,
) -> Answered:
    """Score, conclude and remember what was prepared; `tuned` multiplies AMST's streams, `[link type]`."""
    n = len(slot)
    found = Answered(np.empty(n), np.empty((n, 6), np.int64), np.zeros(n, SCORE))
    timestamp, target, kind_of_link = samples
    answer(
        rows, models, slot, timestamp, target, kind_of_link, BOUNDS, taken.kind, taken.period, taken.made, *found,
        horizon_ms, tuned,
    )  # fmt: skip
    return found
