"""System metrics in; each node's mean, maximum and 95th percentile per hour and per day out.

A window is told when the node's first record beyond it comes, so by event time alone. As everywhere, only
a record ahead of its node's clock counts: repeats, records behind the clock and late ones change nothing. A window in
which a node fell silent for a week is never told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.arrival import DUPLICATE, FRESH, LATE, LATENESS_MS, REORDERED, arrival, reject_late
from online_models.collector.histogram import BINS, add_count, add_value, quantile_of
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import system_batch
from online_models.slot import row_dtype
from schemas.batch import Batch, Output, Result, matrix
from schemas.rollup import ROLLUP_METRICS, ROLLUP_WINDOWS, WINDOW_MS, MetricRollup
from schemas.topic import SYSTEM_ROLLUP, Topic

QUANTILE: Final = 0.95

_N: Final = len(ROLLUP_METRICS)
_WINDOWS: Final = len(ROLLUP_WINDOWS)
_HOUR: Final = ROLLUP_WINDOWS.index("hour")
_DAY: Final = ROLLUP_WINDOWS.index("day")
_LENGTH_MS: Final = np.array([WINDOW_MS[name] for name in ROLLUP_WINDOWS])

ROLL: Final = row_dtype(
    ("clock", "i8"),
    ("seen", "i8"),
    ("count", "i8", (_WINDOWS,)),
    ("total", "f8", (_WINDOWS, _N)),
    ("greatest", "f8", (_WINDOWS, _N)),
    ("top", "i4", (_WINDOWS, _N)),
    ("bins", "u4", (_WINDOWS, _N, BINS)),
)
"""One node's open hour and day; the clock says which they are. The day has what the hours before this one had."""

CLOSED: Final = np.dtype(
    [("clock", "i8"), ("count", "i8"), ("mean", "f8", (_N,)), ("greatest", "f8", (_N,)), ("p95", "f8", (_N,))]
)
"""A window that was told; `count` is 0 where a row closed none."""


