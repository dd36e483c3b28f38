"""Ingest settles what producers send into canonical records, or says why it cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.batch import Batch, Result
from schemas.codec import codec_of
from schemas.header import origin_of
from schemas.ingest import CompressionIngest, NetworkIngest, SystemIngest, epoch_ms
from schemas.system import METRICS
from schemas.topic import (
    COMPRESSION_KEYED,
    COMPRESSION_RAW,
    NETWORK_KEYED,
    NETWORK_RAW,
    SYSTEM_RAW,
    Topic,
)

T = 1_767_323_045_123
NETWORK: dict[str, Any] = {
    "timestamp": T, "node_id": "a", "peer_id": "b", "packet_loss": 0.01,
    "jitter_ms": 2.5, "throughput_mbps": 800.0, "rtt_ms": 12.0,
}  # fmt: skip
COMPRESSION: dict[str, Any] = {
    "event_id": "e1", "timestamp": T, "node_id": "a", "peer_id": "b", "link_type": "wan",
    "bandwidth_available_mbps": 900.0, "rtt_ms": 30.0, "payload_size": 1 << 20,
}  # fmt: skip
SYSTEM: dict[str, Any] = {"timestamp": T, "node_id": "a"} | dict.fromkeys(METRICS, 50.0)


def ingest(ingest_type: type, topic: Topic, *events: dict[str, Any]) -> Result:
    assert topic.record is not None
    codec = codec_of(topic.record)
    records, rejected = codec.decode([msgspec.json.encode(e) for e in events])
    assert not rejected
    n = len(records)
    origin = [origin_of(topic.name, 0, i) for i in range(n)]
    return ingest_type().step(Batch(topic, 0, codec.columns(records), [None] * n, np.arange(n), origin))


def network(**changes: Any) -> Result:
    return ingest(NetworkIngest, NETWORK_RAW, NETWORK | changes)


def column(result: Result, name: str) -> Any:
    (output,) = result.outputs.values()
    (value,) = output.columns[name]
    return value


@pytest.mark.parametrize(
    "sent",
    [
        T,
        T * 1000,
        T * 1_000_000,
        T / 1000,
        "2026-01-02T03:04:05.123Z",
        "2026-01-02T03:04:05.123000000Z",
        "2026-01-02T04:04:05.123+01:00",
        "2026-01-02T03:04:05.123",
    ],
)
def test_every_form_of_time_is_the_same_instant(sent: object) -> None:
    assert column(network(timestamp=sent), "timestamp") == T


def test_epoch_seconds_have_no_milliseconds() -> None:
    assert epoch_ms(T // 1000) == T // 1000 * 1000


def test_times_are_exact_to_the_millisecond() -> None:
    for ms in range(1000):
        moment = datetime(2026, 1, 2, 3, 4, 5, ms * 1000, tzinfo=UTC)
        assert epoch_ms(moment) % 1000 == ms


@pytest.mark.parametrize("value", [1e308, -1, 1e20, -1e308])
def test_a_number_that_is_no_time_is_rejected(value: float) -> None:
    ((_, error),) = network(timestamp=value).rejected
    assert error.reason == "range"
    assert "timestamp" in str(error)


def test_short_form_uses_the_aliases() -> None:
    short = {k: v for k, v in NETWORK.items() if k not in ("throughput_mbps", "rtt_ms")}
    result = ingest(NetworkIngest, NETWORK_RAW, short | {"bandwidth_mbps": 700.0, "latency_ms": 15.0, "time_of_day": 3})
    assert column(result, "throughput_mbps") == 700.0
    assert column(result, "rtt_ms") == 15.0


def test_neither_name_of_a_quantity_is_a_rejection() -> None:
    ((_, error),) = ingest(NetworkIngest, NETWORK_RAW, {k: v for k, v in NETWORK.items() if k != "rtt_ms"}).rejected
    assert str(error) == "rtt_ms is missing"


def test_link_is_the_key() -> None:
    result = network(node_id=7, peer_id="n-9")
    assert result.outputs[NETWORK_KEYED].key == [b"7:n-9"]


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("link_type", "DC", "dc"),
        ("link_type", "datacenter", "dc"),
        ("link_type", 3, "edge"),
        ("network_tier", "tier1", 1),
        ("network_tier", "Premium", 1),
        ("network_tier", "Economy", 3),
        ("network_tier", 2, 2),
        ("dwcp_mode", 1, "turbo"),
        ("transport_type", "QUIC", "quic"),
    ],
)
def test_enums_in_every_spelling(field: str, sent: object, kept: object) -> None:
    assert column(network(**{field: sent}), field) == kept


@pytest.mark.parametrize(
    ("changes", "reason", "word"),
    [
        ({"packet_loss": 1.2}, "range", "packet_loss=1.2 must be >= 0 and <= 1"),
        ({"rtt_ms": -1.0}, "range", "rtt_ms=-1 must be >= 0 and <= 3.6e+06 ms"),
        ({"rtt_ms": 1e308}, "range", "rtt_ms"),
        ({"link_type": "moon"}, "enum", "link_type='moon' is not one of"),
        ({"network_tier": 9}, "enum", "network_tier=9"),
        ({"node_id": ""}, "range", "node_id must have 1..256 characters"),
        ({"bytes_tx": -5}, "range", "bytes_tx"),
    ],
)
def test_values_outside_the_contract_say_which_and_what_is_allowed(
    changes: dict[str, Any], reason: str, word: str
) -> None:
    ((row, error),) = network(**changes).rejected
    assert (row, error.reason) == (0, reason)
    assert word in str(error)


def test_a_bad_row_leaves_its_neighbours_alone() -> None:
    events = [NETWORK | {"rtt_ms": float(i), "packet_loss": 2.0 if i % 3 == 0 else 0.0} for i in range(9)]
    result = ingest(NetworkIngest, NETWORK_RAW, *events)
    output = result.outputs[NETWORK_KEYED]
    assert output.row.tolist() == [1, 2, 4, 5, 7, 8]
    assert output.columns["rtt_ms"].tolist() == [1.0, 2.0, 4.0, 5.0, 7.0, 8.0]  # type: ignore[union-attr]
    assert [r.row for r in result.rejected] == [0, 3, 6]


def test_quality_is_the_share_of_features_present() -> None:
    poor = ingest(CompressionIngest, COMPRESSION_RAW, COMPRESSION)
    assert column(poor, "quality_score") == pytest.approx(8 / 19)  # no region, two scores and eight histories missing
    assert not column(poor, "is_training_candidate")
    full = COMPRESSION | {
        "region": "us-east", "entropy_estimate": 4.0, "repetition_score": 10.0, "hde_compression_ratio": 3.0,
        "hde_delta_hit_rate": 50.0, "hde_latency_ms": 5.0, "hde_cpu_usage": 20.0, "amst_stream_count": 16,
        "amst_transfer_rate_mbps": 500.0, "amst_latency_ms": 9.0, "amst_cpu_usage": 10.0,
    }  # fmt: skip
    assert column(ingest(CompressionIngest, COMPRESSION_RAW, full), "quality_score") == 1.0


def test_canonical_compression_survives_the_wire() -> None:
    result = ingest(CompressionIngest, COMPRESSION_RAW, COMPRESSION | {"amst_stream_count": 16}, COMPRESSION)
    codec = codec_of(COMPRESSION_KEYED.record)
    records, rejected = codec.decode(codec.encode(result.outputs[COMPRESSION_KEYED].columns))
    assert not rejected
    assert [r.amst_stream_count for r in records] == [16, None]
    assert records[1].hde_latency_ms is None


def test_system_metrics_are_keyed_by_node() -> None:
    (output,) = ingest(SystemIngest, SYSTEM_RAW, SYSTEM).outputs.values()
    assert output.key == [b"a"]
