"""The 34 enhanced features of a network sample, per link.

Domain facts, section 4: thirteen levels, rolling means of the four targets over 3, 5
and 10 samples, first differences, six encodings. Rolling means use what is there
until their window fills; a first sample's changes are 0.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.encoding import Category, bucket_codes
from schemas.batch import Columns
from schemas.field import DWCP_MODES, LINK_TYPES, TRANSPORT_TYPES
from schemas.network import TARGETS

WINDOW: Final = 10
"""Samples a link keeps: the longest rolling mean."""

_SPANS: Final = (3, 5, 10)
_SHORT: Final = ("throughput", "rtt", "loss", "jitter")

FEATURE_NAMES: Final = (
    *TARGETS,
    "time_of_day",
    "day_of_week",
    "congestion_window",
    "queue_depth",
    "retransmits",
    "bytes_total",
    "bytes_ratio",
    "network_load",
    "congestion_score",
    *(f"{name}_mean_{span}" for span in _SPANS for name in _SHORT),
    "throughput_change",
    "rtt_change",
    "loss_change",
    "region_code",
    "az_code",
    "link_type_code",
    "dwcp_mode_code",
    "network_tier_code",
    "transport_type_code",
)
"""The vector in contract order."""

FEATURE_SCHEMA: Final = sha256("\n".join((*FEATURE_NAMES, "fnv1a-64", "utc")).encode()).hexdigest()[:16]
"""Names, order and encodings in one hash; a model trained on another one must not be served."""

COUNTERS: Final = ("bytes_tx", "bytes_rx", "congestion_window", "queue_depth", "retransmits")

_LINK: Final = Category(LINK_TYPES)
_MODE: Final = Category(DWCP_MODES)
_TRANSPORT: Final = Category(TRANSPORT_TYPES)


def link_type_codes(columns: Columns) -> NDArray[np.int64]:
    """Position of each row's link type in `LINK_TYPES`, `[n]`."""
    return _LINK.codes(columns["link_type"])


def encode_network(columns: Columns, link_type: NDArray[np.int64]) -> NDArray[np.float64]:
    """Region, zone, link type (of `link_type_codes`), mode, tier and transport as numbers, `[n, 6]`."""
    found = np.empty((len(columns["region"]), 6))
    found.T[:] = (
        bucket_codes(columns["region"]),
        bucket_codes(columns["az"]),
        link_type,
        _MODE.codes(columns["dwcp_mode"]),
        columns["network_tier"],
        _TRANSPORT.codes(columns["transport_type"]),
    )
    return found


@njit(cache=True)
def hour_utc(timestamp_ms: int) -> int:
    """Hour of the day, 0..23."""
    return (timestamp_ms // 3_600_000) % 24


@njit(cache=True)
def weekday_utc(timestamp_ms: int) -> int:
    """Day of the week, Monday = 0; the epoch was a Thursday."""
    return (timestamp_ms // 86_400_000 + 3) % 7


@njit(cache=True)
def rolling_mean(window: NDArray[Any], count: int, span: int, metric: int) -> float:
    """Mean of the newest `span` of `count` samples in a link's ring, fewer while it fills."""
    size = min(span, count)
    total = 0.0
    for back in range(1, size + 1):
        total += window[(count - back) % window.shape[0], metric]
    return total / size


@njit(cache=True)
def write_features(
    window: NDArray[Any],
    count: int,
    timestamp_ms: int,
    target: NDArray[Any],
    counter: NDArray[Any],
    code: NDArray[Any],
    out: NDArray[Any],
) -> None:
    """Features of one sample whose link's ring already holds it.

    Parameters
    ----------
    window
        The link's ring of samples, `[WINDOW, 4]`, in the order of `TARGETS`.
    count
        Samples the link has had.
    target, counter, code
        The row's four targets, its `COUNTERS` and its encodings.
    out
        Where to write, `[34]`.
    """
    tx, rx, congestion_window, queue, retransmits = counter[0], counter[1], counter[2], counter[3], counter[4]
    for m in range(4):
        out[m] = target[m]
    out[4] = hour_utc(timestamp_ms)
    out[5] = weekday_utc(timestamp_ms)
    out[6] = congestion_window
    out[7] = queue
    out[8] = retransmits
    out[9] = tx + rx
    out[10] = tx / (rx + 1.0)
    out[11] = (tx + rx) / (target[0] * 1e6 + 1.0)
    out[12] = 0.4 * target[2] + 0.3 * queue / 100.0 + 0.3 * retransmits / 100.0
    at = 13
    for span in _SPANS:
        for m in range(4):
            out[at] = rolling_mean(window, count, span, m)
            at += 1
    for m in range(3):
        newest = window[(count - 1) % window.shape[0], m]
        out[at] = newest - window[(count - 2) % window.shape[0], m] if count > 1 else 0.0
        at += 1
    for k in range(6):
        out[at + k] = code[k]
