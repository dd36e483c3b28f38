"""Network samples in; alerts of links out: their latency, throughput and loss against their own baselines.

Every link has its own baseline; the threshold is the partition's, calibrated to a budget of false alarms per link
and day. A sample of a link whose either end is in maintenance is not alerted, and not learned from. Operators'
words on links move factors of their own: those on nodes say nothing of links.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.anomaly.alert import alert_fields, count_moments, follow_alert, new_moments, resolve_alerts
from online_models.anomaly.calibration import calibrate
from online_models.anomaly.feedback import RATE, Thresholds
from online_models.anomaly.link_baseline import (
    LINK_BASELINE,
    LINK_HARM,
    LINK_METRICS,
    LINK_WARM_UP,
    N_LINK_METRICS,
    allow_usual,
    learn_link,
    usual_throughput,
    write_link_z,
    write_logs,
)
from online_models.anomaly.link_record import FOUND, LINK_TYPES, link_alert_records
from online_models.anomaly.maintenance import Maintenance
from online_models.anomaly.record import change_records
from online_models.anomaly.rule import TYPES, severity_of
from online_models.arrival import FRESH, LATENESS_MS, arrival
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import network_batch
from online_models.slot import row_dtype
from schemas.batch import Batch, Control, Result, matrix
from schemas.feedback import AnomalyFeedback, about_link, check_feedback
from schemas.topic import SYSTEM_ANOMALY, SYSTEM_FEEDBACK, SYSTEM_THRESHOLD

FALSE_ALARMS_PER_LINK_DAY: Final = 0.2
"""Budget, unless a state is told another: a fleet has many links."""

LINK_START: Final = 4.8
"""Where the threshold begins, in deviations: a link's noise has longer tails than a node's, and a day has few blips."""

LINK: Final = row_dtype(
    *LINK_BASELINE,
    *alert_fields(len(LINK_TYPES)),
    ("length", "u1", (1,)),
    ("peak", "f8", (1,)),
    ("clock", "i8"),
    ("count", "i8"),
)
"""One link's state; `length` and `peak` are `calibration`'s."""

_UNKNOWN: Final = len(LINK_TYPES) - 1
_TYPE_AT: Final = np.array([TYPES.index(name) for name in LINK_TYPES])
TYPE_OF_LINK_METRIC: Final = np.array([1, 0, 2, 0, 2, _UNKNOWN])
"""Type that each metric speaks for, by its place in `LINK_TYPES`."""

_THROUGHPUT: Final = LINK_METRICS.index("throughput_mbps")
_RTT: Final = LINK_METRICS.index("rtt_ms")


class LinkWatch(PartitionState):
    """One partition's links.

    Parameters
    ----------
    lateness_ms
        How far behind its link's clock a sample may be before it is not looked at.
    idle_ms
        How long a silent link is remembered.
    false_alarms_per_link_day
        How often normal operation may open an alert.
    feedback_rate
        How far one word of an operator moves the threshold of a type, 0..1.
    """

    def __init__(
        self,
        lateness_ms: int = LATENESS_MS,
        idle_ms: int = IDLE_MS,
        false_alarms_per_link_day: float = FALSE_ALARMS_PER_LINK_DAY,
        feedback_rate: float = RATE,
    ) -> None:
        self._lateness_ms = lateness_ms
        self._alarms_per_day = false_alarms_per_link_day
        self._threshold = np.full(1, LINK_START)
        self._thresholds = Thresholds(feedback_rate)
        self._maintenance = Maintenance()
        self._found = np.zeros(4, np.int64)
        """Anomalous samples, opened alerts, resolved alerts, suppressed samples."""
        shared = {
            "threshold": self._threshold,
            "factor": self._thresholds.factor,
            "words": self._thresholds.words,
            "next_word": self._thresholds.next,
            "word_count": self._thresholds.count,
            "maintenance": self._maintenance.windows,
            "found": self._found,
        }
        super().__init__(LINK, shared, idle_ms)

    def restored(self) -> None:
        """Find the last maintenance window."""
        self._maintenance.restored()

    def apply(self, batch: Batch) -> Result:
        """What there is to say of alerts; late samples are passed over."""
        columns = batch.columns
        n = len(batch)
        timestamp = np.ascontiguousarray(columns["timestamp"], np.int64)
        x = matrix(batch.columns, LINK_METRICS)
        slot = self._table.index(batch.key)  # before the rows are taken: new keys may move them
        found, moments = np.zeros(n, FOUND), new_moments(n, len(LINK_TYPES))
        n_moments = _step(
            self._table.rows,
            self._threshold,
            self._thresholds.factor[_TYPE_AT],
            slot,
            timestamp,
            x,
            self._maintenance.hushed_links(columns["node_id"], columns["peer_id"], timestamp),
            self._lateness_ms,
            self._alarms_per_day,
            self._found,
            found,
            moments,
        )
        if not n_moments:
            return Result()
        return Result({SYSTEM_ANOMALY: link_alert_records(columns, moments[:n_moments], x, found)})

    def control(self, control: Control) -> Result:
        """Take an operator's word in; partition 0 says what it changed.

        Maintenance is of nodes, whose state says so.

        Raises
        ------
        ValidationError
            When the word is none.
        """
        if control.kind != SYSTEM_FEEDBACK.kind:
            return Result()
        feedback = msgspec.json.decode(control.body, type=AnomalyFeedback)
        check_feedback(feedback)
        if feedback.maintenance_until is not None:
            self._maintenance.heed(feedback)
            return Result()
        if not about_link(feedback):
            return Result()
        change = self._thresholds.judge(feedback)
        if control.partition:
            return Result()
        true, false = self._thresholds.count[change.type].tolist()
        change = change._replace(reason=f"links: {change.reason}")
        return Result({SYSTEM_THRESHOLD: change_records(control, feedback, change, true, false)})

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Counts, the threshold in deviations and operators' factors (means over partitions)."""
        false, judged = self._thresholds.discovery_rate()
        factors = self._thresholds.factor[_TYPE_AT].tolist()
        return {
            "link_watched": (float(len(self)), None),
            "link_anomaly_records": (float(self._found[0]), None),
            "link_anomaly_announced": (float(self._found[1]), None),
            "link_anomaly_resolved": (float(self._found[2]), None),
            "link_anomaly_suppressed": (float(self._found[3]), None),
            "link_anomaly_false_discovery_rate": (false, judged),
            "link_anomaly_threshold": (float(self._threshold[0]), 1.0),
            **{
                f"link_anomaly_threshold_factor_{name}": (factor, 1.0)
                for name, factor in zip(LINK_TYPES, factors, strict=True)
            },
        }

    @classmethod
    def warm(cls) -> None:
        """Compile the kernel by running a few samples of one link."""
        state = cls()
        state.step(network_batch(timestamps_ms=[0, 60_000, 120_000]))
        state.gauges()


