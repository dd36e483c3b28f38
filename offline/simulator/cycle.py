"""Daily and weekly cycles of demand, in each region's local time."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

REGIONS: Final = {
    "us-east": -5.0,
    "us-west": -8.0,
    "eu-west": 0.0,
    "eu-central": 1.0,
    "ap-south": 5.5,
    "ap-northeast": 9.0,
}
"""Regions and their offset from UTC in hours; no daylight saving."""

_HOUR_MS: Final = 3_600_000


def local_hour(time_ms: int, utc_offset_h: ArrayLike) -> NDArray[np.float64]:
    """Hour of the local day, 0..24."""
    return (time_ms / _HOUR_MS + np.asarray(utc_offset_h, np.float64)) % 24


def daily(hour: ArrayLike, peak_hour: ArrayLike) -> NDArray[np.float64]:
    """Demand over the day, -1..1: highest at the peak hour, a short night.

    >>> float(daily(14.0, 14.0)), float(daily(2.0, 14.0))
    (1.0, -0.6)
    """
    angle = 2 * np.pi * (np.asarray(hour, np.float64) - np.asarray(peak_hour, np.float64)) / 24
    return np.round(0.8 * np.cos(angle) + 0.2 * np.cos(2 * angle), 12)


def is_weekend(time_ms: int, utc_offset_h: ArrayLike) -> NDArray[np.bool_]:
    """Whether the local day is a Saturday or a Sunday (the epoch was a Thursday)."""
    day = np.floor(time_ms / (24 * _HOUR_MS) + np.asarray(utc_offset_h, np.float64) / 24).astype(np.int64)
    return (day + 3) % 7 >= 5
