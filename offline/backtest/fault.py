"""The worker's own detector over recorded metrics, and a plain rule to hold it against."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offline.backtest.fault_score import Said
from offline.node_metric import metric_matrix
from online_models.alert import QUIET_MS, STATUSES
from online_models.anomaly import HARM, TYPES, harm_of, type_of
from online_models.baseline import FLOOR, N_METRICS, WARM_UP
from online_models.system import SystemState
from schemas.batch import Batch
from schemas.topic import SYSTEM_ANOMALY

SIGMA: Final = 3.0
_HOUR_RECORDS: Final = 720.0
_SLICE: Final = 1_000


class Watched(NamedTuple):
    """What the worker's states said of alerts that opened or went on, and what that cost."""

    said: list[Said]
    records: int
    seconds: float


def watch_nodes(batches: Sequence[Batch], false_alarms_per_node_day: float) -> Watched:
    """Step a worker's state per partition over its records, in slices as polls bring them."""
    SystemState.warm()
    said: list[Said] = []
    seconds = 0.0
    for batch in batches:
        state = SystemState(false_alarms_per_node_day=false_alarms_per_node_day)
        for first in range(0, len(batch), _SLICE):
            part = batch.take(first, min(first + _SLICE, len(batch)))
            began = time.perf_counter()
            result = state.step(part)
            seconds += time.perf_counter() - began
            if SYSTEM_ANOMALY in result.outputs:
                said += _said(result.outputs[SYSTEM_ANOMALY].columns)
    return Watched(said, sum(map(len, batches)), seconds)


def three_sigma(batches: Sequence[Batch]) -> list[Said]:
    """What a rule of three deviations from each metric's last hour says; alerts end after five quiet minutes."""
    said = []
    for batch in batches:
        names, node = np.unique(batch.columns["node_id"].astype(str), return_inverse=True)
        time_ms = np.ascontiguousarray(batch.columns["timestamp"], np.int64)
        kind = _rule(node, time_ms, metric_matrix(batch), len(names))
        rows = np.flatnonzero(kind >= 0).tolist()
        last: dict[tuple[int, int], int] = {}
        for row in rows:
            of, at = (int(node[row]), int(kind[row])), int(time_ms[row])
            opens = of not in last or at - last[of] >= QUIET_MS
            last[of] = at
            said.append(Said(str(names[of[0]]), at, TYPES[of[1]], opens))
    return said


def _said(columns: Any) -> list[Said]:
    names = ("node_id", "timestamp", "anomaly_type", "status")
    rows = zip(*(np.asarray(columns[name]).tolist() for name in names), strict=True)
    return [Said(node, at, kind, status == STATUSES[0]) for node, at, kind, status in rows if status != STATUSES[2]]


@njit(cache=True)
def _rule(node: NDArray[Any], time_ms: NDArray[Any], x: NDArray[Any], n_nodes: int) -> NDArray[Any]:
    """Type of each record where a metric is beyond `SIGMA` towards harm, else -1."""
    mean, variance = np.zeros((n_nodes, N_METRICS)), np.zeros((n_nodes, N_METRICS))
    count, clock = np.zeros(n_nodes), np.zeros(n_nodes, np.int64)
    z = np.zeros(N_METRICS)
    kind = np.full(len(node), -1)
    for i in range(len(node)):
        k = node[i]
        if time_ms[i] <= clock[k]:
            continue
        clock[k] = time_ms[i]
        count[k] += 1.0
        worst = 0.0
        weight = max(1.0 / _HOUR_RECORDS, 1.0 / count[k])
        for j in range(N_METRICS):
            step = x[i, j] - mean[k, j]
            z[j] = step / max(np.sqrt(variance[k, j]), FLOOR[j])
            worst = max(worst, harm_of(z, HARM, j))
        if count[k] > WARM_UP and worst > SIGMA:
            kind[i] = type_of(z, x[i], mean[k])
        for j in range(N_METRICS):
            step = x[i, j] - mean[k, j]
            mean[k, j] += weight * step
            variance[k, j] = (1.0 - weight) * (variance[k, j] + weight * step * step)
    return kind
