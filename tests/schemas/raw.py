"""Raw events of every dataset, and what ingest makes of changed ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from schemas.batch import Batch, Result
from schemas.codec import codec_of
from schemas.error import RecordError
from schemas.header import origin_of
from schemas.ingest import CompressionIngest, NetworkIngest, SystemIngest
from schemas.system import METRICS

T = 1_767_323_045_123
"""2026-01-02T03:04:05.123Z."""

NETWORK: dict[str, Any] = {
    "timestamp": T, "node_id": "a", "peer_id": "b", "packet_loss": 0.01,
    "jitter_ms": 2.5, "throughput_mbps": 800.0, "rtt_ms": 12.0,
}  # fmt: skip
COMPRESSION: dict[str, Any] = {
    "event_id": "e1", "timestamp": T, "node_id": "a", "peer_id": "b", "link_type": "wan",
    "bandwidth_available_mbps": 900.0, "rtt_ms": 30.0, "payload_size": 1 << 20,
}  # fmt: skip
COMPLETE: dict[str, Any] = COMPRESSION | {
    "region": "us-east", "bandwidth_utilization": 40.0, "entropy_estimate": 4.0, "repetition_score": 10.0,
    "hde_compression_ratio": 3.0, "hde_delta_hit_rate": 50.0, "hde_latency_ms": 5.0, "hde_cpu_usage": 20.0,
    "amst_stream_count": 16, "amst_transfer_rate_mbps": 500.0, "amst_latency_ms": 9.0, "amst_cpu_usage": 10.0,
}  # fmt: skip
SYSTEM: dict[str, Any] = {"timestamp": T, "node_id": "a"} | dict.fromkeys(METRICS, 50.0)

Ingest = type[NetworkIngest] | type[CompressionIngest] | type[SystemIngest]


def ingest(
    kind: Ingest, *events: Mapping[str, Any], time_ms: list[int] | None = None, units: Mapping[str, str] | None = None
) -> Result:
    """What one batch of these events becomes."""
    assert kind.source.record is not None
    codec = codec_of(kind.source.record)
    records, rejected = codec.decode([msgspec.json.encode(e) for e in events])
    assert not rejected, rejected
    n = len(records)
    origin = [origin_of(kind.source.name, 0, i) for i in range(n)]
    times = None if time_ms is None else np.array(time_ms, np.int64)
    batch = Batch(kind.source, 0, codec.columns(records), [None] * n, np.arange(n), origin, times)
    return kind(units).step(batch)


def without(event: Mapping[str, Any], *names: str, **changes: Any) -> dict[str, Any]:
    """The event without some of its fields and with others."""
    return {name: value for name, value in event.items() if name not in names} | changes


def column(result: Result, name: str) -> Any:
    """The one value of a field."""
    (output,) = result.outputs.values()
    (value,) = output.columns[name]
    return value


def refusal(result: Result) -> RecordError:
    """Why the one record was rejected."""
    ((row, error),) = result.rejected
    assert row == 0
    (output,) = result.outputs.values()
    assert not len(output.row)
    return error
