"""The worker's own detectors over recorded nodes or links, and a plain rule to hold them against."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offline.backtest.fault_score import Said
from offline.backtest.fault_subject import NODES, Subject
from online_models.anomaly.alert import QUIET_MS, STATUSES
from schemas.batch import Batch
from schemas.topic import SYSTEM_ANOMALY

SIGMA: Final = 3.0
_WARM_UP: Final = 60
_SLICE: Final = 1_000


class Watched(NamedTuple):
    """What the worker's states said of alerts that opened or went on, and what that cost."""

    said: list[Said]
    records: int
    seconds: float


def watch_all(batches: Sequence[Batch], alarms_per_day: float, subject: Subject = NODES) -> Watched:
    """Step a worker's state per partition over its records, in slices as polls bring them."""
    type(subject.state(alarms_per_day)).warm()
    said: list[Said] = []
    seconds = 0.0
    for batch in batches:
        state = subject.state(alarms_per_day)
        for first in range(0, len(batch), _SLICE):
            part = batch.take(first, min(first + _SLICE, len(batch)))
            began = time.perf_counter()
            result = state.step(part)
            seconds += time.perf_counter() - began
            if SYSTEM_ANOMALY in result.outputs:
                said += _said(result.outputs[SYSTEM_ANOMALY].columns, subject)
    return Watched(said, sum(map(len, batches)), seconds)


def three_sigma(batches: Sequence[Batch], subject: Subject = NODES) -> list[Said]:
    """What a rule of three deviations from each metric's last hour says; alerts end after five quiet minutes."""
    said = []
    for batch in batches:
        names, entity = np.unique(subject.entities(batch), return_inverse=True)
        time_ms = np.ascontiguousarray(batch.columns["timestamp"], np.int64)
        x = subject.matrix(batch)
        beyond, z, mean = _rule(entity, time_ms, x, subject.harm, subject.floor, subject.hour, len(names))
        last: dict[tuple[int, str], int] = {}
        for row in np.flatnonzero(beyond).tolist():
            kind = subject.type_of(z[row], x[row], mean[row])
            of, at = (int(entity[row]), kind), int(time_ms[row])
            opens = of not in last or at - last[of] >= QUIET_MS
            last[of] = at
            said.append(Said(str(names[of[0]]), at, kind, opens))
    return said


def _said(columns: Any, subject: Subject) -> list[Said]:
    lists = (np.asarray(columns[name]).tolist() for name in ("timestamp", "anomaly_type", "status"))
    rows = zip(subject.named(columns).tolist(), *lists, strict=True)
    return [Said(of, at, kind, status == STATUSES[0]) for of, at, kind, status in rows if status != STATUSES[2]]


@njit(cache=True)
def _rule(
    entity: NDArray[Any],
    time_ms: NDArray[Any],
    x: NDArray[Any],
    harm: NDArray[Any],
    floor: NDArray[Any],
    hour: float,
    n_entities: int,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Whether each record has a metric beyond `SIGMA` towards harm; its deviations, and the means before it."""
    n, n_metrics = x.shape
    mean, variance = np.zeros((n_entities, n_metrics)), np.zeros((n_entities, n_metrics))
    count, clock = np.zeros(n_entities), np.zeros(n_entities, np.int64)
    z, before = np.zeros((n, n_metrics)), np.zeros((n, n_metrics))
    beyond = np.zeros(n, np.bool_)
    for i in range(n):
        k = entity[i]
        if time_ms[i] <= clock[k]:
            continue
        clock[k] = time_ms[i]
        count[k] += 1.0
        before[i] = mean[k]
        worst = 0.0
        weight = max(1.0 / hour, 1.0 / count[k])
        for j in range(n_metrics):
            z[i, j] = (x[i, j] - mean[k, j]) / max(np.sqrt(variance[k, j]), floor[j])
            worst = max(worst, abs(z[i, j]) if harm[j] == 0.0 else z[i, j] * harm[j])
        beyond[i] = count[k] > _WARM_UP and worst > SIGMA
        for j in range(n_metrics):
            step = x[i, j] - mean[k, j]
            mean[k, j] += weight * step
            variance[k, j] = (1.0 - weight) * (variance[k, j] + weight * step * step)
    return beyond, z, before
