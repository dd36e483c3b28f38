"""The seven types of anomaly, their severity, and what to do about each.

Domain facts, section 5: rules on the deviation from the node's own baseline with the
sign that hurts, checked in order; a good ratio or a fast consensus is no anomaly.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from schemas.system import ANOMALY_TYPES, METRICS

TYPES: Final = (*ANOMALY_TYPES, "unknown")
SEVERITIES: Final = ("low", "medium", "high", "critical")

HARM: Final = np.array(
    [
        {"throughput_mean": -1.0, "compression_ratio": -1.0, "prediction_accuracy": -1.0}.get(
            name, 0.0 if name in ("throughput_std", "network_io", "disk_io") else 1.0
        )
        for name in METRICS
    ]
)
"""Sign of the deviation that hurts, by metric; 0 where both do."""

GROUPS: Final = {
    "latency_spike": "latency",
    "throughput_drop": "throughput",
    "error_burst": "errors",
    "resource_exhaustion": "resources",
    "compression_failure": "dwcp",
    "prediction_error": "dwcp",
    "consensus_delay": "dwcp",
    "unknown": "all",
}
"""The group of metrics that each type is about."""

UNKNOWN: Final = len(TYPES) - 1

_TYPE_OF_METRIC: Final = {
    "latency_mean": "latency_spike",
    "latency_std": "latency_spike",
    "latency_p95": "latency_spike",
    "latency_p99": "latency_spike",
    "throughput_mean": "throughput_drop",
    "error_rate": "error_burst",
    "error_count": "error_burst",
    "cpu_usage": "resource_exhaustion",
    "memory_usage": "resource_exhaustion",
    "compression_ratio": "compression_failure",
    "prediction_accuracy": "prediction_error",
    "consensus_time": "consensus_delay",
}
TYPE_OF_METRIC: Final = np.array([TYPES.index(_TYPE_OF_METRIC.get(name, "unknown")) for name in METRICS])
"""Type that each metric speaks for, by its place in `TYPES`."""

ACTIONS: Final = {
    "latency_spike": ("check link queueing and retransmissions", "move latency-critical transfers to another path"),
    "throughput_drop": ("compare with the link's forecast", "reduce AMST streams if loss has risen"),
    "error_burst": ("inspect the node's recent deployments and logs", "drain the node if errors persist"),
    "resource_exhaustion": ("shed or migrate load from the node", "review the capacity forecast"),
    "compression_failure": ("refresh HDE baselines and dictionaries", "select AMST until the ratio recovers"),
    "prediction_error": ("check drift alerts", "fall back to the heuristic and retrain"),
    "consensus_delay": ("check quorum members and their clocks", "raise the ACP timeout within its limits"),
    "unknown": ("inspect the top contributing metrics",),
}
"""Recommended actions by type."""

CRITICAL_LATENCY_MS: Final = 1000.0

_AT: Final = {name: at for at, name in enumerate(METRICS)}
_LATENCIES: Final = (_AT["latency_mean"], _AT["latency_p95"], _AT["latency_p99"])
_THROUGHPUT: Final = _AT["throughput_mean"]
_ERROR: Final = _AT["error_rate"]
_CPU: Final = _AT["cpu_usage"]
_MEMORY: Final = _AT["memory_usage"]
_RATIO: Final = _AT["compression_ratio"]
_ACCURACY: Final = _AT["prediction_accuracy"]
_CONSENSUS: Final = _AT["consensus_time"]


@njit(cache=True)
def harm_of(z: NDArray[Any], sign: NDArray[Any], j: int) -> float:
    """How far a metric deviates towards harm."""
    return float(abs(z[j]) if sign[j] == 0.0 else z[j] * sign[j])


@njit(cache=True)
def type_of(z: NDArray[Any], x: NDArray[Any], mean: NDArray[Any]) -> int:
    """Index into `TYPES`: the first rule that holds.

    Parameters
    ----------
    z, x, mean
        Deviations, values and baseline means by metric.
    """
    for j in _LATENCIES:
        if z[j] > 3.0:
            return 0
    if -z[_THROUGHPUT] > 3.0 and x[_THROUGHPUT] < 0.7 * mean[_THROUGHPUT]:
        return 1
    if z[_ERROR] > 2.0:
        return 2
    if (z[_CPU] > 2.5 and x[_CPU] > 85.0) or (z[_MEMORY] > 2.5 and x[_MEMORY] > 85.0):
        return 3
    if -z[_RATIO] > 2.0:
        return 4
    if -z[_ACCURACY] > 2.0:
        return 5
    if z[_CONSENSUS] > 2.0:
        return 6
    return 7


@njit(cache=True)
def severity_of(severity_score: float, latency_ms: float) -> int:
    """Index into `SEVERITIES`."""
    if severity_score >= 0.9 or latency_ms >= CRITICAL_LATENCY_MS:
        return 3
    if severity_score >= 0.7:
        return 2
    return 1 if severity_score >= 0.5 else 0


def top_contributors(z: NDArray[Any], size: int = 5) -> list[str]:
    """The metrics that deviate most towards harm, most first.

    Parameters
    ----------
    z
        Deviations `[metric]`.
    """
    harm = np.where(HARM == 0.0, np.abs(z), z * HARM)
    return [METRICS[j] for j in np.argsort(-harm, kind="stable")[:size]]
