"""Forecasts that wait for their sample, and which sample is theirs."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.bandwidth.expert import (
    CLIMATOLOGY,
    HOLT,
    LEVEL,
    MEDIAN,
    MOVING_AVERAGE,
    OWN_REGRESSION,
    PERSISTENCE,
    PROFILE,
    PROFILE_PERSISTENCE,
    QUICK,
    SEASONAL,
    SEASONAL_PERSISTENCE,
    SHARED_REGRESSION,
    SLOW,
    SMOOTH,
    STEADY,
)
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
AVERAGE: Final = 3
"""What is kept of each forecast in 16 bits: its difference to the sample it was made from, how far its interval
reaches, and the moving average's difference to that sample, which is kept in single precision."""

TAUGHT: Final = (
    LEVEL, QUICK, SMOOTH, SLOW, STEADY, HOLT, MEDIAN, CLIMATOLOGY, SEASONAL, PROFILE, OWN_REGRESSION, SHARED_REGRESSION,
)  # fmt: skip
"""Experts that a lesson keeps, as differences to the level; that of the level itself, which is 0, is where it keeps
their vote. The others follow from these."""

VOTED: Final = TAUGHT.index(LEVEL)

STEP: Final = 1.0 / 1024.0
"""Unit of a lesson's values, in spreads; they reach to 32 spreads."""

NEVER: Final = -32_768
"""What a lesson keeps of a trained model that was not asked."""

_LESSON_SHARES: Final = (0.25, 0.32, 0.32)
"""Least distances of lessons in turn, in horizons: uneven, so that they meet every phase of a cycle of minutes."""

_REACH: Final = 32_767.0
_LOWER: Final = 0xFFFF_FFFF
_OPEN: Final = 1
_APPLIED: Final = 2
_BY: Final = 4

WAITING: Final = (
    ("made_at", "u4", (PENDING,)),
    ("newest_at", "i8"),
    ("last", "f4", (PENDING, 4)),
    ("said", "u2", (PENDING, 4, 4)),
    ("flags", "u1", (PENDING,)),
    ("made", "i4"),
    ("lessons", "i4"),
    ("lesson", "i2", (LESSONS, len(TAUGHT), 4)),
    ("lesson_trained", "i2", (LESSONS, 4)),
    ("lesson_shadow", "i2", (LESSONS, 4)),
    ("lesson_shadow_by", "u1", (LESSONS,)),
    ("lesson_scale", "u2", (LESSONS, 4)),
    ("lesson_away", "u2", (LESSONS, 4)),
    ("lesson_of", "u1", (LESSONS,)),
)
"""Fields of a link's state kept here. `made_at` is the lower half of the time, `newest_at` all of the newest. `said`
holds the four rows named above. `flags` is 1 while a forecast waits, plus 2 if its transport parameters were applied,
plus four times which trained model had a part in it, 0 for none. A lesson holds what `TAUGHT` names, in steps of its
scale, a trained model's, and that of the shadow `lesson_shadow_by`; `lesson_away` is how far the sample was from the
level, both of which are rounded to 16 bits before. It is of the forecast at `lesson_of` less 1."""


@njit(cache=True)
def remember(link: Any, made: Any, horizon_ms: int) -> None:
    """Keep a forecast until its target time, if the last one kept is not too near; some teach as well."""
    now_ms = made.made_at
    if link.made > 0 and now_ms - link.newest_at < SPACING_MS * (horizon_ms / HORIZON_MS):
        return
    at = link.made % PENDING
    said = link.said[at]
    link.made_at[at] = now_ms & _LOWER
    link.newest_at = now_ms
    link.flags[at] = _OPEN + (_APPLIED if made.applied else 0) + _BY * made.trained_by
    for m in range(4):
        last, value = made.expert[PERSISTENCE, m], made.predicted[m]
        link.last[at, m] = last
        said[PREDICTED, m] = shorten(value - last, NEAREST)
        said[BELOW, m] = shorten(value - made.lower[m], AWAY_FROM_ZERO)
        said[ABOVE, m] = shorten(made.upper[m] - value, AWAY_FROM_ZERO)
        said[AVERAGE, m] = shorten(made.expert[MOVING_AVERAGE, m] - last, NEAREST)
    link.made += 1
    before = link.lesson_of[(link.lessons - 1) % LESSONS] - 1
    for k in range(LESSONS):
        if link.lesson_of[k] == at + 1:
            link.lesson_of[k] = 0
    if before >= 0 and (now_ms - int(link.made_at[before]) & _LOWER) < _LESSON_SHARES[link.lessons % 3] * horizon_ms:
        return
    _remember_lesson(link, made, link.lessons % LESSONS, at)
    link.lessons += 1


