"""Capacity's records say how urgent, from when on, in which unit."""

from __future__ import annotations

import msgspec
import pytest

from schemas.avro.schema import schema_of
from schemas.capacity import RESOURCES, THRESHOLDS, CapacityNeed, CapacityPlan, urgency_of
from schemas.codec import codec_of

NEED = CapacityNeed(
    current=72.0, forecast=87.0, unit="percent", threshold=75.0, critical_threshold=85.0, exceeds_at=None,
    days_to_threshold=None, exceeds_probability=0.1, urgency="LOW", add_pct=0.0, cost_estimate=0.0,
    recommended_action="none",
)  # fmt: skip
PLAN = CapacityPlan("i", 1, "s", 2, 30, {"storage": NEED}, 0.0, "USD/month", [], [], 0.9)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (0.0, "URGENT"),
        (6.99, "URGENT"),
        (7.0, "HIGH"),
        (13.99, "HIGH"),
        (14.0, "MEDIUM"),
        (29.99, "MEDIUM"),
        (30.0, "LOW"),
        (None, "LOW"),
    ],
)
def test_urgency_follows_from_the_days_left(days: float | None, expected: str) -> None:
    assert urgency_of(days) == expected


def test_every_resource_but_the_request_rate_has_levels_in_order() -> None:
    assert set(RESOURCES) - set(THRESHOLDS) == {"request_rate"}
    assert all(warning < critical for warning, critical in THRESHOLDS.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "GB"}, "unit"),
        ({"urgency": "urgent"}, "urgency"),
        ({"exceeds_probability": 1.1}, "exceeds_probability"),
        ({"forecast": -1.0}, "forecast"),
        ({"days_to_threshold": "soon"}, "days_to_threshold"),
    ],
)
def test_a_need_outside_its_contract_is_refused(change: dict[str, object], message: str) -> None:
    plan = msgspec.to_builtins(PLAN)
    plan["needs"]["storage"] |= change
    records, ((_, error),) = codec_of(CapacityPlan).decode([msgspec.json.encode(plan)])
    assert (records, error.reason) == ([], "schema")
    assert message in str(error)


def test_resources_are_open_and_units_are_closed() -> None:
    needs = next(f for f in schema_of(CapacityPlan)["fields"] if f["name"] == "needs")["type"]["values"]
    unit = next(f for f in needs["fields"] if f["name"] == "unit")["type"]
    assert unit["symbols"] == ["percent", "ms"]
    plan = msgspec.structs.replace(PLAN, needs={"gpu": NEED})
    assert codec_of(CapacityPlan).decode([msgspec.json.encode(plan)]) == ([plan], [])
