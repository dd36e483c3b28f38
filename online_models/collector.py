"""A node's last samples, and the 27 features of each of its metrics made of them.

Samples are kept in single precision, within +-1e30. At the default window of 128 samples (10.7
minutes at the usual 5 s) a node takes 9,376 bytes; the documents' 10,000 samples would take 720 kB, and can be set.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.collector_feature import (
    MEAN,
    N_FEATURES,
    SINCE_SPIKE,
    STD,
    median_spacing,
    minutes_since,
    spike_at,
    write_calendar,
    write_even,
    write_statistics,
)
from schemas.error import ConfigError
from schemas.system import METRICS

WINDOW: Final = 128
WINDOW_MAX: Final = 10_000
WINDOW_MIN: Final = 64
PERIOD_MS: Final = 60_000
"""How often a node's features are published, in event time. Each 5 s they would be half of all that is published."""

N_METRICS: Final = len(METRICS)

_FAR: Final = 1e30


def buffer_fields(window: int = WINDOW, metrics: int = N_METRICS) -> tuple[tuple[Any, ...], ...]:
    """Fields of a node's row: the last `window` samples, oldest first once unrolled.

    Raises
    ------
    ConfigError
        When the window is not within 64..10,000 samples.
    """
    if not WINDOW_MIN <= window <= WINDOW_MAX:
        raise ConfigError("window", window, f"{WINDOW_MIN} to {WINDOW_MAX} samples")
    return (
        ("clock", "i8"),
        ("seen", "i8"),
        ("first", "i8"),
        ("collected", "i8"),
        ("spike", "i8", (metrics,)),
        ("time", "i8", (window,)),
        ("value", "f4", (window, metrics)),
    )


@njit(cache=True)
def push_sample(node: Any, time_ms: int, x: NDArray[Any]) -> None:
    """Add a sample ahead of the node's clock; `x` is `[metric]`."""
    if node.seen == 0:
        node.first = time_ms
        node.collected = time_ms
    at = node.seen % node.time.shape[0]
    node.time[at] = time_ms
    for j in range(x.shape[0]):
        node.value[at, j] = min(max(x[j], -_FAR), _FAR)
    node.clock = time_ms
    node.seen += 1


@njit(cache=True)
def unroll(node: Any, limit: int, time_ms: NDArray[Any], value: NDArray[Any]) -> int:
    """Copy the node's newest samples, at most `limit`, oldest first; returns how many.

    Parameters
    ----------
    time_ms, value
        `[limit]` and `[limit, metric]`.
    """
    size = node.time.shape[0]
    n = min(min(node.seen, size), limit)
    for i in range(n):
        at = (node.seen - n + i) % size
        time_ms[i] = node.time[at]
        for j in range(value.shape[1]):
            value[i, j] = node.value[at, j]
    return int(n)


@njit(cache=True)
def collect(
    node: Any,
    time_ms: NDArray[Any],
    value: NDArray[Any],
    column: NDArray[Any],
    ordered: NDArray[Any],
    features: NDArray[Any],
    even: NDArray[Any],
    about: Any,
) -> None:
    """All features of a node but those of the spectrum, and the even window for these.

    Parameters
    ----------
    node
        Its row; the times of spikes are updated.
    time_ms, value, column, ordered
        Work space `[window]`, `[window, metric]`, `[window]`, `[window]`.
    features
        `[metric, 27]`.
    even
        `[metric, window]`.
    about
        Record of `ABOUT`.
    """
    n = unroll(node, time_ms.shape[0], time_ms, value)
    now = time_ms[n - 1]
    for j in range(features.shape[0]):
        for i in range(n):
            column[i] = value[i, j]
        write_calendar(now, features[j])
        write_statistics(column[:n], ordered[:n], features[j])
        node.spike[j] = max(node.spike[j], spike_at(time_ms[:n], column[:n], features[j, MEAN], features[j, STD]))
        since = node.spike[j] if node.spike[j] > 0 else node.first
        features[j, SINCE_SPIKE] = minutes_since(now, since)
    about.samples = n
    about.spacing_ms = median_spacing(time_ms[:n], ordered)
    about.even = write_even(time_ms[:n], value[:n], about.spacing_ms, even)
    node.collected = now


ABOUT: Final = np.dtype([("row", "i8"), ("samples", "i8"), ("spacing_ms", "i8"), ("even", "i8")])
"""What features are of: the row of the batch, samples in the window, and its even form."""


class Collected:
    """Room for the features of some nodes, filled by `collect`.

    Parameters
    ----------
    capacity
        Of nodes.
    window, metrics
        Of the nodes' buffers.
    """

    def __init__(self, capacity: int, window: int, metrics: int = N_METRICS) -> None:
        self.about = np.zeros(capacity, ABOUT)
        self.features = np.zeros((capacity, metrics, N_FEATURES))
        self.even = np.zeros((capacity, metrics, window))
        self.time = np.zeros(window, np.int64)
        self.value = np.zeros((window, metrics))
        self.column = np.zeros(window)
        self.ordered = np.zeros(window)
