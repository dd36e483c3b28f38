"""What is normal for one node: mean, deviation and 95th percentile of each metric.

Exponentially weighted over about an hour of event time, plain averages while a node is
new. A value is taken in at most three deviations away from the mean, so that an
incident hardly moves the baseline while a lasting change does, slowly.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from schemas.system import METRICS

N_METRICS: Final = len(METRICS)

WARM_UP: Final = 60
"""Records of a node before it is judged."""

MAX_Z: Final = 1e3

BASELINE: Final = (("mean", "f8", (N_METRICS,)), ("variance", "f8", (N_METRICS,)), ("p95", "f8", (N_METRICS,)))
"""Fields of a node's state kept here."""

_FLOOR: Final = {
    "latency_mean": 0.1,
    "latency_std": 0.1,
    "latency_p95": 0.1,
    "latency_p99": 0.1,
    "throughput_mean": 1.0,
    "throughput_std": 1.0,
    "error_rate": 0.02,
    "error_count": 0.5,
    "cpu_usage": 0.5,
    "memory_usage": 0.5,
    "disk_usage": 0.5,
    "network_io": 0.5,
    "disk_io": 0.5,
    "compression_ratio": 0.02,
    "prediction_accuracy": 0.5,
    "consensus_time": 0.1,
}
FLOOR: Final = np.array([_FLOOR[name] for name in METRICS])
"""Least deviation that counts, in each metric's unit; at least 1 % of the mean besides."""

_MEMORY_MS: Final = 3_600_000.0
_LONGEST_STEP_MS: Final = 60_000.0
_CLIP: Final = 3.0
_DOUBT: Final = 120.0
_CLIP_AFTER: Final = 10
_NORMAL_P95: Final = 1.645
_QUANTILE_STEP: Final = 0.02


@njit(cache=True)
def deviation(node: Any, floor: NDArray[Any], j: int) -> float:
    """Standard deviation of a metric, not below its floor."""
    return float(max(math.sqrt(node.variance[j]), floor[j], 0.01 * abs(node.mean[j])))


@njit(cache=True)
def doubt_of(count: int) -> float:
    """Factor by which a baseline of `count` records is wider than one of many."""
    return math.sqrt(1.0 + _DOUBT / count)


@njit(cache=True)
def write_z(node: Any, floor: NDArray[Any], count: int, x: NDArray[Any], out: NDArray[Any]) -> None:
    """Deviations of a record from its node's baseline, `[metric]`, within `MAX_Z`.

    A baseline of `count` records is itself uncertain, the more so as neighbouring
    records are alike; the unit is widened for that, to nothing within an hour.
    """
    doubt = doubt_of(count)
    for j in range(N_METRICS):
        z = (x[j] - node.mean[j]) / (doubt * deviation(node, floor, j))
        out[j] = min(max(z, -MAX_Z), MAX_Z)


@njit(cache=True)
def learn_baseline(node: Any, floor: NDArray[Any], count: int, elapsed_ms: float, x: NDArray[Any]) -> None:
    """Take a node's next record in.

    Parameters
    ----------
    node
        A record with the fields of `BASELINE`.
    count
        Records before this one.
    elapsed_ms
        Since the previous one; a longer gap than a minute counts as one.
    x
        Metrics.
    """
    weight = 1.0 - math.exp(-min(elapsed_ms, _LONGEST_STEP_MS) / _MEMORY_MS)
    weight = max(weight, 1.0 / (count + 1.0))
    for j in range(N_METRICS):
        unit = deviation(node, floor, j)
        value = x[j]
        if count >= _CLIP_AFTER:
            value = min(max(value, node.mean[j] - _CLIP * unit), node.mean[j] + _CLIP * unit)
        if count >= WARM_UP:
            above = 1.0 if x[j] > node.p95[j] else 0.0
            node.p95[j] += _QUANTILE_STEP * unit * (above - 0.05)
        step = value - node.mean[j]
        node.mean[j] += weight * step
        node.variance[j] = (1.0 - weight) * (node.variance[j] + weight * step * step)
        if count < WARM_UP:
            node.p95[j] = node.mean[j] + _NORMAL_P95 * math.sqrt(node.variance[j])
