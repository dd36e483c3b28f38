"""System metrics in; anomaly scores, alerts and drift alerts out; operators' words in between.

Every node has its own baselines; thresholds and the forest are the partition's. What operators say
reaches every partition in the same order, so that the factors it moves are the same in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.anomaly import calibration
from online_models.anomaly.alert import ALERT, OPEN, RESOLVED, follow_alert, new_moments, resolve_alerts
from online_models.anomaly.baseline import BASELINE, FLOOR, N_METRICS, WARM_UP, learn_baseline, write_z
from online_models.anomaly.calibration import FALSE_ALARMS_PER_NODE_DAY, calibrate
from online_models.anomaly.feedback import RATE, Change, Thresholds
from online_models.anomaly.flatline import FLATLINE, START_CHANCE, heed_flatlines, learn_steps
from online_models.anomaly.half_space import HalfSpaceForest, forest_learn, forest_score
from online_models.anomaly.maintenance import Maintenance
from online_models.anomaly.record import alert_records, change_records, score_records
from online_models.anomaly.rule import TYPES, UNKNOWN
from online_models.anomaly.verdict import (
    BY_BASELINE,
    BY_FOREST,
    SPREAD,
    VERDICT,
    WARMING_UP,
    judge,
    learn_spread,
    outlying,
    worst_of,
)
from online_models.arrival import DUPLICATE, FRESH, LATE, LATENESS_MS, REORDERED, arrival, reject_late
from online_models.drift.monitor import DriftMonitor, alerts
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import system_batch
from online_models.slot import row_dtype
from schemas.batch import Batch, Control, Output, Result
from schemas.feedback import AnomalyFeedback, about_link, check_feedback
from schemas.system import METRICS
from schemas.topic import DRIFT_ALERT, SYSTEM_ANOMALY, SYSTEM_FEEDBACK, SYSTEM_SCORE, SYSTEM_THRESHOLD, Topic

MODEL_VERSION: Final = "baseline-forest-2"

Z_LIMIT: Final = 6.0
"""Range of the deviations the forest sees."""

N_METHODS: Final = 2

OUTLYING_START: Final = 6.0
"""Where the forest's threshold begins: its scores have a heavier tail than deviations, and find little alone."""

