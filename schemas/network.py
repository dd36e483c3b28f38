"""Network samples, the features computed from them, and forecasts of the link."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from schemas.field import (
    Bytes,
    Count,
    DurationMs,
    DwcpMode,
    HorizonMs,
    Identifier,
    LinkType,
    Mbps,
    OptionalIdentifier,
    Ratio,
    TargetTimeMs,
    Tier,
    TimestampMs,
    TransportType,
)

TARGETS: Final = ("throughput_mbps", "rtt_ms", "packet_loss", "jitter_ms")
"""What is forecast, in the order of every `[..., target]` array."""

AmstAction = Literal["skip", "hold", "adjust", "apply", "preempt"]

HORIZON_MS: Final = 15 * 60 * 1000
"""How far ahead a forecast looks: 15 minutes."""


class NetworkSample(Struct, frozen=True, gc=False):
    """One link's state, sampled every 60 s; canonical form, keyed by link.

    `time_of_day` and `day_of_week` of the producers' form are not carried: they
    follow from `timestamp` (UTC, Monday = 0), and producers disagree about both.
    """

    timestamp: TimestampMs
    node_id: Identifier
    peer_id: Identifier
    rtt_ms: DurationMs
    jitter_ms: DurationMs
    throughput_mbps: Mbps
    packet_loss: Ratio
    bytes_tx: Bytes = 0
    bytes_rx: Bytes = 0
    retransmits: Count = 0
    congestion_window: Count = 0
    queue_depth: Count = 0
    region: OptionalIdentifier = ""
    az: OptionalIdentifier = ""
    link_type: LinkType = "wan"
    dwcp_mode: DwcpMode = "standard"
    network_tier: Tier = 2
    transport_type: TransportType = "tcp"


class NetworkFeatures(Struct, frozen=True, gc=False):
    """The 34 enhanced features of one sample, in contract order."""

    id: Identifier
    timestamp: TimestampMs
    node_id: Identifier
    peer_id: Identifier
    feature_schema: Identifier
    features: list[float]


class Forecast(Struct, frozen=True, gc=False):
    """The link's four targets at `target_time`, with 90 % intervals and AMST parameters.

    `lower`, `upper` and `target_confidence` are in the order of `TARGETS`. `amst_*` are the transport
    parameters for the forecast link and `amst_action` says whether to apply them.
    Of forecasts at other horizons than 15 minutes it is always `skip`.
    """

    id: Identifier
    timestamp: TimestampMs
    node_id: Identifier
    peer_id: Identifier
    link_type: LinkType
    prediction_time: TimestampMs
    target_time: TargetTimeMs
    valid_until: TargetTimeMs
    predicted_bandwidth_mbps: float
    predicted_latency_ms: float
    predicted_packet_loss: float
    predicted_jitter_ms: float
    lower: list[float]
    upper: list[float]
    confidence: Ratio
    model_version: Identifier
    amst_streams: int
    amst_buffer_bytes: int
    amst_chunk_bytes: int
    amst_pacing_bytes_per_second: int
    amst_window_bytes: int
    amst_action: AmstAction
    amst_reason: str
    target_confidence: list[Ratio] | None = None


class ForecastScore(Struct, frozen=True, gc=False):
    """A past forecast met by the sample at its target time (+- 30 s).

    `error`, `persistence_error` and `moving_average_error` are absolute errors in
    the unit of each target, in the order of `TARGETS`; `covered` says whether the
    sample fell inside the forecast's interval. `amst_effectiveness` is actual over
    predicted throughput where the forecast's transport parameters were applied.
    `horizon_ms` is how far ahead the forecast looked.
    """

    id: Identifier
    timestamp: TimestampMs
    node_id: Identifier
    peer_id: Identifier
    link_type: LinkType
    prediction_time: TimestampMs
    model_version: Identifier
    actual: list[float]
    error: list[float]
    persistence_error: list[float]
    moving_average_error: list[float]
    covered: list[bool]
    amst_effectiveness: float | None = None
    horizon_ms: HorizonMs = HORIZON_MS
