"""The topic table: every topic, what it carries, how it is keyed and kept.

Names are `dwcp.<dataset>.<stage>.v<N>`. Topics that agents join by key carry the
same number of partitions and are partitioned by murmur2 of the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from schemas.capacity import CapacityAlert, CapacityForecast, CapacityPlan
from schemas.compression import CompressionTelemetry, OracleLabel, SelectorPrediction
from schemas.drift import DriftAlert
from schemas.experiment import ExperimentResult, ExperimentState
from schemas.feedback import AnomalyFeedback, ThresholdChange
from schemas.model import ModelAnnouncement, ModelRejection
from schemas.network import Forecast, ForecastScore, NetworkFeatures, NetworkSample
from schemas.optimizer import OptimizerRecommendation, OptimizerRequest, OptimizerRollout
from schemas.performance import DegradationPrediction, PerformanceFeatures
from schemas.raw import RawCompressionTelemetry, RawNetworkSample, RawSystemMetrics
from schemas.rollup import SystemRollup
from schemas.system import Anomaly, AnomalyScore, SystemMetrics

_DAY_MS: Final = 86_400_000

PARTITIONS: Final = 8

FOREVER: Final = -1
"""A retention: nothing is deleted by age."""


@dataclass(frozen=True, slots=True, eq=False)
class Topic:
    """One row of the table; each stands there once, and is looked up by what it is, not by what it holds.

    Parameters
    ----------
    dataset, stage, version
        The parts of the name.
    record
        Type of the value, or None where values are kept as they came.
    key
        What the key holds, in words.
    retention_ms
        How long the broker keeps records; -1 for ever.
    compacted
        Whether the broker keeps the last record of every key, and only that.
    """

    dataset: str
    stage: str
    record: type[Struct] | None
    key: str
    retention_ms: int = 30 * _DAY_MS
    version: int = 1
    partitions: int = PARTITIONS
    compacted: bool = False

    @property
    def name(self) -> str:
        """Name on the broker, e.g. `dwcp.network.forecast.v1`."""
        return f"dwcp.{self.dataset}.{self.stage}.v{self.version}"

    @property
    def kind(self) -> str:
        """Second part of a deterministic record id, e.g. `network.forecast`."""
        return f"{self.dataset}.{self.stage}"


COMPRESSION_RAW: Final = Topic("compression", "raw", RawCompressionTelemetry, "any", 90 * _DAY_MS)
NETWORK_RAW: Final = Topic("network", "raw", RawNetworkSample, "any")
SYSTEM_RAW: Final = Topic("system", "raw", RawSystemMetrics, "any", 90 * _DAY_MS)

COMPRESSION_KEYED: Final = Topic("compression", "keyed", CompressionTelemetry, "node_id:peer_id", 90 * _DAY_MS)
NETWORK_KEYED: Final = Topic("network", "keyed", NetworkSample, "node_id:peer_id")
SYSTEM_KEYED: Final = Topic("system", "keyed", SystemMetrics, "node_id", 90 * _DAY_MS)

NETWORK_FEATURES: Final = Topic("network", "features", NetworkFeatures, "node_id:peer_id")
NETWORK_FORECAST: Final = Topic("network", "forecast", Forecast, "node_id:peer_id")
NETWORK_SCORE: Final = Topic("network", "score", ForecastScore, "node_id:peer_id")
NETWORK_HORIZON: Final = Topic("network", "horizon", Forecast, "node_id:peer_id")
NETWORK_HORIZON_SCORE: Final = Topic("network", "horizon-score", ForecastScore, "node_id:peer_id")
"""Forecasts at other horizons than 15 minutes, where a worker is asked for some, and how they did: who reads
`NETWORK_FORECAST` takes what it finds there for 15 minutes."""

COMPRESSION_LABEL: Final = Topic("compression", "label", OracleLabel, "node_id:peer_id", 90 * _DAY_MS)
COMPRESSION_PREDICTION: Final = Topic("compression", "prediction", SelectorPrediction, "node_id:peer_id")
SYSTEM_SCORE: Final = Topic("system", "score", AnomalyScore, "node_id")
SYSTEM_ROLLUP: Final = Topic("system", "rollup", SystemRollup, "node_id", 400 * _DAY_MS)
"""Kept for over a year: capacity forecasts are made of it."""

SYSTEM_ANOMALY: Final = Topic("system", "anomaly", Anomaly, "node_id or node_id:peer_id", 90 * _DAY_MS)
SYSTEM_THRESHOLD: Final = Topic("system", "threshold", ThresholdChange, "anomaly_type", 90 * _DAY_MS)
"""What operators' feedback changed, and why: the audit of `SYSTEM_FEEDBACK`."""

DRIFT_ALERT: Final = Topic("drift", "alert", DriftAlert, "node_id or node_id:peer_id", 90 * _DAY_MS)