@njit(cache=True)
def _remember_lesson(link: Any, made: Any, k: int, at: int) -> None:
    """Keep what the experts and a trained model said of the forecast at `at`."""
    link.lesson_of[k] = at + 1
    link.lesson_shadow_by[k] = made.shadow_by
    for m in range(4):
        last = link.last[at, m]
        link.lesson_scale[k, m] = shorten(made.scale[m], NEAREST)
        link.lesson_away[k, m] = shorten(last - made.expert[LEVEL, m], NEAREST)
        level, unit = last - lengthen(link.lesson_away[k, m]), STEP * lengthen(link.lesson_scale[k, m])
        for j in range(len(TAUGHT)):
            value = made.vote[m] if j == VOTED else made.expert[TAUGHT[j], m]
            link.lesson[k, j, m] = _steps(value - level, unit)
        link.lesson_trained[k, m] = NEVER if math.isnan(made.trained[m]) else _steps(made.trained[m] - level, unit)
        link.lesson_shadow[k, m] = _steps(made.shadow[m] - level, unit) if made.shadow_by else NEVER


@njit(cache=True)
def _steps(away: float, unit: float) -> int:
    return round(min(max(away / unit, -_REACH), _REACH))


@njit(cache=True)
def recall(link: Any, k: int, at: int, m: int, value: NDArray[Any]) -> tuple[float, float, float]:
    """Write what lesson `k`, of the forecast at `at`, said of every expert, in its scale against its level.

    Returns
    -------
    The experts' vote likewise, the level, and the scale.
    """
    lesson, scale, away = link.lesson[k], lengthen(link.lesson_scale[k, m]), lengthen(link.lesson_away[k, m])
    for j in range(len(TAUGHT)):
        value[TAUGHT[j]] = STEP * lesson[j, m]
    vote, value[LEVEL] = value[LEVEL], 0.0
    value[PERSISTENCE] = last = away / scale
    value[MOVING_AVERAGE] = last + lengthen(link.said[at, AVERAGE, m]) / scale
    value[SEASONAL_PERSISTENCE] = last + value[SEASONAL]
    value[PROFILE_PERSISTENCE] = last + value[PROFILE]
    return vote, link.last[at, m] - away, scale


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
    forgotten = timestamp_ms - link.newest_at > _LOWER // 2
    for at in range(PENDING):
        if link.flags[at] & _OPEN:
            away = _LOWER if forgotten else timestamp_ms - made_at(link, at, timestamp_ms) - horizon_ms
            if away > tolerance:
                close(link, at)
            elif abs(away) < nearest and abs(away) <= abs(away + period_ms):  # else wait for the next sample
                nearest = abs(away)
                found = at
    return found


@njit(cache=True)
def made_at(link: Any, at: int, now_ms: int) -> int:
    """When a waiting forecast was made, which is less than 49 days ago."""
    return now_ms - (now_ms - int(link.made_at[at]) & _LOWER)


@njit(cache=True)
def close(link: Any, at: int) -> None:
    """Let a forecast wait no longer."""
    link.flags[at] &= 255 - _OPEN


@njit(cache=True)
def was_applied(link: Any, at: int) -> bool:
    """Whether a forecast's transport parameters were applied."""
    return bool(link.flags[at] & _APPLIED)


@njit(cache=True)
def asked_of(link: Any, at: int) -> int:
    """Which trained model had a part in a forecast, 0 for none."""
    return int(link.flags[at] // _BY)


@njit(cache=True)
def average_of(link: Any, at: int, m: int) -> float:
    """The moving average beside a forecast."""
    return float(link.last[at, m] + lengthen(link.said[at, AVERAGE, m]))


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
