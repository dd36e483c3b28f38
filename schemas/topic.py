"""The topic table: every topic, what it carries, how it is keyed and kept.

Names are `dwcp.<dataset>.<stage>.v<N>`. Topics that agents join by key carry the
same number of partitions and are partitioned by murmur2 of the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from schemas.compression import CompressionTelemetry, OracleLabel, SelectorPrediction
from schemas.drift import DriftAlert
from schemas.network import Forecast, ForecastScore, NetworkFeatures, NetworkSample
from schemas.raw import RawCompressionTelemetry, RawNetworkSample, RawSystemMetrics
from schemas.system import Anomaly, AnomalyScore, SystemMetrics

_DAY_MS: Final = 86_400_000

PARTITIONS: Final = 8

FOREVER: Final = -1
"""A retention: nothing is deleted by age."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the table.

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
    """

    dataset: str
    stage: str
    record: type[Struct] | None
    key: str
    retention_ms: int = 30 * _DAY_MS
    version: int = 1
    partitions: int = PARTITIONS

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
COMPRESSION_LABEL: Final = Topic("compression", "label", OracleLabel, "node_id:peer_id", 90 * _DAY_MS)
COMPRESSION_PREDICTION: Final = Topic("compression", "prediction", SelectorPrediction, "node_id:peer_id")
SYSTEM_SCORE: Final = Topic("system", "score", AnomalyScore, "node_id")
SYSTEM_ANOMALY: Final = Topic("system", "anomaly", Anomaly, "node_id", 90 * _DAY_MS)
DRIFT_ALERT: Final = Topic("drift", "alert", DriftAlert, "node_id or node_id:peer_id", 90 * _DAY_MS)

COMPRESSION_STATE: Final = Topic("compression", "state", None, "none", FOREVER)
NETWORK_STATE: Final = Topic("network", "state", None, "none", FOREVER)
SYSTEM_STATE: Final = Topic("system", "state", None, "none", FOREVER)

DEAD_LETTER: Final = Topic("ingest", "dead-letter", None, "as received", 90 * _DAY_MS)
LATE: Final = Topic("ingest", "late", None, "as received", 90 * _DAY_MS)
REPLAYED: Final = Topic("ingest", "replayed", None, "the dead letter", FOREVER, partitions=1)
"""Which dead letters were sent back; `dwcp dead-letters replay` writes and reads it."""

INPUTS: Final = (COMPRESSION_RAW, NETWORK_RAW, SYSTEM_RAW)
KEYED: Final = (COMPRESSION_KEYED, NETWORK_KEYED, SYSTEM_KEYED)
OUTPUTS: Final = (
    NETWORK_FEATURES,
    NETWORK_FORECAST,
    NETWORK_SCORE,
    COMPRESSION_LABEL,
    COMPRESSION_PREDICTION,
    SYSTEM_SCORE,
    SYSTEM_ANOMALY,
    DRIFT_ALERT,
)
REJECTS: Final = (DEAD_LETTER, LATE)
STATES: Final = (COMPRESSION_STATE, NETWORK_STATE, SYSTEM_STATE)
"""Where workers keep snapshots of their states; they delete what a newer snapshot replaces."""

TOPICS: Final = INPUTS + KEYED + OUTPUTS + STATES + REJECTS + (REPLAYED,)
