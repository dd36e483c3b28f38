"""Ingest settles what producers send into canonical records, or says why it cannot."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.batch import Result
from schemas.codec import codec_of
from schemas.ingest import CompressionIngest, NetworkIngest, SystemIngest
from schemas.moment import FUTURE_MS
from schemas.reason import REASONS
from schemas.topic import COMPRESSION_KEYED, NETWORK_KEYED
from tests.schemas.raw import COMPLETE, COMPRESSION, NETWORK, SYSTEM, Ingest, T, column, ingest, refusal, without


def network(**changes: Any) -> Result:
    return ingest(NetworkIngest, NETWORK | changes)


def test_short_form_uses_the_aliases() -> None:
    short = without(NETWORK, "throughput_mbps", "rtt_ms", bandwidth_mbps=700.0, latency_ms=15.0, time_of_day=3)
    result = ingest(NetworkIngest, short)
    assert column(result, "throughput_mbps") == 700.0
    assert column(result, "rtt_ms") == 15.0


@pytest.mark.parametrize("field", ["rtt_ms", "packet_loss", "jitter_ms", "throughput_mbps"])
def test_a_quantity_under_none_of_its_names_is_a_rejection(field: str) -> None:
    error = refusal(ingest(NetworkIngest, without(NETWORK, field)))
    assert error.reason == "schema"
    assert str(error).startswith(f"{field} is missing: send {field} or ")


@pytest.mark.parametrize(
    ("hour", "weekday"),
    [(3, 5), (22, 4), (0, 0)],
    ids=["UTC and Go's Sunday 0", "local and Python's Monday 0", "unset"],
)
def test_hour_and_weekday_follow_from_the_timestamp_and_not_from_what_was_sent(hour: int, weekday: int) -> None:
    result = network(time_of_day=hour, day_of_week=weekday)
    (output,) = result.outputs.values()
    assert not {"time_of_day", "day_of_week"} & set(output.columns)
    assert column(result, "timestamp") == T


def test_link_is_the_key() -> None:
    assert network(node_id=7, peer_id="n-9").outputs[NETWORK_KEYED].key == [b"7:n-9"]


def test_links_that_differ_have_keys_that_differ() -> None:
    first = network(node_id="10.0.0.1:7946", peer_id="b").outputs[NETWORK_KEYED]
    second = network(node_id="10.0.0.1", peer_id="7946:b").outputs[NETWORK_KEYED]
    assert first.key == [b"10.0.0.1%3A7946:b"]
    assert second.key == [b"10.0.0.1:7946%3Ab"]
    assert list(first.columns["node_id"]) == ["10.0.0.1:7946"], "the record keeps its ids"


def test_system_metrics_are_keyed_by_node() -> None:
    (output,) = ingest(SystemIngest, SYSTEM).outputs.values()
    assert output.key == [b"a"]


def test_integer_ids_are_text() -> None:
    result = ingest(CompressionIngest, COMPRESSION | {"event_id": 9, "node_id": 1, "peer_id": 2, "vm_id": 3})
    assert [column(result, name) for name in ("event_id", "node_id", "peer_id", "vm_id")] == ["9", "1", "2", "3"]


def test_unknown_fields_are_skipped() -> None:
    assert not network(hop_count=[1, {"via": None}], units={"hop_count": "hops"}).rejected


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("link_type", "DC", "dc"),
        ("link_type", "Dc", "dc"),
        ("link_type", "datacenter", "dc"),
        ("link_type", "data_center", "dc"),
        ("link_type", 3, "edge"),
        ("network_tier", "tier1", 1),
        ("network_tier", "3", 3),
        ("network_tier", "Premium", 1),
        ("network_tier", "Economy", 3),
        ("network_tier", 2, 2),
        ("dwcp_mode", 1, "turbo"),
        ("dwcp_mode", "Reliable", "reliable"),
        ("transport_type", "QUIC", "quic"),
    ],
)
def test_enums_in_every_spelling(field: str, sent: object, kept: object) -> None:
    assert column(network(**{field: sent}), field) == kept


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("payload_type", 0, "vm_memory"),
        ("payload_type", "Stream", "stream"),
        ("actual_algorithm", "amst", "AMST"),
        ("actual_algorithm", 0, "HDE"),
        ("actual_algorithm", None, None),
    ],
)
def test_enums_of_a_transfer(field: str, sent: object, kept: object) -> None:
    assert column(ingest(CompressionIngest, COMPRESSION | {field: sent}), field) == kept


REJECTIONS: list[tuple[Ingest, dict[str, Any], str, str]] = [
    (NetworkIngest, NETWORK | {"packet_loss": 1.2}, "range", "packet_loss=1.2 must be >= 0 and <= 1"),
    (NetworkIngest, NETWORK | {"rtt_ms": -1.0}, "range", "rtt_ms=-1 must be >= 0 and <= 3.6e+06 ms"),
    (NetworkIngest, NETWORK | {"rtt_ms": 1e308}, "range", "rtt_ms"),
    (NetworkIngest, NETWORK | {"node_id": ""}, "range", "node_id must have 1..256 characters"),
    (NetworkIngest, NETWORK | {"node_id": "n" * 257}, "range", "node_id must have 1..256 characters"),
    (NetworkIngest, NETWORK | {"bytes_tx": -5}, "range", "bytes_tx"),
    (NetworkIngest, NETWORK | {"timestamp": 1e308}, "range", "timestamp"),
    (NetworkIngest, NETWORK | {"link_type": "moon"}, "enum", "link_type='moon' is not one of data_center, datacenter"),
    (NetworkIngest, NETWORK | {"network_tier": 9}, "enum", "network_tier=9"),
    (NetworkIngest, NETWORK | {"network_tier": 0}, "enum", "network_tier=0"),
    (NetworkIngest, NETWORK | {"dwcp_mode": -1}, "enum", "dwcp_mode=-1"),
    (NetworkIngest, NETWORK | {"throughput": 9e8}, "unit", "throughput has no unit"),
    (NetworkIngest, without(NETWORK, "rtt_ms"), "schema", "rtt_ms is missing"),
    (CompressionIngest, COMPRESSION | {"payload_size": 0}, "range", "payload_size=0 must be > 0"),
    (CompressionIngest, COMPRESSION | {"entropy_estimate": 8.1}, "range", "entropy_estimate=8.1"),
    (CompressionIngest, COMPRESSION | {"actual_algorithm": "zstd"}, "enum", "is not one of amst, hde"),
    (CompressionIngest, COMPRESSION | {"utilization": 0.4}, "unit", "utilization has no unit"),
    (SystemIngest, SYSTEM | {"cpu_usage": 101.0}, "range", "cpu_usage=101 must be >= 0 and <= 100 %"),
    (SystemIngest, SYSTEM | {"latency_p95": 51.0}, "cross_field", "latency_p95=51 is above latency_p99=50"),
]


@pytest.mark.parametrize(("kind", "event", "reason", "text"), REJECTIONS)
def test_what_is_outside_the_contract_says_which_and_what_is_allowed(
    kind: Ingest, event: dict[str, Any], reason: str, text: str
) -> None:
    error = refusal(ingest(kind, event))
    assert error.reason == reason
    assert text in str(error)
    assert reason in REASONS


def test_percentiles_may_differ_by_rounding() -> None:
    assert not ingest(SystemIngest, SYSTEM | {"latency_p95": 50.0004, "latency_p99": 50.0}).rejected


@pytest.mark.parametrize(
    ("ahead_ms", "broker_ms", "reasons"),
    [
        (FUTURE_MS, T, []),
        (FUTURE_MS + 1, T, ["future"]),
        (-FUTURE_MS * 1000, T, []),
        (FUTURE_MS + 1, -1, []),
    ],
    ids=["an hour ahead", "more", "a replay of old records", "the broker has no time"],
)
def test_times_ahead_of_the_broker_are_rejected(ahead_ms: int, broker_ms: int, reasons: list[str]) -> None:
    event = NETWORK | {"timestamp": T + ahead_ms}
    assert [r.error.reason for r in ingest(NetworkIngest, event, time_ms=[broker_ms]).rejected] == reasons
    assert not ingest(NetworkIngest, event).rejected, "without the broker's times there is nothing to judge by"


def test_the_first_thing_wrong_is_the_reason() -> None:
    assert refusal(network(link_type="moon", packet_loss=7.0)).reason == "enum"


def test_a_bad_row_leaves_its_neighbours_alone() -> None:
    events = [NETWORK | {"rtt_ms": float(i), "packet_loss": 2.0 if i % 3 == 0 else 0.0} for i in range(9)]
    result = ingest(NetworkIngest, *events)
    output = result.outputs[NETWORK_KEYED]
    assert output.row.tolist() == [1, 2, 4, 5, 7, 8]
    assert output.columns["rtt_ms"].tolist() == [1.0, 2.0, 4.0, 5.0, 7.0, 8.0]  # type: ignore[union-attr]
    assert [r.row for r in result.rejected] == [0, 3, 6]


def test_quality_is_the_share_of_features_sent() -> None:
    poor = ingest(CompressionIngest, COMPRESSION)
    # No region, no utilization, two scores and eight histories; a default is no measurement.
    assert column(poor, "quality_score") == pytest.approx(7 / 19)
    assert column(poor, "bandwidth_utilization") == 0.0
    assert not column(poor, "is_training_candidate")
    assert column(ingest(CompressionIngest, COMPLETE), "quality_score") == 1.0


@pytest.mark.parametrize(
    ("changes", "score"),
    [
        ({"link_type": "dc", "rtt_ms": 49.0}, 1.0),
        ({"link_type": "dc", "rtt_ms": 51.0}, 0.75),
        ({"link_type": "metro", "rtt_ms": 201.0}, 0.75),
        ({"link_type": "wan", "rtt_ms": 201.0}, 1.0),
        ({"amst_transfer_rate_mbps": 9001.0}, 0.75),
        ({"amst_transfer_rate_mbps": 9001.0, "link_type": "dc", "rtt_ms": 51.0}, 0.5625),
    ],
)
def test_one_implausible_value_makes_a_row_no_candidate(changes: dict[str, Any], score: float) -> None:
    result = ingest(CompressionIngest, COMPLETE | changes)
    assert column(result, "quality_score") == pytest.approx(score)
    assert column(result, "is_training_candidate") == (score == 1.0)


def test_canonical_compression_survives_the_wire() -> None:
    result = ingest(CompressionIngest, COMPRESSION | {"amst_stream_count": 16}, COMPRESSION)
    codec = codec_of(COMPRESSION_KEYED.record)
    records, rejected = codec.decode(codec.encode(result.outputs[COMPRESSION_KEYED].columns))
    assert not rejected
    assert [r.amst_stream_count for r in records] == [16, None]
    assert records[1].hde_latency_ms is None


@pytest.mark.parametrize(
    ("kind", "event"), [(NetworkIngest, NETWORK), (CompressionIngest, COMPLETE), (SystemIngest, SYSTEM)]
)
def test_a_canonical_record_sent_as_a_raw_one_comes_back_the_same(kind: Ingest, event: dict[str, Any]) -> None:
    codec = codec_of(kind.target.record)
    (first,) = codec.encode(ingest(kind, event).outputs[kind.target].columns)
    (again,) = codec.encode(ingest(kind, msgspec.json.decode(first)).outputs[kind.target].columns)
    assert again == first
