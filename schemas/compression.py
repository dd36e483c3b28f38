"""Compression telemetry, oracle labels and selector predictions."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from schemas.field import (
    Algorithm,
    CompressionRatio,
    DurationMs,
    Entropy,
    Identifier,
    LinkType,
    Mbps,
    OptionalIdentifier,
    PayloadType,
    Percent,
    PositiveBytes,
    PositiveCount,
    PositiveMbps,
    Ratio,
    Tier,
    TimestampMs,
)

FEATURES: Final = (
    "link_type",
    "region",
    "network_tier",
    "bandwidth_available_mbps",
    "bandwidth_utilization",
    "rtt_ms",
    "payload_size",
    "payload_type",
    "entropy_estimate",
    "repetition_score",
    "has_baseline",
    "hde_compression_ratio",
    "hde_delta_hit_rate",
    "hde_latency_ms",
    "hde_cpu_usage",
    "amst_stream_count",
    "amst_transfer_rate_mbps",
    "amst_latency_ms",
    "amst_cpu_usage",
)
"""The selector's feature vector; the order is the contract with every exported model."""


class CompressionTelemetry(Struct, frozen=True, gc=False):
    """One transfer decision: 19 features, identity, and outcomes kept apart from them.

    `hde_*` and `amst_*` are history (what each mechanism did lately on the link);
    `actual_*` and `outcome_*` are what happened to this transfer.
    """

    event_id: Identifier
    timestamp: TimestampMs
    node_id: Identifier
    peer_id: Identifier
    link_type: LinkType
    bandwidth_available_mbps: PositiveMbps
    rtt_ms: DurationMs
    payload_size: PositiveBytes
    vm_id: OptionalIdentifier = ""
    request_id: OptionalIdentifier = ""
    session_id: OptionalIdentifier = ""
    region: OptionalIdentifier = ""
    network_tier: Tier = 2
    bandwidth_utilization: Percent = 0.0
    payload_type: PayloadType = "file"
    entropy_estimate: Entropy | None = None
    repetition_score: Percent | None = None
    has_baseline: bool = False
    hde_compression_ratio: CompressionRatio | None = None
    hde_delta_hit_rate: Percent | None = None
    hde_latency_ms: DurationMs | None = None
    hde_cpu_usage: Percent | None = None
    amst_stream_count: PositiveCount | None = None
    amst_transfer_rate_mbps: Mbps | None = None
    amst_latency_ms: DurationMs | None = None
    amst_cpu_usage: Percent | None = None
    actual_algorithm: Algorithm | None = None
    actual_latency_ms: DurationMs | None = None
    actual_throughput_mbps: Mbps | None = None
    outcome_hde_compression_ratio: CompressionRatio | None = None
    outcome_hde_latency_ms: DurationMs | None = None
    outcome_hde_cpu_usage: Percent | None = None
    outcome_amst_transfer_rate_mbps: Mbps | None = None
    outcome_amst_latency_ms: DurationMs | None = None
    outcome_amst_cpu_usage: Percent | None = None
    quality_score: Ratio | None = None
    is_training_candidate: bool = False


class OracleLabel(Struct, frozen=True, gc=False):
    """Which algorithm was best for one transfer, and by how much."""

    id: Identifier
    event_id: Identifier
    timestamp: TimestampMs
    node_id: Identifier
    peer_id: Identifier
    link_type: LinkType
    label: Algorithm
    utility_hde: float
    utility_amst: float
    margin: float
    formula: Literal["collection_plan", "unscaled", "completion_time"]
    label_source: Literal["outcome", "history"]


class SelectorPrediction(Struct, frozen=True, gc=False):
    """The selector's decision for one transfer.

    `heuristic_algorithm` is what the fallback heuristic says of the same transfer,
    so that every reader can score both. `model_name` and `model_version` are of what decided;
    with `fallback` that is not what should have, and `fallback_reason` says why. A shadow is
    asked the same and decides nothing.
    """

    id: Identifier
    event_id: Identifier
    request_id: OptionalIdentifier
    timestamp: TimestampMs
    node_id: Identifier
    peer_id: Identifier
    link_type: LinkType
    algorithm: Algorithm
    probability_amst: Ratio
    confidence: Ratio
    heuristic_algorithm: Algorithm
    fallback: bool
    fallback_reason: Literal["", "not_ready", "low_confidence", "model_error"]
    model_name: Identifier
    model_version: Identifier
    expected_utility_hde: float | None = None
    expected_utility_amst: float | None = None
    propensity: Ratio | None = None
    experiment_id: OptionalIdentifier = ""
    experiment_arm: Literal["", "control", "treatment"] = ""
    shadow_version: OptionalIdentifier = ""
    shadow_probability_amst: Ratio | None = None