COMPRESSION_STATE: Final = Topic("compression", "state", None, "none", FOREVER)
NETWORK_STATE: Final = Topic("network", "state", None, "none", FOREVER)
SYSTEM_STATE: Final = Topic("system", "state", None, "none", FOREVER)

DEAD_LETTER: Final = Topic("ingest", "dead-letter", None, "as received", 90 * _DAY_MS)
LATE: Final = Topic("ingest", "late", None, "as received", 90 * _DAY_MS)
REPLAYED: Final = Topic("ingest", "replayed", None, "the dead letter", FOREVER, partitions=1)
"""Which dead letters were sent back; `dwcp dead-letters replay` writes and reads it."""

SYSTEM_FEEDBACK: Final = Topic("system", "feedback", AnomalyFeedback, "any", 90 * _DAY_MS, partitions=1)
PERFORMANCE_FEATURES: Final = Topic("performance", "features", PerformanceFeatures, "node_id", 90 * _DAY_MS)
PERFORMANCE_PREDICTION: Final = Topic("performance", "prediction", DegradationPrediction, "node_id", 90 * _DAY_MS)
CAPACITY_FORECAST: Final = Topic("capacity", "forecast", CapacityForecast, "scope", 90 * _DAY_MS)
CAPACITY_PLAN: Final = Topic("capacity", "plan", CapacityPlan, "scope", 90 * _DAY_MS)
CAPACITY_ALERT: Final = Topic("capacity", "alert", CapacityAlert, "scope", 90 * _DAY_MS)
OPTIMIZER_REQUEST: Final = Topic("optimizer", "request", OptimizerRequest, "any", 90 * _DAY_MS, partitions=1)
OPTIMIZER_RECOMMENDATION: Final = Topic("optimizer", "recommendation", OptimizerRecommendation, "scope", 90 * _DAY_MS)
OPTIMIZER_ROLLOUT: Final = Topic("optimizer", "rollout", OptimizerRollout, "scope", 90 * _DAY_MS)
EXPERIMENT_STATE: Final = Topic("experiment", "state", ExperimentState, "experiment_id", 90 * _DAY_MS, partitions=1)
EXPERIMENT_RESULT: Final = Topic("experiment", "result", ExperimentResult, "experiment_id", 90 * _DAY_MS)
MODEL_ANNOUNCEMENT: Final = Topic(
    "model", "announcement", ModelAnnouncement, "model_name:model_version", FOREVER, partitions=1, compacted=True
)
"""Keyed by version: by name alone, compaction would drop the champion once a candidate is announced."""
MODEL_REJECTION: Final = Topic("model", "rejection", ModelRejection, "model_name:model_version", 90 * _DAY_MS)

INPUTS: Final = (COMPRESSION_RAW, NETWORK_RAW, SYSTEM_RAW)
SIDE: Final = (SYSTEM_FEEDBACK, MODEL_ANNOUNCEMENT, EXPERIMENT_STATE, OPTIMIZER_REQUEST)
"""What concerns every partition of a keyed topic: handed to all of them, in one order, as controls."""

KEYED: Final = (COMPRESSION_KEYED, NETWORK_KEYED, SYSTEM_KEYED)
OUTPUTS: Final = (
    NETWORK_FEATURES,
    NETWORK_FORECAST,
    NETWORK_SCORE,
    COMPRESSION_LABEL,
    COMPRESSION_PREDICTION,
    SYSTEM_SCORE,
    SYSTEM_ANOMALY,
    PERFORMANCE_FEATURES,
    PERFORMANCE_PREDICTION,
    DRIFT_ALERT,
)
OCCASIONAL: Final = (
    SYSTEM_THRESHOLD,
    SYSTEM_ROLLUP,
    MODEL_REJECTION,
    OPTIMIZER_RECOMMENDATION,
    OPTIMIZER_ROLLOUT,
    NETWORK_HORIZON,
    NETWORK_HORIZON_SCORE,
)
"""Outputs that an ordinary minute does not have."""

REJECTS: Final = (DEAD_LETTER, LATE)
STATES: Final = (COMPRESSION_STATE, NETWORK_STATE, SYSTEM_STATE)
"""Where workers keep snapshots of their states; they delete what a newer snapshot replaces."""

IN_USE: Final = INPUTS + SIDE + KEYED + OUTPUTS + OCCASIONAL + STATES + REJECTS + (REPLAYED,)
"""What a worker and the commands beside it read or write."""

SIDECAR: Final = (
    CAPACITY_FORECAST,
    CAPACITY_PLAN,
    CAPACITY_ALERT,
    EXPERIMENT_RESULT,
)
"""What the sidecar publishes; a worker does without."""

TOPICS: Final = IN_USE + SIDECAR
