"""What producers really send: JSON with more than one way to say a thing.

Types here are as wide as the producers are; `schemas.ingest` settles each
ambiguity once and everything behind it sees canonical records only. Fields after
`units` are other names of the quantities before it; `schemas.quantity` says what they mean.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

RawTime = datetime | int | float
"""RFC 3339 with nanoseconds, or epoch seconds, milliseconds, microseconds or nanoseconds."""

RawId = str | int

RawUnits = dict[str, str]
"""Units of fields whose names do not say theirs, e.g. `{"packet_loss": "percent"}`."""

Int64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class RawNetworkSample(Struct, frozen=True, gc=False):
    """A network sample in the collector's short form or the full 22-column form."""

    timestamp: RawTime
    node_id: RawId
    peer_id: RawId
    packet_loss: float | None = None
    jitter_ms: float | None = None
    throughput_mbps: float | None = None
    bandwidth_mbps: float | None = None
    rtt_ms: float | None = None
    latency_ms: float | None = None
    bytes_tx: Int64 = 0
    bytes_rx: Int64 = 0
    retransmits: Int64 = 0
    congestion_window: Int64 = 0
    queue_depth: Int64 = 0
    region: str = ""
    az: str = ""
    link_type: RawId = "wan"
    dwcp_mode: RawId = "standard"
    network_tier: RawId = 2
    transport_type: RawId = "tcp"
    units: RawUnits | None = None
    rtt_ns: float | None = None
    rtt: float | None = None
    latency_ns: float | None = None
    latency: float | None = None
    jitter_ns: float | None = None
    jitter: float | None = None
    jitter_variance_ms2: float | None = None
    packet_loss_percent: float | None = None
    packet_loss_pct: float | None = None
    throughput_bps: float | None = None
    throughput: float | None = None
    bandwidth: float | None = None


class RawCompressionTelemetry(Struct, frozen=True, gc=False):
    """One transfer decision as the Go daemons send it."""

    event_id: RawId
    timestamp: RawTime
    node_id: RawId
    peer_id: RawId
    link_type: RawId
    payload_size: Int64
    bandwidth_available_mbps: float | None = None
    rtt_ms: float | None = None
    vm_id: RawId = ""
    request_id: RawId = ""
    session_id: RawId = ""
    region: str = ""
    network_tier: RawId = 2
    bandwidth_utilization: float | None = None
    payload_type: RawId = "file"
    entropy_estimate: float | None = None
    repetition_score: float | None = None
    has_baseline: bool = False
    hde_compression_ratio: float | None = None
    hde_delta_hit_rate: float | None = None
    hde_latency_ms: float | None = None
    hde_cpu_usage: float | None = None
    amst_stream_count: Int64 | None = None
    amst_transfer_rate_mbps: float | None = None
    amst_latency_ms: float | None = None
    amst_cpu_usage: float | None = None
    actual_algorithm: RawId | None = None
    actual_latency_ms: float | None = None
    actual_throughput_mbps: float | None = None
    outcome_hde_compression_ratio: float | None = None
    outcome_hde_latency_ms: float | None = None
    outcome_hde_cpu_usage: float | None = None
    outcome_amst_transfer_rate_mbps: float | None = None
    outcome_amst_latency_ms: float | None = None
    outcome_amst_cpu_usage: float | None = None
    units: RawUnits | None = None
    rtt_ns: float | None = None
    rtt: float | None = None
    bandwidth_utilization_ratio: float | None = None
    utilization: float | None = None
    entropy_normalized: float | None = None
    entropy: float | None = None
    hde_delta_hit_ratio: float | None = None
    delta_hit_rate: float | None = None
    hde_latency_ns: float | None = None
    hde_latency: float | None = None
    amst_latency_ns: float | None = None
    amst_latency: float | None = None
    amst_transfer_rate_bps: float | None = None
    transfer_rate: float | None = None
    actual_latency_ns: float | None = None
    actual_latency: float | None = None


class RawSystemMetrics(Struct, frozen=True, gc=False):
    """One node's metrics as the Go daemons send them."""

    timestamp: RawTime
    node_id: RawId
    latency_mean: float
    latency_std: float
    latency_p95: float
    latency_p99: float
    throughput_mean: float
    throughput_std: float
    error_rate: float
    error_count: float
    cpu_usage: float
    memory_usage: float
    disk_usage: float
    network_io: float
    disk_io: float
    compression_ratio: float
    prediction_accuracy: float
    consensus_time: float
    network_bandwidth: float = 0.0
    storage_used: float = 0.0
    request_rate: float = 0.0
    units: RawUnits | None = None
