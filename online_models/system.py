"""System metrics in; anomaly scores, anomalies and drift alerts out.

Two methods watch every node: the largest harmful deviation from the node's own
baseline, and half-space trees over all deviations, shared by the partition's nodes.
Each is compared with its own calibrated threshold; the published score is
`ratio / (1 + ratio)` of the larger of the two, so 0.5 is where the false-alarm budget is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models import calibration
from online_models.anomaly import (
    HARM,
    TYPES,
    harm_of,
    severity_of,
    type_of,
)
from online_models.arrival import DUPLICATE, FRESH, LATE, LATENESS_MS, REORDERED, arrival, reject_late
from online_models.baseline import BASELINE, FLOOR, N_METRICS, WARM_UP, doubt_of, learn_baseline, write_z
from online_models.calibration import calibrate
from online_models.drift import DriftMonitor, alerts
from online_models.half_space import HalfSpaceForest, forest_learn, forest_score
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import system_batch
from online_models.slot import row_dtype
from online_models.system_record import THRESHOLD, anomaly_records, score_records
from schemas.batch import Batch, Output, Result
from schemas.system import METRICS
from schemas.topic import DRIFT_ALERT, SYSTEM_ANOMALY, SYSTEM_SCORE, Topic

MODEL_VERSION: Final = "baseline-forest-1"

QUIET_MS: Final = 5 * 60 * 1000
"""An anomaly of the same node and type is not announced again for so long unless it got worse."""

Z_LIMIT: Final = 6.0
"""Range of the deviations the forest sees."""

_BASELINE: Final = 0
_FOREST: Final = 1
_WARM_UP: Final = 2
_SETTLED: Final = 200.0
_SPREAD_MEMORY: Final = 2000.0

NODE: Final = row_dtype(
    *BASELINE,
    ("clock", "i8"),
    ("count", "i8"),
    *calibration.EXCURSION,
    ("announced_at", "i8", (len(TYPES),)),
    ("announced", "i8", (len(TYPES),)),
)
"""One node's state; `announced` is 1 + the severity last announced, 0 for never."""

VERDICT: Final = np.dtype(
    [
        ("score", "f8"),
        ("method", "i8"),
        ("type", "i8"),
        ("severity", "i8"),
        ("severity_score", "f8"),
        ("residual", "f8"),
        ("anomalous", "?"),
        ("judged", "?"),
        ("announce", "?"),
        ("z", "f8", (N_METRICS,)),
        ("mean", "f8", (N_METRICS,)),
        ("p95", "f8", (N_METRICS,)),
    ],
    align=True,
)
"""What was found for a row."""

_LIMITS: Final = dict.fromkeys(METRICS, (-Z_LIMIT, Z_LIMIT))


