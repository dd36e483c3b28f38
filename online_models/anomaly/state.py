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
from online_models.anomaly.alert import ALERT, count_moments, follow_alert, new_moments, resolve_alerts
from online_models.anomaly.baseline import BASELINE, FLOOR, N_METRICS, WARM_UP, learn_baseline, write_z
from online_models.anomaly.calibration import FALSE_ALARMS_PER_NODE_DAY, N_METHODS, calibrate
from online_models.anomaly.feedback import RATE, Change, Thresholds
from online_models.anomaly.flatline import FLATLINE, START_CHANCE, heed_flatlines, learn_steps
from online_models.anomaly.half_space import HalfSpaceForest, forest_learn, forest_score
from online_models.anomaly.maintenance import Maintenance
from online_models.anomaly.record import alert_records, change_records, score_records
from online_models.anomaly.rule import TYPES, UNKNOWN
from online_models.anomaly.sudden import SUDDEN, heed_jumps, learn_jumps
from online_models.anomaly.trained import TrainedForest
from online_models.anomaly.verdict import (
    BY_BASELINE,
    BY_FOREST,
    BY_TRAINED,
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
from online_models.served import Model
from online_models.served import gauges as served_gauges
from online_models.slot import row_dtype
from schemas.batch import Batch, Control, Output, Result, matrix, pick
from schemas.feedback import AnomalyFeedback, about_link, check_feedback
from schemas.system import METRICS
from schemas.topic import DRIFT_ALERT, SYSTEM_ANOMALY, SYSTEM_FEEDBACK, SYSTEM_SCORE, SYSTEM_THRESHOLD, Topic

MODEL_VERSION: Final = "baseline-forest-2"

Z_LIMIT: Final = 6.0
"""Range of the deviations the forest sees."""

OUTLYING_START: Final = 6.0
"""Where forests' thresholds begin: their scores have a heavier tail than deviations, and find little alone."""

NODE: Final = row_dtype(
    *BASELINE,
    *FLATLINE,
    *SUDDEN,
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
    champion
        Trained isolation forests to ask instead of those that are announced.
    """

    def __init__(
        self,
        lateness_ms: int = LATENESS_MS,
        seed: int = 1,
        idle_ms: int = IDLE_MS,
        false_alarms_per_node_day: float = FALSE_ALARMS_PER_NODE_DAY,
        feedback_rate: float = RATE,
        champion: Model | None = None,
    ) -> None:
        self._lateness_ms = lateness_ms
        self._alarms_per_day = false_alarms_per_node_day
        self._forest = HalfSpaceForest(METRICS, _LIMITS, seed=seed)
        self._trained = TrainedForest(champion)
        self._threshold = np.array([calibration.START, OUTLYING_START, OUTLYING_START])
        self._spread = np.zeros((2, SPREAD))
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
            "forest_failed": self._trained.failed,
        }
        super().__init__(NODE, shared, idle_ms, [self._trained.served])

    def restored(self) -> None:
        """Rebuild the drift detector, and find the last maintenance window."""
        self._drift.rebuild()
        self._maintenance.restored()

    def apply(self, batch: Batch) -> Result:
        """A score for every record that is not late, and what there is to say of alerts."""
        columns = batch.columns
        n = len(batch)
        timestamp = np.ascontiguousarray(columns["timestamp"], np.int64)
        x = matrix(batch.columns, METRICS)
        hushed = self._maintenance.hushed(batch.key, timestamp)
        slot = self._table.index(batch.key)
        kind, clock = np.empty(n, np.int64), np.empty(n, np.int64)
        verdict, moments = np.zeros(n, VERDICT), new_moments(n)
        plain = np.zeros((n, N_METRICS), np.float32)
        nodes = self._table.rows
        _measure(
            nodes,
            self._standing,
            slot,
            timestamp,
            x,
            hushed,
            self._lateness_ms,
            self._seen,
            kind,
            clock,
            verdict,
            plain,
        )
        methods = 2 if self._trained.champion() is None else 3
        n_moments = _judge(
            nodes,
            self._forest.nodes,
            self._forest.progress,
            self._forest.height,
            self._forest.window_size,
            self._threshold,
            self._spread,
            self._thresholds.factor,
            slot,
            timestamp,
            x,
            hushed,
            self._trained.ask(plain),
            methods,
            self._alarms_per_day / methods,
            kind,
            self._found,
            verdict,
            moments,
        )
        row = (kind != LATE).nonzero()[0]
        outputs: dict[Topic, Output] = {}
        if len(row):
            outputs[SYSTEM_SCORE] = score_records(columns, row, pick(verdict, row))
        if n_moments:
            outputs[SYSTEM_ANOMALY] = alert_records(columns, moments[:n_moments], x, verdict)
        judged = verdict["judged"].nonzero()[0]
        if found := alerts(batch, self._drift.update(judged.tolist(), verdict["residual"][judged].tolist())):
            outputs[DRIFT_ALERT] = found
        late = reject_late(kind, timestamp, clock, self._lateness_ms) if len(row) < n else ()
        return Result(outputs, late)

    def control(self, control: Control) -> Result:
        """Take an operator's word in, of which partition 0 says what it changed, or announced forests.

        Raises
        ------
        ValidationError
            When the word is none.
        """
        if control.kind != SYSTEM_FEEDBACK.kind:
            before = self._trained.served.version("champion")
            result = super().control(control)
            if self._trained.served.version("champion") != before:  # other forests, other scores
                self._threshold[BY_TRAINED] = OUTLYING_START
                self._spread[BY_TRAINED - 1] = 0.0
            return result
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
            "anomaly_threshold_isolation_forest": (float(self._threshold[BY_TRAINED]), 1.0),
            "anomaly_forest_failed": (float(self._trained.failed[0]), None),
            **factors,
            **served_gauges(self._trained.served),
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


@njit(cache=True)
def _measure(
    nodes: NDArray[Any],
    standing: NDArray[Any],
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    x: NDArray[Any],
    hushed: NDArray[Any],
    lateness_ms: int,
    seen: NDArray[Any],
    kind: NDArray[Any],
    clock: NDArray[Any],
    verdict: NDArray[Any],
    plain: NDArray[Any],
) -> None:
    """Hold records against their nodes' baselines and learn these, which no verdict changes."""
    for i in range(len(slot)):
        node = nodes[slot[i]]
        found = verdict[i]
        clock[i] = node.clock
        kind[i] = arrival(node.count > 0 or node.clock > 0, node.clock, timestamp[i], lateness_ms)
        seen[kind[i]] += 1
        if kind[i] == LATE:
            continue
        found.method = WARMING_UP
        found.count = node.count
        found.elapsed_ms = float(timestamp[i] - node.clock)
        found.known = node.count >= WARM_UP
        if found.known:
            write_z(node, FLOOR, node.count, x[i], found.z)
            for j in range(N_METRICS):
                plain[i, j] = found.z[j]
                found.mean[j] = node.mean[j]
                found.p95[j] = node.p95[j]
            heed_flatlines(node, found.z)
            heed_jumps(node, FLOOR, x[i], found.z)
        if kind[i] == FRESH:
            learn_steps(node, standing, node.count, x[i])
            if not hushed[i] or node.count < WARM_UP:  # maintenance is not what is usual
                learn_baseline(node, FLOOR, node.count, found.elapsed_ms, x[i])
                learn_jumps(node, FLOOR, node.count, found.elapsed_ms, x[i])
                node.count += 1
            node.clock = timestamp[i]


@njit(cache=True)
def _judge(
    nodes: NDArray[Any],
    forest: NDArray[Any],
    progress: NDArray[Any],
    height: int,
    window_size: int,
    threshold: NDArray[Any],
    spread: NDArray[Any],
    factor: NDArray[Any],
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    x: NDArray[Any],
    hushed: NDArray[Any],
    trained: NDArray[Any],
    methods: int,
    alarms_per_day: float,
    kind: NDArray[Any],
    count: NDArray[Any],
    verdict: NDArray[Any],
    moments: NDArray[Any],
) -> int:
    """Score, type and severity of records, and alerts; thresholds and forest follow. How many moments there are."""
    near, scaled = np.empty(N_METRICS), np.empty(N_METRICS)
    statistic = np.zeros(N_METHODS)
    n_moments = 0
    for i in range(len(slot)):
        node = nodes[slot[i]]
        found = verdict[i]
        if not found.known:
            continue
        for j in range(N_METRICS):
            near[j] = min(max(found.z[j], -Z_LIMIT), Z_LIMIT)
        score = forest_score(forest, progress, height, window_size, near)
        statistic[BY_FOREST] = outlying(spread[0], score)
        if methods == N_METHODS:
            statistic[BY_TRAINED] = outlying(spread[1], trained[i])
        judge(found, x[i], threshold, factor, statistic, scaled)
        found.suppressed = found.anomalous and hushed[i]
        count[0] += found.anomalous
        count[3] += found.suppressed
        if kind[i] != FRESH:
            continue
        n_moments = resolve_alerts(node, timestamp[i], i, moments, n_moments)
        if found.anomalous and not hushed[i]:
            n_moments = follow_alert(node, found.type, found.severity, timestamp[i], i, moments, n_moments)
        if hushed[i]:
            continue
        found.judged = True
        statistic[BY_BASELINE] = worst_of(found.z)
        for k in range(methods):
            calibrate(threshold, k, statistic[k], node, found.elapsed_ms, alarms_per_day)
        if progress[1] > 0:
            learn_spread(spread[0], score)
        if methods == N_METHODS:
            learn_spread(spread[1], trained[i])
        if not found.anomalous:
            forest_learn(forest, progress, height, window_size, near)
    count_moments(moments[:n_moments], count[1:3])
    return n_moments
