"""A link's state, and its two passes over a batch: samples are taken in, then forecasts are concluded.

What forecasts are made of does not depend on feedback, so the first pass prepares all of a
batch's; a trained model is asked about them at once; the second pass scores, votes, and remembers what
was said, row by row. However a batch is cut, each pass sees a link's samples in the same order.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.arrival import FRESH, LATE, arrival
from online_models.bandwidth.amst import ADJUST, SKIP, START, decide, transport
from online_models.bandwidth.confidence import confidence, write_confidences
from online_models.bandwidth.expert import EXPERTS, PERSISTENCE, TRACK, observe
from online_models.bandwidth.feature import WINDOW, write_features
from online_models.bandwidth.forecaster import conclude, prepare
from online_models.bandwidth.lesson import settle
from online_models.bandwidth.vote import VOTE, catch_up
from online_models.bandwidth.waiting import asked_of, average_of, due, made_at, remember, said_of, side_of, was_applied
from online_models.prefetch import ask_ahead
from online_models.slot import lined_dtype
from schemas.network import HORIZON_MS

_SPARSE: Final = (
    "climate", "visits", "profile", "last", "said", "lesson", "lesson_trained", "lesson_shadow", "lesson_scale",
    "lesson_away",
)  # fmt: skip
"""Fields of which a sample touches some bytes."""

_TRACKED: Final = [field for field in TRACK if field[0] not in (*_SPARSE, "window")]
_VOTED: Final = [field for field in VOTE if field[0] not in _SPARSE]

LINK, (TAKEN_LINES, ANSWERED_LINES, _) = lined_dtype(
    [("clock", "i8"), ("count", "i4"), ("window", "f4", (WINDOW, 4)), *_TRACKED],
    [*_VOTED, ("streams", "i2")],
    [field for field in (*TRACK, *VOTE) if field[0] in _SPARSE],
)
"""One link's state: what the first pass touches, what the second does, and the rest; lines of the first two."""

SCORE: Final = np.dtype(
    [
        ("made_at", "i8"),
        ("error", "f8", (4,)),
        ("persistence_error", "f8", (4,)),
        ("moving_average_error", "f8", (4,)),
        ("covered", "u1", (4,)),
        ("relative_error", "f8"),
        ("effectiveness", "f8"),
        ("trained_by", "u1"),
        ("scored", "?"),
    ],
    align=True,
)
"""Verdict on the forecast a row's sample met, if `scored`.

`effectiveness` is actual over predicted throughput, NaN unless the forecast's transport parameters were applied.
"""


@njit(cache=True)
def take_in(
    links: NDArray[Any],
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    target: NDArray[Any],
    counter: NDArray[Any],
    code: NDArray[Any],
    lateness_ms: int,
    kind: NDArray[Any],
    clock: NDArray[Any],
    period: NDArray[Any],
    feature: NDArray[Any],
    recent: NDArray[Any],
    made: NDArray[Any],
    horizon_ms: int,
) -> None:
    """First pass: each row's kind of arrival, link clock, period before it, features, and prepared forecast.

    `recent` is `[n, 10, 4]` where a model asks the last samples, oldest first, else `[0, 10, 4]`; `feature` is
    `[n, 34]`, or `[0, 34]` where nobody asks.
    """
    for i in range(len(slot)):
        ask_ahead(links, slot, i, 0, TAKEN_LINES)
        link = links[slot[i]]
        clock[i] = link.clock
        period[i] = link.period
        kind[i] = arrival(link.count > 0, link.clock, timestamp[i], lateness_ms)
        if kind[i] == LATE:
            continue
        if kind[i] == FRESH:
            if link.count == 0:
                link.streams = START
            take_value(link, timestamp[i], target[i], horizon_ms)
            clock[i] = timestamp[i]
        if i < len(feature):
            write_features(link.window, link.count, timestamp[i], target[i], counter[i], code[i], feature[i])
        if i < len(recent):
            write_recent(link, recent[i])
        prepare(link, link.count, horizon_ms, made[i])


@njit(cache=True)
def write_recent(link: Any, out: NDArray[Any]) -> None:
    """Write a link's last samples, oldest first, `[10, 4]`; NaN where it has not had so many."""
    for k in range(WINDOW):
        back = WINDOW - k
        for m in range(4):
            out[k, m] = link.window[(link.count - back) % WINDOW, m] if back <= link.count else np.nan


