"""A node's last samples, and the 27 features of each of its metrics made of them.

Samples are kept in single precision, within +-1e30. At the default window of 128 samples (10.7
minutes at the usual 5 s) a node takes 9,376 bytes; the documents' 10,000 samples would take 720 kB, and can be set.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.collector.feature import (
    MAX,
    MEAN,
    N_FEATURES,
    SINCE_SPIKE,
    SPIKE_DEVIATIONS,
    STD,
    median_spacing,
    minutes_since,
    newest_above,
    write_calendar,
    write_even,
    write_quantiles,
    write_spectra,
    write_statistics,
)
from schemas.error import ConfigError
from schemas.system import METRICS

WINDOW: Final = 128
WINDOW_MAX: Final = 10_000
WINDOW_MIN: Final = 64
PERIOD_MS: Final = 300_000
"""How often a node's features are published, in event time: twice in the default window, 432 numbers each time."""

N_METRICS: Final = len(METRICS)

_FAR: Final = 1e30
_SAMPLES: Final = 2048
"""Samples of a metric that there is room for: 16 nodes at the default window, which stay in a core's cache."""


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
        ("value", "f4", (metrics, window)),
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
        node.value[j, at] = min(max(x[j], -_FAR), _FAR)
    node.clock = time_ms
    node.seen += 1


@njit(cache=True)
def unroll(node: Any, limit: int, time_ms: NDArray[Any], value: NDArray[Any]) -> int:
    """Copy the node's newest samples, at most `limit`, oldest first; returns how many.

    Parameters
    ----------
    time_ms, value
        `[limit]` and `[metric, limit]`.
    """
    times, values = node.time, node.value
    size = times.shape[0]
    n = min(min(node.seen, size), limit)
    first = (node.seen - n) % size
    before = min(n, size - first)
    for i in range(before):
        time_ms[i] = times[first + i]
    for i in range(before, n):
        time_ms[i] = times[i - before]
    for j in range(value.shape[0]):
        for i in range(before):
            value[j, i] = values[j, first + i]
        for i in range(n - before):
            value[j, before + i] = values[j, i]
    return int(n)


@njit(cache=True)
def collect(
    node: Any,
    time_ms: NDArray[Any],
    value: NDArray[Any],
    work: NDArray[Any],
    features: NDArray[Any],
    even: NDArray[Any],
    ordered: NDArray[Any],
    about: Any,
) -> None:
    """All features of a node but those of order and spectrum, and the windows for these.

    Parameters
    ----------
    node
        Its row; the times of spikes are updated.
    time_ms, value, work
        Work space `[window]`, `[metric, window]`, `[window]`.
    features
        `[metric, 27]`.
    even
        `[metric, window]`: samples at even times.
    ordered
        `[metric, window]`: samples as they are, infinity behind them.
    about
        Record of `ABOUT`.
    """
    n = unroll(node, time_ms.shape[0], time_ms, value)
    now = time_ms[n - 1]
    for j in range(features.shape[0]):
        write_statistics(value[j], n, features[j])
        write_calendar(now, features[j])
        limit = features[j, MEAN] + SPIKE_DEVIATIONS * features[j, STD]
        if features[j, MAX] > limit:
            node.spike[j] = max(node.spike[j], newest_above(time_ms, value[j], n, limit))
        since = node.spike[j] if node.spike[j] > 0 else node.first
        features[j, SINCE_SPIKE] = minutes_since(now, since)
        for i in range(n):
            ordered[j, i] = value[j, i]
        ordered[j, n:] = np.inf
    about.samples = n
    about.spacing_ms = median_spacing(time_ms[:n], work)
    about.even = write_even(time_ms[:n], value, about.spacing_ms, even)
    node.collected = now


ABOUT: Final = np.dtype([("row", "i8"), ("samples", "i8"), ("spacing_ms", "i8"), ("even", "i8")])
"""What features are of: the row of the batch, samples in the window, and its even form."""


class Collected:
    """Room for the features of some nodes: `collect` begins them one by one, `finish` ends them together.

    Parameters
    ----------
    window, metrics
        Of the nodes' buffers.
    """

    def __init__(self, window: int, metrics: int = N_METRICS) -> None:
        capacity = max(_SAMPLES // window, 1)
        self.about = np.zeros(capacity, ABOUT)
        self.features = np.zeros((capacity, metrics, N_FEATURES))
        self.even = np.zeros((capacity, metrics, window))
        self.ordered = np.zeros((capacity, metrics, window), np.float32)
        self.time, self.work = np.zeros(window, np.int64), np.zeros(window, np.int64)
        self.value = np.zeros((metrics, window))

    def finish(self, made: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """What the first `made` are of, one at least, `[made]` of `ABOUT`; their features, `[made, metric, 27]`."""
        about, features, ordered = self.about[:made].copy(), self.features[:made].copy(), self.ordered[:made]
        ordered.sort(axis=2)
        _write_order(ordered, about["samples"], features)
        write_spectra(self.even[:made], about["even"], about["spacing_ms"], features)
        return about, features


@njit(cache=True)
def _write_order(ordered: NDArray[Any], samples: NDArray[Any], features: NDArray[Any]) -> None:
    for k in range(features.shape[0]):
        for j in range(features.shape[1]):
            write_quantiles(ordered[k, j], samples[k], features[k, j])
