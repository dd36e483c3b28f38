"""Forecasts that wait for their sample, and which sample is theirs."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit

from online_models.bandwidth.expert import EXPERTS, LEVEL, MOVING_AVERAGE, PERSISTENCE
from online_models.bandwidth.short_float import AWAY_FROM_ZERO, NEAREST, lengthen, shorten
from schemas.network import HORIZON_MS

TOLERANCE_MS: Final = 30_000
"""How far from the target time a sample may be and still score the forecast; half the link's own period if more."""

PENDING: Final = 17
"""Forecasts a link keeps waiting; none is overwritten before its time and tolerance are over."""

SPACING_MS: Final = 55_000
"""Least time between two forecasts that wait: samples come every 60 s, give or take a few."""

LESSONS: Final = 4
"""Of those, the ones that teach experts' weights and regressions: neighbours say nearly the same."""

PREDICTED: Final = 0
BELOW: Final = 1
ABOVE: Final = 2
"""What is kept of each forecast in 16 bits: its difference to the sample it was made from, and how far its interval
reaches. The bars beside it, that sample and the moving average, are kept in single precision."""

VOTED: Final = LEVEL
"""Where a lesson keeps the experts' vote: its differences are to the level, whose own is 0."""

STEP: Final = 1.0 / 1024.0
"""Unit of a lesson's values, in spreads; they reach to 32 spreads."""

NEVER: Final = -32_768
"""What a lesson keeps of a trained model that was not asked."""

_LESSON_SHARES: Final = (0.25, 0.32, 0.32)
"""Least distances of lessons in turn, in horizons: uneven, so that they meet every phase of a cycle of minutes."""

_N: Final = len(EXPERTS)
_REACH: Final = 32_767.0

WAITING: Final = (
    ("made_at", "i8", (PENDING,)),
    ("last", "f4", (PENDING, 4)),
    ("average", "f4", (PENDING, 4)),
    ("said", "u2", (PENDING, 3, 4)),
    ("waiting", "u1", (PENDING,)),
    ("applied", "u1", (PENDING,)),
    ("trained_by", "u1", (PENDING,)),
    ("made", "i4"),
    ("lesson_at", "i8", (LESSONS,)),
    ("lesson", "i2", (LESSONS, _N, 4)),
    ("lesson_trained", "i2", (LESSONS, 4)),
    ("lesson_level", "f4", (LESSONS, 4)),
    ("lesson_scale", "f4", (LESSONS, 4)),
    ("lessons", "i4"),
)
"""Fields of a link's state kept here. `said` holds the three rows named above, a lesson every expert's difference to
the level in steps, and a trained model's. `applied` says whether the forecast's transport parameters were, and
`trained_by` which trained model had a part in it, 0 for none."""


@njit(cache=True)
def remember(link: Any, made: Any, horizon_ms: int) -> None:
    """Keep a forecast until its target time, if the last one kept is not too near; some teach as well."""
    made_at = made.made_at
    if link.made > 0 and made_at - link.made_at[(link.made - 1) % PENDING] < SPACING_MS * (horizon_ms / HORIZON_MS):
        return
    at = link.made % PENDING
    said = link.said[at]
    link.made_at[at] = made_at
    link.waiting[at] = True
    link.applied[at] = made.applied
    link.trained_by[at] = made.trained_by
    for m in range(4):
        last, value = made.expert[PERSISTENCE, m], made.predicted[m]
        link.last[at, m] = last
        link.average[at, m] = made.expert[MOVING_AVERAGE, m]
        said[PREDICTED, m] = shorten(value - last, NEAREST)
        said[BELOW, m] = shorten(value - made.lower[m], AWAY_FROM_ZERO)
        said[ABOVE, m] = shorten(made.upper[m] - value, AWAY_FROM_ZERO)
    link.made += 1
    since = made_at - link.lesson_at[(link.lessons - 1) % LESSONS]
    if link.lessons > 0 and since < _LESSON_SHARES[link.lessons % 3] * horizon_ms:
        return
    at = link.lessons % LESSONS
    link.lesson_at[at] = made_at
    for m in range(4):
        level, scale = made.expert[LEVEL, m], made.scale[m]
        link.lesson_level[at, m] = level
        link.lesson_scale[at, m] = scale
        for k in range(_N):
            value = made.vote[m] if k == VOTED else made.expert[k, m]
            link.lesson[at, k, m] = _steps(value, level, scale)
        link.lesson_trained[at, m] = NEVER if math.isnan(made.trained[m]) else _steps(made.trained[m], level, scale)
    link.lessons += 1


@njit(cache=True)
def _steps(value: float, level: float, scale: float) -> int:
    """A value's difference to the level, in steps."""
    return round(min(max((value - level) / scale / STEP, -_REACH), _REACH))


@njit(cache=True)
def forget_trained(link: Any) -> None:
    """Let waiting lessons say nothing of a trained model: another one serves now."""
    for k in range(LESSONS):
        for m in range(4):
            link.lesson_trained[k, m] = NEVER


@njit(cache=True)
def due(link: Any, period_ms: float, timestamp_ms: int, horizon_ms: int) -> int:
    """Place of the waiting forecast whose target time is nearest this sample, or -1.

    A sample scores one forecast at most, so every score is one sample's. `period_ms` is the link's
    usual one, before this sample.
    """
    tolerance = max(TOLERANCE_MS, int(min(0.5 * period_ms, 0.5 * horizon_ms)))
    found = -1
    nearest = tolerance + 1
    for at in range(PENDING):
        if link.waiting[at]:
            away = timestamp_ms - (link.made_at[at] + horizon_ms)
            if away > tolerance:
                link.waiting[at] = False
            elif abs(away) < nearest and abs(away) <= abs(away + period_ms):  # else wait for the next sample
                nearest = abs(away)
                found = at
    return found


@njit(cache=True)
def said_of(link: Any, at: int, m: int) -> float:
    """What a waiting forecast said of a target."""
    return float(link.last[at, m] + lengthen(link.said[at, PREDICTED, m]))


@njit(cache=True)
def side_of(link: Any, at: int, m: int, actual: float) -> int:
    """-1 when a sample lies below the interval it was forecast to lie in, 1 when above, else 0."""
    away = float(np.float32(actual)) - said_of(link, at, m)
    if -away > lengthen(link.said[at, BELOW, m]):
        return -1
    return 1 if away > lengthen(link.said[at, ABOVE, m]) else 0
