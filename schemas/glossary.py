"""What each field means, in one line; with a unit where its type does not state one.

The published schemas take a field's documentation from here. A name means the same
in every record; where it cannot, `Record.field` comes first.

Types state units and ranges (`schemas.field`); a unit stands here only for a field
whose type is a bare number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Meaning(NamedTuple):
    """What a field says, and the unit of a bare number."""

    doc: str
    unit: str = ""


NONE: Final = "none"
"""Unit of what has no unit: text, flags, enumerations."""

_TARGETS: Final = "Mbps, ms, 1, ms"

_IDENTITY: Final = {
    "id": Meaning("Deterministic id, <origin>:<kind>; the same on every replay, so repeats can be dropped by it"),
    "timestamp": Meaning("When it happened (event time), UTC"),
    "event_id": Meaning("The producer's id of the transfer"),
    "node_id": Meaning("The node; of a link, its sending end"),
    "peer_id": Meaning("The link's receiving end"),
    "vm_id": Meaning("The virtual machine that moves; empty when unknown"),
    "request_id": Meaning("The request that the transfer belongs to; empty when unknown"),
    "session_id": Meaning("The session that the transfer belongs to; empty when unknown"),
    "region": Meaning("Region of the node, for example us-east; empty when unknown"),
    "az": Meaning("Availability zone of the node; empty when unknown"),
    "link_type": Meaning("How far the link reaches"),
    "network_tier": Meaning("Network tier: 1 premium, 2 standard, 3 economy", "tier"),
}

_TRANSFER: Final = {
    "bandwidth_available_mbps": Meaning("Bandwidth free for the transfer"),
    "bandwidth_utilization": Meaning("Share of the link's bandwidth in use"),
    "payload_size": Meaning("Size of the payload before compression"),
    "payload_type": Meaning("What is transferred"),
    "entropy_estimate": Meaning("Shannon entropy of the payload; null when it was not estimated"),
    "repetition_score": Meaning("Share of the payload's blocks that repeat; null when it was not estimated"),
    "has_baseline": Meaning("Whether the receiver holds a baseline to take deltas against"),
    "hde_compression_ratio": Meaning("History: original size / compressed size of HDE on the link; null without any"),
    "hde_delta_hit_rate": Meaning("History: share of blocks that HDE found in the baseline; null without any"),
    "hde_latency_ms": Meaning("History: latency of HDE on the link; null without any"),
    "hde_cpu_usage": Meaning("History: CPU that HDE took; null without any"),
    "amst_stream_count": Meaning("History: parallel streams of AMST on the link; null without any", "streams"),
    "amst_transfer_rate_mbps": Meaning("History: transfer rate of AMST on the link; null without any"),
    "amst_latency_ms": Meaning("History: latency of AMST on the link; null without any"),
    "amst_cpu_usage": Meaning("History: CPU that AMST took; null without any"),
    "actual_algorithm": Meaning("Outcome: what the transfer used; null before it is known"),
    "actual_latency_ms": Meaning("Outcome: how long the transfer took; null before it is known"),
    "actual_throughput_mbps": Meaning("Outcome: rate that the transfer reached; null before it is known"),
    "outcome_hde_compression_ratio": Meaning("Outcome of HDE: original size / compressed size; null when not measured"),
    "outcome_hde_latency_ms": Meaning("Outcome of HDE: latency; null when not measured"),
    "outcome_hde_cpu_usage": Meaning("Outcome of HDE: CPU; null when not measured"),
    "outcome_amst_transfer_rate_mbps": Meaning("Outcome of AMST: transfer rate; null when not measured"),
    "outcome_amst_latency_ms": Meaning("Outcome of AMST: latency; null when not measured"),
    "outcome_amst_cpu_usage": Meaning("Outcome of AMST: CPU; null when not measured"),
    "quality_score": Meaning("Share of the 19 features that are present; set by ingest"),
    "is_training_candidate": Meaning("Whether quality_score is high enough for a training set; set by ingest"),
}

_DECISION: Final = {
    "label": Meaning("The mechanism that was best, by the oracle"),
    "utility_hde": Meaning("Utility of HDE by the formula", "1"),
    "utility_amst": Meaning("Utility of AMST by the formula", "1"),
    "margin": Meaning("Share of the better utility that the worse choice loses", "1"),
    "formula": Meaning("Formula of the utilities"),
    "label_source": Meaning("Whether the utilities are from what happened or from the link's history"),
    "algorithm": Meaning("The decision: mechanism to use"),
    "probability_amst": Meaning("Probability that AMST is the better one"),
    "confidence": Meaning("How sure the prediction is"),
    "heuristic_algorithm": Meaning("What the fallback heuristic says of the same transfer"),
    "fallback": Meaning("Whether the decision is the heuristic's"),
    "fallback_reason": Meaning("Why the heuristic decided; empty when the model did"),
    "model_name": Meaning("The model that was asked"),
    "model_version": Meaning("Version of the model that was asked"),
}

_NETWORK: Final = {
    "rtt_ms": Meaning("Round-trip time"),
    "jitter_ms": Meaning("Jitter: standard deviation of the round-trip time"),
    "throughput_mbps": Meaning("Rate the link carries"),
    "packet_loss": Meaning("Lost packets / sent packets"),
    "bytes_tx": Meaning("Bytes sent since the last sample"),
    "bytes_rx": Meaning("Bytes received since the last sample"),
    "retransmits": Meaning("Segments sent again since the last sample", "segments"),
    "congestion_window": Meaning("Congestion window", "segments"),
    "queue_depth": Meaning("Packets that wait to be sent", "packets"),
    "dwcp_mode": Meaning("DWCP's operating mode"),
    "transport_type": Meaning("Transport beneath DWCP"),
    "feature_schema": Meaning("Name and version of the features' order"),
    "features": Meaning("The 34 features of the sample, in the order that feature_schema names", "as each feature"),
    "prediction_time": Meaning("Event time of the sample that the forecast was made from, UTC"),
    "target_time": Meaning("The time that is forecast, UTC"),
    "valid_until": Meaning("When the forecast is of no more use, UTC"),
    "predicted_bandwidth_mbps": Meaning("Bandwidth at target_time", "Mbps (1e6 bit/s)"),
    "predicted_latency_ms": Meaning("Round-trip time at target_time", "ms"),
    "predicted_packet_loss": Meaning("Packet loss at target_time", "1"),
    "predicted_jitter_ms": Meaning("Jitter at target_time", "ms"),
    "lower": Meaning("Lower ends of the 90 % intervals: bandwidth, latency, loss, jitter", _TARGETS),
    "upper": Meaning("Upper ends of the 90 % intervals: bandwidth, latency, loss, jitter", _TARGETS),
    "amst_streams": Meaning("AMST parameter: parallel streams", "streams"),
    "amst_buffer_bytes": Meaning("AMST parameter: buffer per stream", "bytes"),
    "amst_chunk_bytes": Meaning("AMST parameter: chunk per write", "bytes"),
    "amst_pacing_bytes_per_second": Meaning("AMST parameter: pacing rate", "bytes/s"),
    "amst_window_bytes": Meaning("AMST parameter: buffers of all streams", "bytes"),
    "amst_action": Meaning("Whether to apply the AMST parameters"),
    "amst_reason": Meaning("Why, in words"),
    "actual": Meaning("What was measured: bandwidth, latency, loss, jitter", _TARGETS),
    "error": Meaning("Absolute errors of the forecast: bandwidth, latency, loss, jitter", _TARGETS),
    "persistence_error": Meaning("Absolute errors of the sample at prediction_time taken as forecast", _TARGETS),
    "moving_average_error": Meaning("Absolute errors of the moving average taken as forecast", _TARGETS),
    "covered": Meaning("Whether the interval held the measurement: bandwidth, latency, loss, jitter"),
}

_SYSTEM: Final = {
    "latency_mean": Meaning("Mean latency of requests"),
    "latency_std": Meaning("Standard deviation of the latency of requests"),
    "latency_p95": Meaning("95th percentile of the latency of requests"),
    "latency_p99": Meaning("99th percentile of the latency of requests"),
    "throughput_mean": Meaning("Mean throughput", "requests/s"),
    "throughput_std": Meaning("Standard deviation of the throughput", "requests/s"),
    "error_rate": Meaning("Share of requests that failed"),
    "error_count": Meaning("Requests that failed", "requests"),
    "cpu_usage": Meaning("CPU in use"),
    "memory_usage": Meaning("Memory in use"),
    "disk_usage": Meaning("Disk space in use"),
    "network_io": Meaning("Network traffic", "MB/s"),
    "disk_io": Meaning("Disk traffic", "MB/s"),
    "compression_ratio": Meaning("Original size / compressed size over all transfers", "1"),
    "prediction_accuracy": Meaning("Accuracy of the bandwidth predictions, as the node reports it"),
    "consensus_time": Meaning("Time that ACP takes to agree"),
    "network_bandwidth": Meaning("Network bandwidth in use", "Gbps"),
    "storage_used": Meaning("Storage in use", "TB"),
    "request_rate": Meaning("Requests arriving", "requests/s"),
    "anomaly_score": Meaning("How unusual the record is: 0 usual, 1 as unusual as can be"),
    "threshold": Meaning("Score from which a record is an anomaly"),
    "is_anomaly": Meaning("Whether anomaly_score reached the threshold"),
    "detection_method": Meaning("The detector whose score it is"),
    "anomaly_type": Meaning("What kind of trouble it is"),
    "severity": Meaning("How bad it is"),
    "severity_score": Meaning("How bad it is, as a number"),
    "top_contributing_features": Meaning("The metrics that pushed the score most, first the strongest"),
    "metrics": Meaning("The node's metrics, by name", "as each metric"),
    "baseline_comparison": Meaning("Each metric beside its baseline on the node, by name", "as each metric"),
    "recommended_actions": Meaning("What to do, first the most urgent"),
    "BaselineComparison.current": Meaning("Value of the metric", "as the metric"),
    "BaselineComparison.baseline_mean": Meaning("Mean of the metric's baseline", "as the metric"),
    "BaselineComparison.baseline_p95": Meaning("95th percentile of the metric's baseline", "as the metric"),
    "BaselineComparison.deviation_pct": Meaning("Distance from the baseline's mean", "%"),
    "BaselineComparison.z_score": Meaning("Distance from the baseline's mean in standard deviations", "1"),
}

_DRIFT: Final = {
    "model": Meaning("The model that is watched"),
    "feature": Meaning("What of it changed: an error or an input"),
    "statistic": Meaning("The test that found the change"),
    "value": Meaning("What the statistic found: the mean after the change", "as the feature"),
    "DriftAlert.threshold": Meaning("How far the value may go without an alert", "as the feature"),
    "window": Meaning("Observations that the statistic was computed over", "observations"),
    "reference_version": Meaning("Version of the model or reference that the change is against"),
}

_MEANINGS: Final[Mapping[str, Meaning]] = _IDENTITY | _TRANSFER | _DECISION | _NETWORK | _SYSTEM | _DRIFT


def meaning_of(record: str, name: str) -> Meaning | None:
    """What a record's field means; None when nobody has said it yet.

    >>> meaning_of("NetworkSample", "packet_loss").doc
    'Lost packets / sent packets'
    """
    return _MEANINGS.get(f"{record}.{name}") or _MEANINGS.get(name)
