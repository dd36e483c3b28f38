"""A number means what its name or its declared unit says, never what its size suggests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.error import ConfigError
from schemas.ingest import CompressionIngest, NetworkIngest, SystemIngest
from schemas.quantity import ALTERNATES, parse_units
from tests.schemas.raw import COMPLETE, NETWORK, SYSTEM, Ingest, column, ingest, refusal, without

PERCENT, RATIO = "percent", "ratio"

FORMS: list[tuple[Ingest, str, float, str, float, str | None]] = [
    # canonical field and value, then the name, value and declared unit under which it is sent
    (NetworkIngest, "rtt_ms", 12.5, "rtt_ms", 12.5, None),
    (NetworkIngest, "rtt_ms", 12.5, "rtt_ms", 12.5, "ms"),
    (NetworkIngest, "rtt_ms", 12.5, "rtt_ns", 12_500_000, None),
    (NetworkIngest, "rtt_ms", 12.5, "rtt", 12_500_000, None),
    (NetworkIngest, "rtt_ms", 12.5, "rtt", 12_500_000, "ns"),
    (NetworkIngest, "rtt_ms", 12.5, "rtt", 12_500, "us"),
    (NetworkIngest, "rtt_ms", 12.5, "rtt", 12.5, "ms"),
    (NetworkIngest, "rtt_ms", 12.5, "latency_ms", 12.5, None),
    (NetworkIngest, "rtt_ms", 12.5, "latency_ns", 12_500_000, None),
    (NetworkIngest, "rtt_ms", 12.5, "latency", 0.0125, "s"),
    (NetworkIngest, "jitter_ms", 1.5, "jitter_ns", 1_500_000, None),
    (NetworkIngest, "jitter_ms", 1.5, "jitter", 1_500_000, None),
    (NetworkIngest, "jitter_ms", 1.5, "jitter_variance_ms2", 2.25, None),
    (NetworkIngest, "jitter_ms", 1.5, "jitter", 2.25, "ms2"),
    (NetworkIngest, "packet_loss", 0.005, "packet_loss", 0.005, None),
    (NetworkIngest, "packet_loss", 0.005, "packet_loss", 0.005, RATIO),
    (NetworkIngest, "packet_loss", 0.005, "packet_loss", 0.5, PERCENT),
    (NetworkIngest, "packet_loss", 0.005, "packet_loss_percent", 0.5, None),
    (NetworkIngest, "packet_loss", 0.005, "packet_loss_pct", 0.5, None),
    (NetworkIngest, "throughput_mbps", 800.0, "bandwidth_mbps", 800.0, None),
    (NetworkIngest, "throughput_mbps", 800.0, "throughput_bps", 8e8, None),
    (NetworkIngest, "throughput_mbps", 800.0, "throughput", 1e8, "B/s"),
    (NetworkIngest, "throughput_mbps", 800.0, "bandwidth", 8e8, "bit/s"),
    (NetworkIngest, "throughput_mbps", 800.0, "bandwidth", 800.0, "Mbps"),
    (CompressionIngest, "rtt_ms", 12.5, "rtt", 12_500_000, None),
    (CompressionIngest, "rtt_ms", 12.5, "rtt_ns", 12_500_000, None),
    (CompressionIngest, "bandwidth_utilization", 50.0, "bandwidth_utilization", 50.0, None),
    (CompressionIngest, "bandwidth_utilization", 50.0, "bandwidth_utilization", 0.5, RATIO),
    (CompressionIngest, "bandwidth_utilization", 0.5, "bandwidth_utilization", 0.5, None),
    (CompressionIngest, "bandwidth_utilization", 50.0, "bandwidth_utilization_ratio", 0.5, None),
    (CompressionIngest, "bandwidth_utilization", 50.0, "utilization", 0.5, RATIO),
    (CompressionIngest, "bandwidth_utilization", 0.5, "utilization", 0.5, PERCENT),
    (CompressionIngest, "hde_delta_hit_rate", 75.0, "hde_delta_hit_ratio", 0.75, None),
    (CompressionIngest, "hde_delta_hit_rate", 75.0, "delta_hit_rate", 0.75, RATIO),
    (CompressionIngest, "hde_delta_hit_rate", 0.75, "delta_hit_rate", 0.75, PERCENT),
    (CompressionIngest, "entropy_estimate", 6.0, "entropy_normalized", 0.75, None),
    (CompressionIngest, "entropy_estimate", 6.0, "entropy", 0.75, "normalized"),
    (CompressionIngest, "entropy_estimate", 0.75, "entropy", 0.75, "bits/byte"),
    (CompressionIngest, "amst_transfer_rate_mbps", 800.0, "amst_transfer_rate_bps", 8e8, None),
    (CompressionIngest, "amst_transfer_rate_mbps", 800.0, "transfer_rate", 1e8, "B/s"),
    (CompressionIngest, "hde_latency_ms", 12.5, "hde_latency_ns", 12_500_000, None),
    (CompressionIngest, "hde_latency_ms", 12.5, "hde_latency", 12_500_000, None),
    (CompressionIngest, "amst_latency_ms", 12.5, "amst_latency_ns", 12_500_000, None),
    (CompressionIngest, "amst_latency_ms", 12.5, "amst_latency", 12_500_000, None),
    (CompressionIngest, "actual_latency_ms", 12.5, "actual_latency_ns", 12_500_000, None),
    (CompressionIngest, "actual_latency_ms", 12.5, "actual_latency", 12_500_000, None),
    (SystemIngest, "latency_mean", 12.5, "latency_mean", 12.5, None),
    (SystemIngest, "latency_mean", 12.5, "latency_mean", 12_500_000, "ns"),
    (SystemIngest, "latency_std", 1.5, "latency_std", 2.25, "ms2"),
    (SystemIngest, "cpu_usage", 50.0, "cpu_usage", 0.5, RATIO),
    (SystemIngest, "error_rate", 0.5, "error_rate", 0.5, None),
    (SystemIngest, "error_rate", 50.0, "error_rate", 0.5, RATIO),
]
EVENTS: dict[Ingest, dict[str, Any]] = {
    NetworkIngest: NETWORK,
    CompressionIngest: COMPLETE,
    SystemIngest: SYSTEM,
}


def said(kind: Ingest, field: str, name: str, value: float, unit: str | None) -> dict[str, Any]:
    event = without(EVENTS[kind], field) | {name: value}
    return event if unit is None else event | {"units": {name: unit}}


@pytest.mark.parametrize(("kind", "field", "kept", "name", "value", "unit"), FORMS)
def test_a_quantity_in_every_form(
    kind: Ingest, field: str, kept: float, name: str, value: float, unit: str | None
) -> None:
    assert column(ingest(kind, said(kind, field, name, value, unit)), field) == pytest.approx(kept, rel=1e-12)


def test_every_name_there_is_was_tried() -> None:
    assert {name for _, _, _, name, _, _ in FORMS} >= set(ALTERNATES)


@pytest.mark.parametrize("name", [name for name, (_, unit) in ALTERNATES.items() if unit is None])
@pytest.mark.parametrize("value", [0.004, 0.5, 1.0, 50.0, 1e8])
def test_a_name_with_two_meanings_is_refused_whatever_its_value(name: str, value: float) -> None:
    kind = next(k for k in EVENTS if k.source.record and name in k.source.record.__struct_fields__)
    error = refusal(ingest(kind, said(kind, ALTERNATES[name][0], name, value, None)))
    assert error.reason == "unit"
    assert f"{name} has no unit: send {ALTERNATES[name][0]} or" in str(error)
    assert f'"units": {{"{name}": one of ' in str(error)


@pytest.mark.parametrize(
    ("kind", "changes", "text"),
    [
        (NetworkIngest, {"rtt_ns": 12.0}, "rtt_ms is said twice: 12 ms, and 1.2e-05 ms by rtt_ns"),
        (NetworkIngest, {"latency_ms": 15.0}, "rtt_ms is said twice: 12 ms, and 15 ms by latency_ms"),
        (NetworkIngest, {"packet_loss_percent": 0.01}, "packet_loss is said twice: 0.01 ratio, and 0.0001 ratio"),
        (NetworkIngest, {"jitter_variance_ms2": 2.5}, "jitter_ms is said twice"),
        (NetworkIngest, {"rtt": 12.5}, "rtt is a time.Duration, whole nanoseconds: send a fraction as rtt_ms"),
        (NetworkIngest, {"units": {"rtt_ms": "ns"}}, "units.rtt_ms='ns' contradicts the name"),
        (NetworkIngest, {"units": {"packet_loss": "permille"}}, "units.packet_loss='permille' is not one of ratio"),
        (NetworkIngest, {"units": {"bytes_tx": "KiB"}}, "units.bytes_tx='KiB' is not known here: bytes_tx is always"),
        (NetworkIngest, {"units": {"region": "m"}}, "region has no unit to declare"),
        (CompressionIngest, {"utilization": 40.0, "units": {"utilization": RATIO}}, "is said twice"),
        (SystemIngest, {"units": {"compression_ratio": PERCENT}}, "compression_ratio has no unit to declare"),
    ],
)
def test_contradictions_are_refused(kind: Ingest, changes: dict[str, Any], text: str) -> None:
    error = refusal(ingest(kind, EVENTS[kind] | changes))
    assert error.reason == "unit"
    assert text in str(error)


@pytest.mark.parametrize(
    "changes",
    [
        {"latency_ms": 12.1},
        {"rtt_ns": 12_000_400},
        {"packet_loss_percent": 1.004},
        {"packet_loss_percent": 1.0, "packet_loss_pct": 1.0},
        {"bandwidth_mbps": 800.4},
        {"units": {"bytes_tx": "bytes", "rtt_ms": "ms", "packet_loss": RATIO}},
    ],
)
def test_saying_the_same_twice_is_no_contradiction(changes: dict[str, Any]) -> None:
    result = ingest(NetworkIngest, NETWORK | changes)
    assert not result.rejected
    assert column(result, "rtt_ms") == 12.0
    assert column(result, "packet_loss") == 0.01


@pytest.mark.parametrize("value", [-1.0, -2.25])
def test_a_negative_variance_is_out_of_range(value: float) -> None:
    error = refusal(ingest(NetworkIngest, said(NetworkIngest, "jitter_ms", "jitter_variance_ms2", value, None)))
    assert error.reason == "range"


def test_units_are_each_records_own() -> None:
    events = [
        NETWORK | {"packet_loss": 0.5},
        NETWORK | {"packet_loss": 0.5, "units": {"packet_loss": PERCENT}},
        NETWORK | {"packet_loss": 0.5, "units": {}},
        NETWORK | {"packet_loss": 0.5, "units": {"packet_loss": "‰"}},
    ]
    result = ingest(NetworkIngest, *events)
    (output,) = result.outputs.values()
    assert output.row.tolist() == [0, 1, 2]
    assert list(output.columns["packet_loss"]) == [0.5, 0.005, 0.5]
    assert [r.row for r in result.rejected] == [3]


def test_a_deployment_says_what_its_producers_do_not() -> None:
    units = {"utilization": RATIO, "bandwidth_utilization": PERCENT, "rtt": "us"}
    event = without(COMPLETE, "bandwidth_utilization", "rtt_ms") | {"utilization": 0.4, "rtt": 12_500.5}
    result = ingest(CompressionIngest, event, units=units)
    assert column(result, "bandwidth_utilization") == 40.0
    assert column(result, "rtt_ms") == pytest.approx(12.5005)
    declared = event | {"utilization": 40.0, "units": {"utilization": PERCENT}}
    assert column(ingest(CompressionIngest, declared, units=units), "bandwidth_utilization") == 40.0


@pytest.mark.parametrize(
    ("units", "text"), [({"rtt_ms": "ns"}, "contradicts the name"), ({"packet_loss": "much"}, "is not one of ratio")]
)
def test_a_deployment_that_cannot_be_does_not_start(units: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        NetworkIngest(units)


@pytest.mark.parametrize(
    ("text", "units"),
    [("", {}), (" rtt = us ,", {"rtt": "us"}), ("packet_loss=percent", {"packet_loss": PERCENT})],
)
def test_units_of_a_deployment_are_a_list(text: str, units: dict[str, str]) -> None:
    assert parse_units(text) == units


@pytest.mark.parametrize(
    ("text", "why"),
    [("utilization", "a list of field=unit"), ("x=", "a list of field=unit"), ("speed=c", "field speed")],
)
def test_a_list_that_cannot_be_says_which_part(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        parse_units(text)
    assert caught.value.exit_code == 78


@given(st.floats(0, 100), st.floats(0, 100))
def test_order_is_kept_in_every_unit(a: float, b: float) -> None:
    low, high = sorted((a, b))
    kept = [
        column(ingest(NetworkIngest, said(NetworkIngest, "packet_loss", "packet_loss_percent", v, None)), "packet_loss")
        for v in (low, high)
    ]
    assert 0 <= kept[0] <= kept[1] <= 1
