"""What an hour of the day and an hour of the week usually add to a metric's level, learned as it streams.

Both profiles are offsets from the slow level, so that a level shift carries the season
along. A cell is a plain average over its first days, then forgets over about a week of days or three
weeks of hours.
"""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit

DAY_MS: Final = 86_400_000.0

SEASON: Final = (
    ("day", "f8", (24,)),
    ("day_seen", "f8", (24,)),
    ("week", "f8", (168,)),
    ("week_seen", "f8", (168,)),
)
"""Fields of a metric's state kept here."""

_HOUR_MS: Final = 3_600_000
_DAYS: Final = 7.0
_WEEKS: Final = 3.0


@njit(cache=True)
def day_offset(metric: Any, time_ms: int, gap_ms: float) -> float:
    """Offset at this time of the day, NaN while unknown.

    Between the middles of two hours it is interpolated, unless samples are as far apart
    as hours.

    Parameters
    ----------
    metric
        A record with the fields of `SEASON`.
    time_ms
        Event time, UTC epoch ms.
    gap_ms
        Usual time between samples.
    """
    hour = (time_ms % int(DAY_MS)) / float(_HOUR_MS)
    cell = int(hour)
    if metric.day_seen[cell] < 1.0:
        return math.nan
    beside = hour - cell - 0.5
    other = (cell + (1 if beside >= 0.0 else -1)) % 24
    if gap_ms >= 0.5 * _HOUR_MS or metric.day_seen[other] < 1.0:
        return float(metric.day[cell])
    share = abs(beside)
    return float((1.0 - share) * metric.day[cell] + share * metric.day[other])


@njit(cache=True)
def week_offset(metric: Any, time_ms: int) -> float:
    """Offset at this hour of the week, NaN while unknown."""
    cell = (time_ms // _HOUR_MS) % 168
    return float(metric.week[cell]) if metric.week_seen[cell] >= 1.0 else math.nan


@njit(cache=True)
def learn_season(metric: Any, time_ms: int, gap_ms: float, offset: float) -> None:
    """Take one offset from the slow level in."""
    samples = max(_HOUR_MS / gap_ms, 1.0)
    cell = (time_ms // _HOUR_MS) % 24
    metric.day_seen[cell] += 1.0
    metric.day[cell] += max(1.0 / metric.day_seen[cell], 1.0 / (_DAYS * samples)) * (offset - metric.day[cell])
    cell = (time_ms // _HOUR_MS) % 168
    metric.week_seen[cell] += 1.0
    metric.week[cell] += max(1.0 / metric.week_seen[cell], 1.0 / (_WEEKS * samples)) * (offset - metric.week[cell])
