"""Experiments: two versions of a model side by side on live requests, and what came of it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from schemas.field import Count, Identifier, PositiveCount, Ratio, TimestampMs

RAMP_PCT: Final = (1, 10, 50, 100)
"""Stages: the share of requests that the treatment gets."""

MIN_REQUESTS_PER_ARM: Final = 10_000

ExperimentStatus = Literal["running", "passed", "failed", "stopped", "rolled_back"]
ExperimentDecision = Literal["wait", "advance", "promote", "stop", "rollback"]
MetricRole = Literal["primary", "guardrail"]
RampPct = Annotated[int, Meta(ge=1, le=100, description="stage", extra_json_schema={"unit": "%"})]


class ExperimentState(Struct, frozen=True, gc=False):
    """Where an experiment stands: one record per change of stage or status.

    A request is in the treatment when the FNV-1a 32 hash of its `request_id` modulo
    100 is below `ramp_pct`, else in the control. `look_numbers` and `information` are of every
    look so far: what the boundary of the next one follows from, after a restart too.
    """

    id: Identifier
    timestamp: TimestampMs
    experiment_id: Identifier
    status: ExperimentStatus
    ramp_pct: RampPct
    model_name: Identifier
    control_version: Identifier
    treatment_version: Identifier
    primary_metric: Identifier
    started_at: TimestampMs
    stage_started_at: TimestampMs
    control_requests: Count
    treatment_requests: Count
    min_requests_per_arm: PositiveCount
    looks: Count
    reason: str = ""
    looks_planned: Count = 0
    look_numbers: list[int] | None = None
    information: list[float] | None = None


class MetricComparison(Struct, frozen=True, gc=False):
    """One metric in both arms; `lift_*` is treatment against control, with its 95 % interval."""

    metric: Identifier
    unit: Identifier
    role: MetricRole
    control: float
    treatment: float
    lift_pct: float
    lift_lower_pct: float
    lift_upper_pct: float
    p_value: Ratio
    p_boundary: Ratio
    passed: bool


class ExperimentResult(Struct, frozen=True, gc=False):
    """What one look at a running experiment found, and what was decided.

    Looks are few and planned: `p_boundary` is what a p-value must be below at this
    one, so that all looks together keep the experiment's level.
    """

    id: Identifier
    timestamp: TimestampMs
    experiment_id: Identifier
    look: PositiveCount
    looks_planned: PositiveCount
    control_requests: Count
    treatment_requests: Count
    sample_ratio_p_value: Ratio
    comparisons: list[MetricComparison]
    decision: ExperimentDecision
    reason: str