@njit(cache=True)
def link_type_of(z: NDArray[Any], x: NDArray[Any], level_mbps: float) -> int:
    """Index into `LINK_TYPES`: the first rule that holds, as for nodes.

    Parameters
    ----------
    z, x
        Deviations and values by metric.
    level_mbps
        Usual throughput.
    """
    if z[1] > 3.0 or z[3] > 3.0:
        return 0
    if -z[_THROUGHPUT] > 3.0 and x[_THROUGHPUT] < 0.7 * level_mbps:
        return 1
    if z[2] > 2.0 or z[4] > 2.0:
        return 2
    return 3


@njit(cache=True)
def _judge(
    link: Any, found: Any, x: NDArray[Any], threshold: float, factor: NDArray[Any], scaled: NDArray[Any]
) -> None:
    """Fill in what is found of a sample, whose `z` is set."""
    worst, harm = 0.0, 0.0
    for j in range(N_LINK_METRICS):
        kind = TYPE_OF_LINK_METRIC[j]
        scaled[j] = found.z[j] / factor[kind]
        worst = max(worst, scaled[j] * LINK_HARM[j])
        harm = max(harm, found.z[j] * LINK_HARM[j])
        found.level[j] = link.level[j]
        found.variance[j] = link.variance[j]
    found.type = link_type_of(scaled, x, usual_throughput(link))
    ratio = worst / threshold
    found.score = ratio / (1.0 + ratio)
    found.anomalous = ratio > 1.0
    found.severity_score = min(harm / 10.0, 1.0)
    found.severity = severity_of(found.severity_score, x[_RTT])


@njit(cache=True)
def _step(
    links: NDArray[Any],
    threshold: NDArray[Any],
    factor: NDArray[Any],
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    x: NDArray[Any],
    hushed: NDArray[Any],
    lateness_ms: int,
    alarms_per_day: float,
    count: NDArray[Any],
    verdict: NDArray[Any],
    moments: NDArray[Any],
) -> int:
    scaled = np.empty(N_LINK_METRICS)
    plain = np.empty(N_LINK_METRICS)
    y = np.empty(N_LINK_METRICS)
    n_moments = 0
    for i in range(len(slot)):
        link = links[slot[i]]
        if arrival(link.count > 0, link.clock, timestamp[i], lateness_ms) != FRESH:
            continue
        found = verdict[i]
        elapsed_ms = float(timestamp[i] - link.clock)
        write_logs(x[i], y)
        if link.count >= LINK_WARM_UP:
            write_link_z(link, y, found.z)
            plain[:] = found.z
            allow_usual(link, timestamp[i], threshold[0], found.z)
            _judge(link, found, x[i], threshold[0], factor, scaled)
            found.suppressed = found.anomalous and hushed[i]
            count[0] += found.anomalous
            count[3] += found.suppressed
            n_moments = resolve_alerts(link, timestamp[i], i, moments, n_moments)
            if found.anomalous and not hushed[i]:
                n_moments = follow_alert(link, found.type, found.severity, timestamp[i], i, moments, n_moments)
            if not hushed[i]:
                worst = 0.0
                for j in range(N_LINK_METRICS):
                    worst = max(worst, found.z[j] * LINK_HARM[j])
                calibrate(threshold, 0, worst, link, elapsed_ms, alarms_per_day)
        else:
            plain[:] = 0.0
        if not hushed[i] or link.count < LINK_WARM_UP:  # maintenance is not what is usual
            learn_link(link, elapsed_ms, timestamp[i], y, plain)
            link.count += 1
        link.clock = timestamp[i]
    count_moments(moments[:n_moments], count[1:3])
    return n_moments