class SystemState(PartitionState):
    """One partition's nodes.

    Parameters
    ----------
    lateness_ms
        How far behind its node's clock a record may be and still be answered.
    seed
        Of the forest.
    idle_ms
        How long a silent node is remembered.
    """

    def __init__(self, lateness_ms: int = LATENESS_MS, seed: int = 1, idle_ms: int = IDLE_MS) -> None:
        self._lateness_ms = lateness_ms
        self._forest = HalfSpaceForest(METRICS, _LIMITS, seed=seed)
        self._threshold = np.full(2, calibration.START)
        self._spread = np.zeros(3)
        self._drift = DriftMonitor("anomaly_baseline", "mean_abs_z_over_5", MODEL_VERSION)
        self._seen = np.zeros(4, np.int64)
        self._found = np.zeros(2, np.int64)
        shared = {
            "forest": self._forest.nodes,
            "forest_progress": self._forest.progress,
            "threshold": self._threshold,
            "spread": self._spread,
            "drift": self._drift.memory,
            "seen": self._seen,
            "found": self._found,
        }
        super().__init__(NODE, shared, idle_ms)

    def restored(self) -> None:
        """Rebuild the drift detector."""
        self._drift.rebuild()

    def apply(self, batch: Batch) -> Result:
        """A score for every record that is not late, and the anomalies to announce."""
        columns = batch.columns
        n = len(batch)
        timestamp = np.ascontiguousarray(columns["timestamp"], np.int64)
        x = np.column_stack([columns[name] for name in METRICS])
        slot = self._table.index(batch.key)
        kind = np.empty(n, np.int64)
        clock = np.empty(n, np.int64)
        verdict = np.zeros(n, VERDICT)
        _step(
            self._table.rows,
            self._forest.nodes,
            self._forest.progress,
            self._forest.height,
            self._forest.window_size,
            self._threshold,
            self._spread,
            slot,
            timestamp,
            x,
            self._lateness_ms,
            kind,
            clock,
            verdict,
        )
        self._seen += np.bincount(kind, minlength=4)
        self._found += [verdict["anomalous"].sum(), verdict["announce"].sum()]
        row = np.flatnonzero(kind != LATE)
        announced = np.flatnonzero(verdict["announce"])
        outputs: dict[Topic, Output] = {}
        if len(row):
            outputs[SYSTEM_SCORE] = score_records(columns, row, verdict[row])
        if len(announced):
            outputs[SYSTEM_ANOMALY] = anomaly_records(columns, announced, x[announced], verdict[announced])
        judged = np.flatnonzero(verdict["judged"])
        if found := alerts(batch, self._drift.update(judged.tolist(), verdict["residual"][judged].tolist())):
            outputs[DRIFT_ALERT] = found
        return Result(outputs, reject_late(kind, timestamp, clock, self._lateness_ms))

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Counts, and the thresholds in deviations (mean over partitions)."""
        return {
            "system_nodes": (float(len(self)), None),
            "system_records": (float(self._seen.sum()), None),
            "system_duplicates": (float(self._seen[DUPLICATE]), None),
            "system_reordered": (float(self._seen[REORDERED]), None),
            "system_late": (float(self._seen[LATE]), None),
            "anomaly_records": (float(self._found[0]), None),
            "anomaly_announced": (float(self._found[1]), None),
            "anomaly_rate": (float(self._found[0]), float(self._seen.sum())),
            "anomaly_threshold_baseline": (float(self._threshold[_BASELINE]), 1.0),
            "anomaly_threshold_half_space_trees": (float(self._threshold[_FOREST]), 1.0),
        }

    @classmethod
    def warm(cls) -> None:
        """Compile every kernel by running a node past its warm-up."""
        state = cls()
        state.step(system_batch(timestamps_ms=range(0, 5000 * (WARM_UP + 2), 5000)))
        state.gauges()


@njit(cache=True)
def _step(
    nodes: NDArray[Any],
    forest: NDArray[Any],
    progress: NDArray[Any],
    height: int,
    window_size: int,
    threshold: NDArray[Any],
    spread: NDArray[Any],
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    x: NDArray[Any],
    lateness_ms: int,
    kind: NDArray[Any],
    clock: NDArray[Any],
    verdict: NDArray[Any],
) -> None:
    clipped = np.empty(N_METRICS)
    for i in range(len(slot)):
        node = nodes[slot[i]]
        found = verdict[i]
        clock[i] = node.clock
        kind[i] = arrival(node.count > 0, node.clock, timestamp[i], lateness_ms)
        if kind[i] == LATE:
            continue
        fresh = kind[i] == FRESH
        elapsed_ms = float(timestamp[i] - node.clock)
        found.method = _WARM_UP
        if node.count >= WARM_UP:
            write_z(node, FLOOR, node.count, x[i], found.z)
            for j in range(N_METRICS):
                clipped[j] = min(max(found.z[j], -Z_LIMIT), Z_LIMIT)
            score = forest_score(forest, progress, height, window_size, clipped)
            outlying = _outlying(spread, score)
            _judge(node, found, x[i], threshold, outlying)
            if fresh:
                found.judged = True
                calibrate(threshold, _BASELINE, _worst(found.z), node, elapsed_ms)
                calibrate(threshold, _FOREST, outlying, node, elapsed_ms)
                if progress[1] > 0:
                    _learn_spread(spread, score)
                if not found.anomalous:
                    forest_learn(forest, progress, height, window_size, clipped)
                _announce(node, found, timestamp[i])
        if fresh:
            learn_baseline(node, FLOOR, node.count, elapsed_ms, x[i])
            node.clock = timestamp[i]
            node.count += 1


@njit(cache=True)
def _worst(z: NDArray[Any]) -> float:
    worst = 0.0
    for j in range(N_METRICS):
        worst = max(worst, harm_of(z, HARM, j))
    return worst


@njit(cache=True)
def _outlying(spread: NDArray[Any], score: float) -> float:
    """The forest's score in deviations from what it usually says; 0 until that is known."""
    if spread[0] < _SETTLED:
        return 0.0
    return float((score - spread[1]) / max(np.sqrt(spread[2]), 1e-6))


@njit(cache=True)
def _learn_spread(spread: NDArray[Any], score: float) -> None:
    """Count, mean and variance of the forest's scores, winsorised at three deviations."""
    if spread[0] >= _SETTLED:
        reach = 3.0 * max(np.sqrt(spread[2]), 1e-6)
        score = min(max(score, spread[1] - reach), spread[1] + reach)
    spread[0] += 1.0
    weight = max(1.0 / spread[0], 1.0 / _SPREAD_MEMORY)
    step = score - spread[1]
    spread[1] += weight * step
    spread[2] = (1.0 - weight) * (spread[2] + weight * step * step)


@njit(cache=True)
def _judge(node: Any, found: Any, x: NDArray[Any], threshold: NDArray[Any], outlying: float) -> None:
    worst = _worst(found.z)
    by_baseline = worst / threshold[_BASELINE]
    by_forest = outlying / threshold[_FOREST]
    ratio = max(by_baseline, by_forest, 0.0)
    doubt = doubt_of(node.count)
    residual = 0.0
    for j in range(N_METRICS):
        residual += min(abs(found.z[j]) * doubt, 5.0)
        found.mean[j] = node.mean[j]
        found.p95[j] = node.p95[j]
    found.method = _BASELINE if by_baseline >= by_forest else _FOREST
    found.score = ratio / (1.0 + ratio)
    found.anomalous = found.score > THRESHOLD
    found.type = type_of(found.z, x, node.mean)
    found.severity_score = min(worst / 10.0, 1.0)
    found.severity = severity_of(found.severity_score, x[0])
    found.residual = residual / (5.0 * N_METRICS)


@njit(cache=True)
def _announce(node: Any, found: Any, timestamp: int) -> None:
    """Whether this anomaly is news: new, quiet for five minutes, or worse than announced."""
    if not found.anomalous:
        return
    kind = found.type
    last = node.announced[kind]
    if last == 0 or timestamp - node.announced_at[kind] >= QUIET_MS or found.severity + 1 > last:
        found.announce = True
        node.announced[kind] = found.severity + 1
        node.announced_at[kind] = timestamp
