"""What is usual for a link at a time: of such days by half hours, and of any day by ten minutes.

Climatology is the mean of weekdays, and of weekends, apart. The day's profile is finer because scheduled work comes
to the minute; it is in spreads against the link's steadiest level. A bin learns once per visit, from the mean of its
samples, and forgets older days with a memory of a week; the visit under way counts as if it were over.

Both are small integers. Climatology is in units of its own, which grow when a bin leaves their range and are refined
again when all of them would fit a finer one. The profile is in squares, finer near 0. Both are rounded up or
down by turns that look random, so that steps smaller than their own are not lost.
"""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

from online_models.bandwidth.feature import weekday_utc
from online_models.bandwidth.short_float import turn_of

BIN_MS: Final = 30 * 60_000
DAY_BINS: Final = 48
CLIMATE_BINS: Final = 2 * DAY_BINS
"""Climatology: weekdays fill the first 48 bins, weekends the next 48."""

PROFILE_MS: Final = 10 * 60_000
PROFILE_BINS: Final = 144
"""The day's profile: ten minutes each, whatever the day."""

PROFILED: Final = 2
"""Targets that have one: throughput and round trip. Loss and jitter make do with the climatology."""

CLIMATE: Final = (
    ("anchor", "f4", (4,)),
    ("unit", "f4", (4,)),
    ("climate", "i1", (CLIMATE_BINS, 4)),
    ("visits", "u1", (DAY_BINS,)),
    ("climate_sum", "f4", (4,)),
    ("climate_samples", "u2"),
    ("profile", "u1", (PROFILE_BINS, PROFILED)),
    ("profile_sum", "f4", (PROFILED,)),
    ("profile_samples", "u2"),
)
"""Fields of a link's state kept here; sums are of the visit under way, that of the climate against the anchor.
Visits are counted to 15, those of weekdays in the lower half of a byte.

A place of the profile that was never visited is 0, and a difference of 0 is 128. How often it was visited, the half
hour's count says: it is to be taught before the climate."""

_RATE: Final = 1.0 - math.exp(-1.0 / 7.0)
_RANGE: Final = 127.0
_SHARE: Final = 1e-7
_TINY: Final = 1e-30
_SPREAD: Final = 16.0
_PROFILE_RANGE: Final = 127.0
PROFILE_REACH: Final = (_PROFILE_RANGE / _SPREAD) ** 2
"""Spreads, either way, that the profile can hold."""
_ZERO: Final = 128
_MOST: Final = 15
_FULL: Final = 65_535