@njit(cache=True)
def answer(
    links: NDArray[Any],
    models: NDArray[Any],
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    target: NDArray[Any],
    kind_of_link: NDArray[Any],
    bounds: NDArray[Any],
    kind: NDArray[Any],
    period: NDArray[Any],
    made: NDArray[Any],
    certain: NDArray[Any],
    amst: NDArray[Any],
    score: NDArray[Any],
    horizon_ms: int,
    tuned: NDArray[Any],
) -> None:
    """Second pass: scores, forecasts, confidence and transport parameters `[n, 6]`.

    Those of the contract's horizon are applied, no other's. `tuned` multiplies streams, `[link type]`.
    """
    work = np.empty((5, len(EXPERTS)))
    for i in range(len(slot)):
        ask_ahead(links, slot, i, TAKEN_LINES, ANSWERED_LINES)
        if kind[i] == LATE:
            continue
        link = links[slot[i]]
        model = models[kind_of_link[i]]
        if made[i].asked:
            catch_up(link, made[i].epoch)
        if kind[i] == FRESH:
            meet_value(link, model, period[i], timestamp[i], target[i], horizon_ms, score[i], work)
        conclude(link, model, bounds, made[i], work)
        certain[i] = model.trust * confidence(link)
        write_confidences(link, made[i].certain)
        for m in range(4):
            made[i].certain[m] *= model.trust
        _transport(
            link, made[i], certain[i], kind[i] == FRESH, horizon_ms == HORIZON_MS, tuned[kind_of_link[i]], amst[i]
        )
        if kind[i] == FRESH:
            remember(link, made[i], horizon_ms)


@njit(cache=True)
def take_sample(
    link: Any, model: Any, timestamp_ms: int, actual: NDArray[Any], horizon_ms: int, score: Any, work: NDArray[Any]
) -> None:
    """Score the forecast that a link's next sample meets, if any, learn from it, and take the sample in.

    Parameters
    ----------
    link, model
        The link's `LINK` record and its type's `MODEL`.
    timestamp_ms
        The sample's event time, after the link's clock.
    actual
        The four targets.
    horizon_ms
        How far ahead the link's forecasts look.
    score
        A `SCORE` record to fill.
    work
        Work space `[5, 16]`.
    """
    meet_value(link, model, link.period, timestamp_ms, actual, horizon_ms, score, work)
    take_value(link, timestamp_ms, actual, horizon_ms)


@njit(cache=True)
def take_value(link: Any, timestamp_ms: int, actual: NDArray[Any], horizon_ms: int) -> None:
    """Take a link's next sample in; the half of `take_sample` that no feedback changes."""
    observe(link, link.count, float(timestamp_ms - link.clock), actual, timestamp_ms, horizon_ms)
    link.count += 1
    link.clock = timestamp_ms


@njit(cache=True)
def meet_value(
    link: Any,
    model: Any,
    period_ms: float,
    timestamp_ms: int,
    actual: NDArray[Any],
    horizon_ms: int,
    score: Any,
    work: NDArray[Any],
) -> None:
    """Score the forecast that a sample meets, if any, and learn from it: the other half of `take_sample`.

    `period_ms` is the link's, before the sample was taken in.
    """
    at = due(link, period_ms, timestamp_ms, horizon_ms)
    if at < 0:
        return
    score.scored = True
    score.made_at = made_at(link, at, timestamp_ms)
    score.trained_by = asked_of(link, at)
    predicted = said_of(link, at, 0)
    score.effectiveness = actual[0] / predicted if was_applied(link, at) and predicted > 0.0 else math.nan
    for m in range(4):
        score.error[m] = abs(said_of(link, at, m) - actual[m])
        score.persistence_error[m] = abs(link.last[at, m] - actual[m])
        score.moving_average_error[m] = abs(average_of(link, at, m) - actual[m])
        score.covered[m] = side_of(link, at, m, actual[m]) == 0
    score.relative_error = settle(link, model, at, actual, work)


@njit(cache=True)
def _transport(
    link: Any, made: Any, certain: float, fresh: bool, steers: bool, tuned: float, out: NDArray[Any]
) -> None:
    """Transport parameters for the forecast link, and the action; what is applied becomes current.

    A forecast that does not steer is skipped.
    """
    predicted = made.predicted
    streams, buffer, chunk, pacing, window = transport(predicted[0], predicted[1], predicted[2], predicted[3], tuned)
    now = made.expert[PERSISTENCE]
    action = SKIP
    if steers:
        action = decide(certain, streams, link.streams, predicted[0], predicted[1], now[0], now[1])
    out[0], out[1], out[2], out[3], out[4], out[5] = streams, buffer, chunk, pacing, window, action
    made.applied = fresh and action >= ADJUST
    if made.applied:
        link.streams = streams
