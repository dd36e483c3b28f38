"""What is usual for a link at a time: of such days by half hours, and of any day by five minutes.

Climatology is the mean of weekdays, and of weekends, apart. The day's profile is finer because
scheduled work comes to the minute, and smaller because it is kept in spreads against the
link's steadiest level, as 16-bit integers. Both forget older days with a memory of a week.
"""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit

from online_models.network_feature import weekday_utc

BIN_MS: Final = 30 * 60_000
DAY_BINS: Final = 48
"""Climatology: half hours; weekdays fill the first 48 bins, weekends the next 48."""

PROFILE_MS: Final = 5 * 60_000
PROFILE_BINS: Final = 288
"""The day's profile: five minutes each, whatever the day, because scheduled work comes to the minute."""

CLIMATE: Final = (
    ("climate", "f4", (2 * DAY_BINS, 4)),
    ("climate_count", "u1", (2 * DAY_BINS,)),
    ("profile", "i2", (PROFILE_BINS, 4)),
    ("profile_count", "u1", (PROFILE_BINS,)),
)
"""Fields of a link's state kept here; counts stop at 255."""

_UNIT: Final = 1.0 / 256.0
_GREATEST: Final = 32_767.0
_DAYS: Final = 7.0


@njit(cache=True)
def _day_bin(timestamp_ms: int) -> int:
    weekend = DAY_BINS if weekday_utc(timestamp_ms) >= 5 else 0
    return weekend + (timestamp_ms // BIN_MS) % DAY_BINS


@njit(cache=True)
def _profile_bin(timestamp_ms: int) -> int:
    return (timestamp_ms // PROFILE_MS) % PROFILE_BINS


@njit(cache=True)
def count_bins(link: Any, elapsed_ms: float, timestamp_ms: int) -> tuple[float, float]:
    """Count a sample in its two bins, and say how much it weighs in each.

    Parameters
    ----------
    link
        A record with the fields of `CLIMATE`.
    elapsed_ms
        Since the link's previous sample.
    """
    half_hour, five = _day_bin(timestamp_ms), _profile_bin(timestamp_ms)
    link.climate_count[half_hour] = min(link.climate_count[half_hour] + 1, 255)
    link.profile_count[five] = min(link.profile_count[five] + 1, 255)
    rate = 1.0 - math.exp(-min(elapsed_ms / BIN_MS, 1.0) / _DAYS)
    profile_rate = 1.0 - math.exp(-min(elapsed_ms / PROFILE_MS, 1.0) / _DAYS)
    return max(1.0 / link.climate_count[half_hour], rate), max(1.0 / link.profile_count[five], profile_rate)


@njit(cache=True)
def learn_climate(link: Any, timestamp_ms: int, m: int, value: float, rate: float) -> None:
    """Move the mean of such half hours towards a value."""
    at = _day_bin(timestamp_ms)
    link.climate[at, m] += rate * (value - link.climate[at, m])


@njit(cache=True)
def learn_profile(link: Any, timestamp_ms: int, m: int, unusual: float, rate: float) -> None:
    """Move the day's profile towards a difference to the steadiest level, in spreads."""
    at = _profile_bin(timestamp_ms)
    before = link.profile[at, m]
    link.profile[at, m] = round(min(max(before + rate * (unusual / _UNIT - before), -_GREATEST), _GREATEST))


@njit(cache=True)
def climatology(link: Any, target_ms: int, m: int, otherwise: float) -> float:
    """Mean of a target around that time of such days, between bin centres linearly.

    `otherwise` where the link has not lived through either bin.
    """
    earlier = _day_bin(target_ms - BIN_MS // 2)
    later = _day_bin(target_ms + BIN_MS // 2)
    if link.climate_count[earlier] == 0:
        earlier = later
    if link.climate_count[later] == 0:
        later = earlier
    if link.climate_count[later] == 0:
        return otherwise
    share = ((target_ms - BIN_MS // 2) % BIN_MS) / BIN_MS
    return float((1.0 - share) * link.climate[earlier, m] + share * link.climate[later, m])


@njit(cache=True)
def profile_at(link: Any, time_ms: int, m: int) -> float:
    """What the day's profile says of a time, in spreads against the steadiest level; NaN if nothing."""
    earlier = _profile_bin(time_ms - PROFILE_MS // 2)
    later = _profile_bin(time_ms + PROFILE_MS // 2)
    if link.profile_count[earlier] == 0:
        earlier = later
    if link.profile_count[later] == 0:
        later = earlier
    if link.profile_count[later] == 0:
        return math.nan
    share = ((time_ms - PROFILE_MS // 2) % PROFILE_MS) / PROFILE_MS
    return float(_UNIT * ((1.0 - share) * link.profile[earlier, m] + share * link.profile[later, m]))
