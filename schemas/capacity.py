"""Capacity: forecasts of resources, the plans made of them, and alerts.

A scope is what runs out together: a node, or a group of nodes. Resources are in
percent of what the scope has, latency in ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from schemas.field import Amount, Count, Identifier, PositiveCount, Ratio, TargetTimeMs, TimestampMs

RESOURCES: Final = ("cpu", "memory", "network", "storage", "request_rate", "latency")
"""What is forecast by default; more by configuration, so that `resource` is open."""

THRESHOLDS: Final[Mapping[str, tuple[float, float]]] = {
    "cpu": (75.0, 85.0),
    "memory": (80.0, 90.0),
    "network": (70.0, 85.0),
    "storage": (75.0, 85.0),
    "latency": (200.0, 500.0),
}
"""Warning and critical level by resource, % or ms; that of the request rate is configured."""

HORIZON_DAYS: Final = 30
BUFFER_PCT: Final = 20.0
"""What a plan adds beyond what is forecast to be needed."""

CapacityUnit = Literal["percent", "ms"]
Urgency = Literal["URGENT", "HIGH", "MEDIUM", "LOW"]

_URGENT_DAYS: Final[Mapping[Urgency, float]] = {"URGENT": 7.0, "HIGH": 14.0, "MEDIUM": 30.0}


def urgency_of(days: float | None) -> Urgency:
    """How urgent a resource is, from the days until it crosses its critical threshold; None: it does not.

    >>> urgency_of(6.9), urgency_of(7.0), urgency_of(None)
    ('URGENT', 'HIGH', 'LOW')
    """
    return next((urgency for urgency, limit in _URGENT_DAYS.items() if days is not None and days < limit), "LOW")


class CapacityForecast(Struct, frozen=True, gc=False):
    """One resource of one scope over the days ahead, with 95 % intervals.

    The lists have one value per step: the first is at `first_target_time`, each
    further one `step_ms` later. Probabilities are of having crossed a threshold by then.
    """

    id: Identifier
    timestamp: TimestampMs
    scope: Identifier
    resource: Identifier
    unit: CapacityUnit
    model_name: Identifier
    model_version: Identifier
    history_points: Count
    first_target_time: TargetTimeMs
    step_ms: PositiveCount
    predicted: list[float]
    lower: list[float]
    upper: list[float]
    threshold: Amount
    critical_threshold: Amount
    threshold_probability: list[float]
    critical_probability: list[float]
    mase: Amount | None = None
    coverage: Ratio | None = None


class CapacityNeed(Struct, frozen=True, gc=False):
    """What one resource needs within the plan's horizon."""

    current: Amount
    forecast: Amount
    unit: CapacityUnit
    threshold: Amount
    critical_threshold: Amount
    exceeds_at: TargetTimeMs | None
    days_to_threshold: Amount | None
    exceeds_probability: Ratio
    urgency: Urgency
    add_pct: Amount
    cost_estimate: Amount
    recommended_action: str


class CapacityStep(Struct, frozen=True, gc=False):
    """One action of a plan, and when it is due."""

    due: TargetTimeMs
    resource: Identifier
    urgency: Urgency
    action: str


class CapacityPlan(Struct, frozen=True, gc=False):
    """What one scope needs in the days ahead, by resource; what it costs, and what to do when."""

    id: Identifier
    timestamp: TimestampMs
    scope: Identifier
    generated_at: TimestampMs
    horizon_days: PositiveCount
    needs: dict[str, CapacityNeed]
    cost_estimate: Amount
    cost_unit: Identifier
    timeline: list[CapacityStep]
    risks: list[str]
    confidence: Ratio


class CapacityAlert(Struct, frozen=True, gc=False):
    """A resource whose urgency changed, or that left its forecast.

    `urgency` alerts compare with `previous_urgency`, `divergence` alerts compare
    `current` with `forecast`, what was forecast for the same time.
    """

    id: Identifier
    timestamp: TimestampMs
    scope: Identifier
    resource: Identifier
    reason: Literal["urgency", "divergence"]
    urgency: Urgency
    previous_urgency: Urgency | None
    unit: CapacityUnit
    current: Amount
    forecast: Amount
    divergence_pct: float
    threshold: Amount
    critical_threshold: Amount
    exceeds_at: TargetTimeMs | None
    days_to_threshold: Amount | None
    exceeds_probability: Ratio
    recommended_action: str