NODE: Final = row_dtype(
    *BASELINE,
    *FLATLINE,
    *calibration.EXCURSION,
    *ALERT,
    ("clock", "i8"),
    ("count", "i8"),
)
"""One node's state."""

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
    false_alarms_per_node_day
        How often normal operation may open an alert; both methods share it.
    feedback_rate
        How far one word of an operator moves the threshold of a type, 0..1.
    """

    def __init__(
        self,
        lateness_ms: int = LATENESS_MS,
        seed: int = 1,
        idle_ms: int = IDLE_MS,
        false_alarms_per_node_day: float = FALSE_ALARMS_PER_NODE_DAY,
        feedback_rate: float = RATE,
    ) -> None:
        self._lateness_ms = lateness_ms
        self._alarms_per_day = false_alarms_per_node_day / N_METHODS
        self._forest = HalfSpaceForest(METRICS, _LIMITS, seed=seed)
        self._threshold = np.array([calibration.START, OUTLYING_START])
        self._spread = np.zeros(SPREAD)
        self._standing = np.full((N_METRICS, 2), START_CHANCE)
        self._thresholds = Thresholds(feedback_rate)
        self._maintenance = Maintenance()
        self._drift = DriftMonitor("anomaly_baseline", "mean_abs_z_over_5", MODEL_VERSION)
        self._seen = np.zeros(4, np.int64)
        self._found = np.zeros(4, np.int64)
        """Anomalous records, opened alerts, resolved alerts, suppressed records."""
        shared = {
            "forest": self._forest.nodes,
            "forest_progress": self._forest.progress,
            "threshold": self._threshold,
            "spread": self._spread,
            "standing": self._standing,
            "factor": self._thresholds.factor,
            "words": self._thresholds.words,
            "next_word": self._thresholds.next,
            "word_count": self._thresholds.count,
            "maintenance": self._maintenance.windows,
            "drift": self._drift.memory,
            "seen": self._seen,
            "found": self._found,
        }
        super().__init__(NODE, shared, idle_ms)

    def restored(self) -> None:
        """Rebuild the drift detector."""
        self._drift.rebuild()

    def apply(self, batch: Batch) -> Result:
        """A score for every record that is not late, and what there is to say of alerts."""
        columns = batch.columns
        n = len(batch)
        timestamp = np.ascontiguousarray(columns["timestamp"], np.int64)
        x = np.column_stack([columns[name] for name in METRICS])
        hushed = self._maintenance.hushed(batch.key, timestamp)
        slot = self._table.index(batch.key)
        kind = np.empty(n, np.int64)
        clock = np.empty(n, np.int64)
        verdict = np.zeros(n, VERDICT)
        moments = new_moments(n)
        n_moments = _step(
            self._table.rows,
            self._forest.nodes,
            self._forest.progress,
            self._forest.height,
            self._forest.window_size,
            self._threshold,
            self._spread,
            self._standing,
            self._thresholds.factor,
            slot,
            timestamp,
            x,
            hushed,
            self._lateness_ms,
            self._alarms_per_day,
            kind,
            clock,
            verdict,
            moments,
        )
        moments = moments[:n_moments]
        self._count(kind, verdict, moments)
        row = np.flatnonzero(kind != LATE)
        outputs: dict[Topic, Output] = {}
        if len(row):
            outputs[SYSTEM_SCORE] = score_records(columns, row, verdict[row])
        if len(moments):
            outputs[SYSTEM_ANOMALY] = alert_records(columns, moments, x, verdict)
        judged = np.flatnonzero(verdict["judged"])
        if found := alerts(batch, self._drift.update(judged.tolist(), verdict["residual"][judged].tolist())):
            outputs[DRIFT_ALERT] = found
        return Result(outputs, reject_late(kind, timestamp, clock, self._lateness_ms))

    def control(self, control: Control) -> Result:
        """Take an operator's word in; partition 0 says what it changed.

        Raises
        ------
        ValidationError
            When the word is none.
        """
        if control.kind != SYSTEM_FEEDBACK.kind:
            return Result()
        feedback = msgspec.json.decode(control.body, type=AnomalyFeedback)
        check_feedback(feedback)
        if about_link(feedback):
            return Result()
        change = self._thresholds.judge(feedback) if feedback.maintenance_until is None else self._maintain(feedback)
        if control.partition:
            return Result()
        true, false = self._thresholds.count[change.type].tolist()
        return Result({SYSTEM_THRESHOLD: change_records(control, feedback, change, true, false)})

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Counts, thresholds in deviations and operators' factors (means over partitions).

        The false-discovery rate is the share of the anomalies judged by operators that were false; the
        false-positive rate the share of usual records that opened a false alert, at that rate.
        """
        false, judged = self._thresholds.discovery_rate()
        usual = float(self._seen[FRESH] - self._found[0])
        factors = {
            f"anomaly_threshold_factor_{name}": (float(self._thresholds.factor[k]), 1.0) for k, name in enumerate(TYPES)
        }
        return {
            "system_nodes": (float(len(self)), None),
            "system_records": (float(self._seen.sum()), None),
            "system_duplicates": (float(self._seen[DUPLICATE]), None),
            "system_reordered": (float(self._seen[REORDERED]), None),
            "system_late": (float(self._seen[LATE]), None),
            "anomaly_records": (float(self._found[0]), None),
            "anomaly_announced": (float(self._found[1]), None),
            "anomaly_resolved": (float(self._found[2]), None),
            "anomaly_suppressed": (float(self._found[3]), None),
            "anomaly_rate": (float(self._found[0]), float(self._seen.sum())),
            "anomaly_false_discovery_rate": (false, judged),
            "anomaly_false_positive_rate": (false / max(judged, 1.0) * float(self._found[1]), max(usual, 0.0)),
            "anomaly_threshold_baseline": (float(self._threshold[BY_BASELINE]), 1.0),
            "anomaly_threshold_half_space_trees": (float(self._threshold[BY_FOREST]), 1.0),
            **factors,
        }

    @classmethod
    def warm(cls) -> None:
        """Compile every kernel by running a node past its warm-up."""
        state = cls()
        state.step(system_batch(timestamps_ms=range(0, 5000 * (WARM_UP + 2), 5000)))
        state.gauges()

    def _maintain(self, feedback: AnomalyFeedback) -> Change:
        reason = self._maintenance.heed(feedback)
        factor = float(self._thresholds.factor[UNKNOWN])
        return Change(UNKNOWN, factor, factor, reason)

    def _count(self, kind: NDArray[Any], verdict: NDArray[Any], moments: NDArray[Any]) -> None:
        self._seen += np.bincount(kind, minlength=4)
        opened, resolved = ((moments["status"] == status).sum() for status in (OPEN, RESOLVED))
        self._found += [verdict["anomalous"].sum(), opened, resolved, verdict["suppressed"].sum()]