class RollupState(PartitionState):
    """One partition's nodes.

    Parameters
    ----------
    lateness_ms
        How far behind its node's clock a record may be without being rejected.
    idle_ms
        How long a silent node is remembered.
    """

    def __init__(self, lateness_ms: int = LATENESS_MS, idle_ms: int = IDLE_MS) -> None:
        self._lateness_ms = lateness_ms
        self._kinds = np.zeros(4, np.int64)
        self._told = np.zeros(_WINDOWS, np.int64)
        super().__init__(ROLL, {"kinds": self._kinds, "told": self._told}, idle_ms)

    def restored(self) -> None:
        """Nothing is derived from the shared arrays."""

    def apply(self, batch: Batch) -> Result:
        """The windows that end before these records."""
        columns, n = batch.columns, len(batch)
        timestamp = np.ascontiguousarray(columns["timestamp"], np.int64)
        x = matrix(batch.columns, ROLLUP_METRICS)
        slot = self._table.index(batch.key)
        kind, clock = np.empty(n, np.int64), np.empty(n, np.int64)
        closed = np.zeros((n, _WINDOWS), CLOSED)
        rows, told = self._table.rows, self._told
        outputs: dict[Topic, Output] = {}
        if _step(rows, _LENGTH_MS, slot, timestamp, x, self._lateness_ms, self._kinds, told, kind, clock, closed):
            row, window = np.nonzero(closed["count"])
            outputs[SYSTEM_ROLLUP] = _records(columns["node_id"][row], row, window, closed[row, window])
        return Result(outputs, reject_late(kind, timestamp, clock, self._lateness_ms))

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Counts."""
        counts = {"records": self._kinds.sum(), "duplicates": self._kinds[DUPLICATE]}
        counts |= {"reordered": self._kinds[REORDERED], "late": self._kinds[LATE], "nodes": len(self)}
        counts |= {f"{name}s": told for name, told in zip(ROLLUP_WINDOWS, self._told.tolist(), strict=True)}
        return {f"rollup_{name}": (float(count), None) for name, count in counts.items()}

    @classmethod
    def warm(cls) -> None:
        """Compile the kernels by telling a day."""
        state = cls()
        state.step(system_batch(timestamps_ms=range(0, 30 * 3_600_000, 600_000)))
        state.gauges()


def _records(node: NDArray[Any], row: NDArray[np.intp], window: NDArray[np.intp], closed: NDArray[Any]) -> Output:
    start = closed["clock"] // _LENGTH_MS[window] * _LENGTH_MS[window]
    figures = zip(closed["mean"].tolist(), closed["greatest"].tolist(), closed["p95"].tolist(), strict=True)
    names = [ROLLUP_WINDOWS[k] for k in window.tolist()]
    return Output(
        row,
        {
            "timestamp": closed["clock"],
            "node_id": node,
            "window": names,
            "window_start": start,
            "window_end": start + _LENGTH_MS[window],
            "samples": closed["count"],
            "metrics": [
                {
                    name: MetricRollup(*three)
                    for name, three in zip(ROLLUP_METRICS, zip(*found, strict=True), strict=True)
                }
                for found in figures
            ],
        },
        suffix=names,
    )


@njit(cache=True)
def _step(
    nodes: NDArray[Any],
    length_ms: NDArray[Any],
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    x: NDArray[Any],
    lateness_ms: int,
    kinds: NDArray[Any],
    told: NDArray[Any],
    kind: NDArray[Any],
    clock: NDArray[Any],
    closed: NDArray[Any],
) -> bool:
    """Take records in and write down the windows that they close; whether there is one."""
    before = told.sum()
    for i in range(len(slot)):
        node = nodes[slot[i]]
        clock[i] = node.clock
        kind[i] = arrival(node.seen > 0, node.clock, timestamp[i], lateness_ms)
        kinds[kind[i]] += 1
        if kind[i] != FRESH:
            continue
        if node.count[_HOUR] > 0 and timestamp[i] // length_ms[_HOUR] != node.clock // length_ms[_HOUR]:
            _tell(node, _HOUR, closed[i, _HOUR])
            told[_HOUR] += 1
            _add_hour(node)
            _clear(node, _HOUR)
            if timestamp[i] // length_ms[_DAY] != node.clock // length_ms[_DAY]:
                _tell(node, _DAY, closed[i, _DAY])
                told[_DAY] += 1
                _clear(node, _DAY)
        _learn(node, x[i])
        node.clock = timestamp[i]
        node.seen += 1
    return bool(told.sum() > before)


@njit(cache=True)
def _tell(node: Any, w: int, closed: Any) -> None:
    """Write down a window."""
    closed.clock = node.clock
    closed.count = node.count[w]
    for j in range(_N):
        closed.mean[j] = node.total[w, j] / node.count[w]
        closed.greatest[j] = node.greatest[w, j]
        closed.p95[j] = quantile_of(node.bins[w, j], node.top[w, j], node.count[w], QUANTILE, node.greatest[w, j])


@njit(cache=True)
def _clear(node: Any, w: int) -> None:
    node.count[w] = 0
    node.total[w, :] = 0.0
    node.greatest[w, :] = 0.0
    node.top[w, :] = 0
    node.bins[w, :, :] = 0


@njit(cache=True)
def _add_hour(node: Any) -> None:
    """Add the hour to its day."""
    node.count[_DAY] += node.count[_HOUR]
    for j in range(_N):
        node.total[_DAY, j] += node.total[_HOUR, j]
        node.greatest[_DAY, j] = max(node.greatest[_DAY, j], node.greatest[_HOUR, j])
        for k in range(BINS):
            if node.bins[_HOUR, j, k] > 0:
                at = node.top[_HOUR, j] - (BINS - 1 - k)
                add_count(node.bins[_DAY], node.top[_DAY], j, at, node.bins[_HOUR, j, k])


@njit(cache=True)
def _learn(node: Any, x: NDArray[Any]) -> None:
    node.count[_HOUR] += 1
    for j in range(_N):
        node.total[_HOUR, j] += x[j]
        node.greatest[_HOUR, j] = max(node.greatest[_HOUR, j], x[j])
        add_value(node.bins[_HOUR], node.top[_HOUR], j, x[j])
