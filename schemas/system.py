"""System metrics, anomaly scores and anomalies."""

from __future__ import annotations

from typing import Final, Literal, get_args

from msgspec import Struct

from schemas.field import Amount, Count, DurationMs, Identifier, OptionalIdentifier, Percent, Ratio, TimestampMs

METRICS: Final = (
    "latency_mean",
    "latency_std",
    "latency_p95",
    "latency_p99",
    "throughput_mean",
    "throughput_std",
    "error_rate",
    "error_count",
    "cpu_usage",
    "memory_usage",
    "disk_usage",
    "network_io",
    "disk_io",
    "compression_ratio",
    "prediction_accuracy",
    "consensus_time",
)
"""The metrics watched for anomalies, in the order of every `[..., metric]` array."""

AnomalyType = Literal[
    "latency_spike",
    "throughput_drop",
    "error_burst",
    "resource_exhaustion",
    "compression_failure",
    "prediction_error",
    "consensus_delay",
    "unknown",
]
ANOMALY_TYPES: Final[tuple[str, ...]] = get_args(AnomalyType)[:-1]
"""Checked in this order; what fits none is `unknown`."""

Severity = Literal["low", "medium", "high", "critical"]
AlertStatus = Literal["open", "update", "resolved"]
MetricGroup = Literal["latency", "throughput", "errors", "resources", "dwcp", "all"]


class SystemMetrics(Struct, frozen=True, gc=False):
    """One node's metrics, every 5 s; keyed by node."""

    timestamp: TimestampMs
    node_id: Identifier
    latency_mean: DurationMs
    latency_std: DurationMs
    latency_p95: DurationMs
    latency_p99: DurationMs
    throughput_mean: Amount
    throughput_std: Amount
    error_rate: Percent
    error_count: Amount
    cpu_usage: Percent
    memory_usage: Percent
    disk_usage: Percent
    network_io: Amount
    disk_io: Amount
    compression_ratio: Amount
    prediction_accuracy: Percent
    consensus_time: DurationMs
    network_bandwidth: Amount = 0.0
    storage_used: Amount = 0.0
    request_rate: Amount = 0.0


class AnomalyScore(Struct, frozen=True, gc=False):
    """How unusual one node's metrics are: a calibrated score and its threshold.

    An anomaly within a maintenance window is `suppressed`: scored, and not alerted.
    """

    id: Identifier
    timestamp: TimestampMs
    node_id: Identifier
    anomaly_score: Ratio
    threshold: Ratio
    is_anomaly: bool
    detection_method: Identifier
    suppressed: bool = False


class BaselineComparison(Struct, frozen=True, gc=False):
    """One metric beside its baseline on that node."""

    current: float
    baseline_mean: float
    baseline_p95: float
    deviation_pct: float
    z_score: float


class Anomaly(Struct, frozen=True, gc=False):
    """One moment of an alert on a node or a link: it opens, gets worse or lasts, and is resolved.

    Anomalous records of one node and type are one alert until none came for five minutes.
    Its records share `alert_id`; severity is the worst so far, all else is of the record that the id's
    origin names. `peer_id` is the link's other end, empty for a node.
    """

    id: Identifier
    timestamp: TimestampMs
    node_id: Identifier
    anomaly_type: AnomalyType
    severity: Severity
    severity_score: Ratio
    anomaly_score: Ratio
    detection_method: Identifier
    top_contributing_features: list[str]
    metrics: dict[str, float]
    baseline_comparison: dict[str, BaselineComparison]
    recommended_actions: list[str]
    status: AlertStatus = "open"
    alert_id: OptionalIdentifier = ""
    opened_at: TimestampMs | None = None
    last_seen_at: TimestampMs | None = None
    occurrences: Count = 1
    metric_group: MetricGroup = "all"
    peer_id: OptionalIdentifier = ""