@njit(cache=True)
def _day_bin(timestamp_ms: int) -> int:
    weekend = DAY_BINS if weekday_utc(timestamp_ms) >= 5 else 0
    return weekend + (timestamp_ms // BIN_MS) % DAY_BINS


@njit(cache=True)
def _profile_bin(timestamp_ms: int) -> int:
    return (timestamp_ms // PROFILE_MS) % PROFILE_BINS


@njit(cache=True)
def learn_climate(link: Any, before_ms: int, timestamp_ms: int, x: NDArray[Any]) -> None:
    """Take a sample into the visit under way; when it begins another, the one before is learnt first.

    Parameters
    ----------
    link
        A record with the fields of `CLIMATE`.
    before_ms
        Time of the link's previous sample, if it had any.
    x
        The four targets.
    """
    if link.climate_samples > 0 and before_ms // BIN_MS != timestamp_ms // BIN_MS:
        at = _day_bin(before_ms)
        if at == 0:
            _shrink(link)
        visits = _visits(link, at)
        if visits < _MOST:
            link.visits[at % DAY_BINS] += 1 if at < DAY_BINS else 16
        rate = max(1.0 / (visits + 1.0), _RATE)
        for m in range(4):
            mean = link.climate_sum[m] / link.climate_samples
            usual = link.unit[m] * link.climate[at, m]
            _set(link, at, m, mean if rate == 1.0 else usual + rate * (mean - usual), before_ms // BIN_MS)
            link.climate_sum[m] = 0.0
        link.climate_samples = 0
    if link.climate_samples == _FULL:
        return
    for m in range(4):
        if link.unit[m] == 0.0:
            link.anchor[m] = x[m]
            link.unit[m] = max(_SHARE * abs(x[m]), _TINY)
        link.climate_sum[m] += x[m] - link.anchor[m]
    link.climate_samples += 1


@njit(cache=True)
def _visits(link: Any, at: int) -> int:
    """How often a bin was visited, up to 15."""
    both = link.visits[at % DAY_BINS]
    return int(both & 15 if at < DAY_BINS else both >> 4)


@njit(cache=True)
def _set(link: Any, at: int, m: int, away: float, turn: int) -> None:
    """Set a bin to a difference to the anchor."""
    if abs(away) > _RANGE * link.unit[m]:
        _change_unit(link, m, 1.2 * abs(away) / _RANGE)
    chance = turn_of(turn, 4 * at + m) / 65_536.0
    link.climate[at, m] = math.floor(away / link.unit[m] + chance)


@njit(cache=True)
def _change_unit(link: Any, m: int, unit: float) -> None:
    ratio = link.unit[m] / unit
    link.unit[m] = unit
    for k in range(CLIMATE_BINS):
        link.climate[k, m] = round(ratio * link.climate[k, m])


@njit(cache=True)
def _shrink(link: Any) -> None:
    """Refine the units of a climate that uses less than half of their range: once a day is often enough."""
    for m in range(4):
        greatest = 0
        for k in range(CLIMATE_BINS):
            greatest = max(greatest, abs(link.climate[k, m]))
        if 2.0 * greatest < _RANGE and 0.625 * link.unit[m] > _SHARE * abs(link.anchor[m]) + _TINY:
            _change_unit(link, m, 0.625 * link.unit[m])


@njit(cache=True)
def learn_profile(link: Any, before_ms: int, timestamp_ms: int, unusual: NDArray[Any]) -> None:
    """Take a sample's differences to the steadiest level, in spreads, into the visit under way, as `learn_climate`."""
    if link.profile_samples > 0 and before_ms // PROFILE_MS != timestamp_ms // PROFILE_MS:
        at = _profile_bin(before_ms)
        half_hour = (before_ms // BIN_MS) % DAY_BINS
        days = _visits(link, half_hour) + _visits(link, DAY_BINS + half_hour)
        rate = max(1.0 / (days + 1), _RATE) if link.profile[at, 0] else 1.0
        turn = before_ms // PROFILE_MS
        for m in range(PROFILED):
            usual = 0.0 if rate == 1.0 else _spreads(link.profile[at, m])
            usual += rate * (link.profile_sum[m] / link.profile_samples - usual)
            chance = turn_of(turn, m) / 65_536.0
            step = min(math.floor(_SPREAD * math.sqrt(abs(usual)) + chance), _PROFILE_RANGE)
            link.profile[at, m] = _ZERO + (step if usual >= 0.0 else -step)
            link.profile_sum[m] = 0.0
        link.profile_samples = 0
    if link.profile_samples == _FULL:
        return
    for m in range(PROFILED):
        link.profile_sum[m] += unusual[m]
    link.profile_samples += 1


@njit(cache=True)
def _spreads(step: int) -> float:
    root = (step - _ZERO) / _SPREAD
    return root * abs(root)


@njit(cache=True)
def _around(time_ms: int, bin_ms: int) -> float:
    """Share of the later of the two bins around a time."""
    return ((time_ms - bin_ms // 2) % bin_ms) / bin_ms


@njit(cache=True)
def climate_places(link: Any, time_ms: int, now_ms: int) -> tuple[int, int, float, int]:
    """The two bins around a time, the share of the later, and the bin of now, whose visit is under way.

    The first is -1 where neither was lived through.
    """
    earlier, later = _day_bin(time_ms - BIN_MS // 2), _day_bin(time_ms + BIN_MS // 2)
    now = _day_bin(now_ms)
    if _visits(link, earlier) == 0 and earlier != now:
        earlier = later
    if _visits(link, later) == 0 and later != now:
        later = earlier
    known = _visits(link, later) > 0 or later == now
    return earlier if known else -1, later, _around(time_ms, BIN_MS), now


@njit(cache=True)
def _mean_at(link: Any, at: int, now: int, m: int) -> float:
    usual = link.unit[m] * link.climate[at, m]
    if at == now:
        rate = max(1.0 / (_visits(link, at) + 1.0), _RATE)
        mean = link.climate_sum[m] / link.climate_samples
        usual = mean if rate == 1.0 else usual + rate * (mean - usual)
    return float(link.anchor[m] + usual)


@njit(cache=True)
def climatology(link: Any, places: tuple[int, int, float, int], m: int) -> float:
    """Mean of a target around the time of those places; NaN where nothing is known."""
    earlier, later, share, now = places
    if earlier < 0:
        return math.nan
    return float((1.0 - share) * _mean_at(link, earlier, now, m) + share * _mean_at(link, later, now, m))


@njit(cache=True)
def profile_places(link: Any, time_ms: int, now_ms: int) -> tuple[int, int, float, int]:
    """As `climate_places`, of the day's profile."""
    earlier, later = _profile_bin(time_ms - PROFILE_MS // 2), _profile_bin(time_ms + PROFILE_MS // 2)
    now = _profile_bin(now_ms)
    if link.profile[earlier, 0] == 0 and earlier != now:
        earlier = later
    if link.profile[later, 0] == 0 and later != now:
        later = earlier
    known = link.profile[later, 0] > 0 or later == now
    return earlier if known else -1, later, _around(time_ms, PROFILE_MS), now


@njit(cache=True)
def _spreads_at(link: Any, at: int, now: int, m: int) -> float:
    usual = _spreads(link.profile[at, m])
    if at != now:
        return float(usual)
    mean = link.profile_sum[m] / link.profile_samples
    return float(usual + _RATE * (mean - usual) if link.profile[at, 0] else mean)


@njit(cache=True)
def profile_at(link: Any, places: tuple[int, int, float, int], m: int) -> float:
    """What the day's profile says of a time, in spreads against the steadiest level; NaN if nothing."""
    earlier, later, share, now = places
    if earlier < 0:
        return math.nan
    return float((1.0 - share) * _spreads_at(link, earlier, now, m) + share * _spreads_at(link, later, now, m))
