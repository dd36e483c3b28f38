"""Forecasts that wait for their sample, and which sample is theirs."""

from __future__ import annotations

from typing import Any, Final

from numba import njit

from online_models.expert import EXPERTS, MOVING_AVERAGE, PERSISTENCE
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
VOTE_OF_EXPERTS: Final = 1
LAST: Final = 2
AVERAGE: Final = 3
LOWER: Final = 4
UPPER: Final = 5

_LESSON_SHARES: Final = (0.25, 0.32, 0.32)
"""Least distances of lessons in turn, in horizons: uneven, so that they meet every phase of a cycle of minutes."""

_N: Final = len(EXPERTS)

WAITING: Final = (
    ("made_at", "i8", (PENDING,)),
    ("said", "f4", (PENDING, 6, 4)),
    ("waiting", "u1", (PENDING,)),
    ("made", "i8"),
    ("lesson_at", "i8", (LESSONS,)),
    ("lesson", "f4", (LESSONS, _N, 4)),
    ("lesson_scale", "f4", (LESSONS, 4)),
    ("lessons", "i8"),
)
"""Fields of a link's state kept here: `said` holds the six rows named above, a lesson every expert's value."""


@njit(cache=True)
def remember(link: Any, made: Any, horizon_ms: int) -> None:
    """Keep a forecast until its target time, if the last one kept is not too near; some teach as well."""
    made_at = link.clock
    if link.made > 0 and made_at - link.made_at[(link.made - 1) % PENDING] < SPACING_MS * (horizon_ms / HORIZON_MS):
        return
    at = link.made % PENDING
    said = link.said[at]
    link.made_at[at] = made_at
    link.waiting[at] = True
    for m in range(4):
        said[PREDICTED, m] = made.predicted[m]
        said[VOTE_OF_EXPERTS, m] = made.vote[m]
        said[LAST, m] = made.expert[PERSISTENCE, m]
        said[AVERAGE, m] = made.expert[MOVING_AVERAGE, m]
        said[LOWER, m] = made.lower[m]
        said[UPPER, m] = made.upper[m]
    link.made += 1
    since = made_at - link.lesson_at[(link.lessons - 1) % LESSONS]
    if link.lessons > 0 and since < _LESSON_SHARES[link.lessons % 3] * horizon_ms:
        return
    at = link.lessons % LESSONS
    link.lesson_at[at] = made_at
    for m in range(4):
        link.lesson_scale[at, m] = made.scale[m]
        for k in range(_N):
            link.lesson[at, k, m] = made.expert[k, m]
    link.lessons += 1


@njit(cache=True)
def due(link: Any, timestamp_ms: int, horizon_ms: int) -> int:
    """Place of the waiting forecast whose target time is nearest this sample, or -1.

    A sample scores one forecast at most, so every score is one sample's.
    """
    tolerance = max(TOLERANCE_MS, int(min(0.5 * link.period, 0.5 * horizon_ms)))
    found = -1
    nearest = tolerance + 1
    for at in range(PENDING):
        if link.waiting[at]:
            away = timestamp_ms - (link.made_at[at] + horizon_ms)
            if away > tolerance:
                link.waiting[at] = False
            elif abs(away) < nearest and abs(away) <= abs(away + link.period):  # else wait for the next sample
                nearest = abs(away)
                found = at
    return found