@njit(cache=True)
def _step(
    nodes: NDArray[Any],
    forest: NDArray[Any],
    progress: NDArray[Any],
    height: int,
    window_size: int,
    threshold: NDArray[Any],
    spread: NDArray[Any],
    standing: NDArray[Any],
    factor: NDArray[Any],
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    x: NDArray[Any],
    hushed: NDArray[Any],
    lateness_ms: int,
    alarms_per_day: float,
    kind: NDArray[Any],
    clock: NDArray[Any],
    verdict: NDArray[Any],
    moments: NDArray[Any],
) -> int:
    room = np.empty((2, N_METRICS))
    n_moments = 0
    for i in range(len(slot)):
        node = nodes[slot[i]]
        found = verdict[i]
        clock[i] = node.clock
        kind[i] = arrival(node.count > 0 or node.clock > 0, node.clock, timestamp[i], lateness_ms)
        if kind[i] == LATE:
            continue
        fresh = kind[i] == FRESH
        elapsed_ms = float(timestamp[i] - node.clock)
        found.method = WARMING_UP
        if node.count >= WARM_UP:
            write_z(node, FLOOR, node.count, x[i], found.z)
            heed_flatlines(node, found.z)
            for j in range(N_METRICS):
                room[0, j] = min(max(found.z[j], -Z_LIMIT), Z_LIMIT)
            score = forest_score(forest, progress, height, window_size, room[0])
            by_forest = outlying(spread, score)
            judge(node, found, x[i], threshold, factor, by_forest, room[1])
            found.suppressed = found.anomalous and hushed[i]
            if fresh:
                n_moments = resolve_alerts(node, timestamp[i], i, moments, n_moments)
                if found.anomalous and not hushed[i]:
                    n_moments = follow_alert(node, found.type, found.severity, timestamp[i], i, moments, n_moments)
            if fresh and not hushed[i]:
                found.judged = True
                calibrate(threshold, BY_BASELINE, worst_of(found.z), node, elapsed_ms, alarms_per_day)
                calibrate(threshold, BY_FOREST, by_forest, node, elapsed_ms, alarms_per_day)
                if progress[1] > 0:
                    learn_spread(spread, score)
                if not found.anomalous:
                    forest_learn(forest, progress, height, window_size, room[0])
        if fresh:
            learn_steps(node, standing, node.count, x[i])
            if not hushed[i] or node.count < WARM_UP:  # maintenance is not what is usual
                learn_baseline(node, FLOOR, node.count, elapsed_ms, x[i])
                node.count += 1
            node.clock = timestamp[i]
    return n_moments
