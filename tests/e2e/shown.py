"""Records that a run of an hour does not come to: capacity, experiments, drift and tuning, as a fleet has them."""

from __future__ import annotations

import math

import msgspec

from schemas import header
from schemas.capacity import CapacityForecast, CapacityNeed, CapacityPlan
from schemas.drift import DriftAlert
from schemas.experiment import ExperimentResult, ExperimentState, MetricComparison
from schemas.optimizer import OptimizerRecommendation, OptimizerRollout, ParameterChange
from schemas.topic import (
    CAPACITY_FORECAST,
    CAPACITY_PLAN,
    DRIFT_ALERT,
    EXPERIMENT_RESULT,
    EXPERIMENT_STATE,
    OPTIMIZER_RECOMMENDATION,
    OPTIMIZER_ROLLOUT,
    Topic,
)
from streams.settings import Settings
from streams.sink import KafkaSink
from tests.streams.web.example import example

NOW = 1_767_578_400_000
HOUR = 3_600_000
DAY = 24 * HOUR
CROSSES = NOW + 12 * DAY


def capacity() -> list[tuple[Topic, msgspec.Struct]]:
    """Memory that reaches its critical level after 12 days, and CPU that does not."""
    made: list[tuple[Topic, msgspec.Struct]] = []
    for resource, slope in (("memory", 1.0), ("cpu", 0.1)):
        level = [70 + slope * h / 24 + 8 * math.sin(h * math.pi / 12) for h in range(720)]
        crossed = [1 / (1 + math.exp(-(x - 90))) for x in level]
        made.append((CAPACITY_FORECAST, example(
            CapacityForecast, id=f"capacity/{resource}", timestamp=NOW, scope="fleet", resource=resource,
            unit="percent", first_target_time=NOW, step_ms=HOUR,
            predicted=level, lower=[x - 5 for x in level], upper=[x + 5 for x in level],
            threshold=80.0, critical_threshold=90.0, threshold_probability=crossed, critical_probability=crossed,
        )))  # fmt: skip
    needs = {
        "memory": example(
            CapacityNeed, current=70.0, forecast=99.0, unit="percent", threshold=80.0, critical_threshold=90.0,
            exceeds_at=CROSSES, days_to_threshold=12.0, exceeds_probability=0.91, urgency="HIGH",
            recommended_action="add 20 % memory",
        ),
        "cpu": example(
            CapacityNeed, current=70.0, forecast=73.0, unit="percent", threshold=80.0, critical_threshold=90.0,
            exceeds_at=None, days_to_threshold=None, exceeds_probability=0.02, urgency="LOW", recommended_action="none",
        ),
    }  # fmt: skip
    plan = example(CapacityPlan, id="capacity/plan", timestamp=NOW, scope="fleet", horizon_days=30, needs=needs)
    return [*made, (CAPACITY_PLAN, plan)]


def experiments() -> list[tuple[Topic, msgspec.Struct]]:
    """One after its second look."""

    def metric(name: str, role: str, *lift: float) -> MetricComparison:
        return example(
            MetricComparison, metric=name, role=role, unit="Mbps", control=200.0, treatment=200 * (1 + lift[0] / 100),
            lift_pct=lift[0], lift_lower_pct=lift[1], lift_upper_pct=lift[2],
        )  # fmt: skip

    compared = [metric("throughput", "primary", 7.25, 1.5, 13.0), metric("latency", "guardrail", -0.4, -2.0, 1.2)]
    state = example(
        ExperimentState, id="experiment/1", timestamp=NOW, experiment_id="selector-2", status="running", ramp_pct=10,
        primary_metric="throughput",
    )  # fmt: skip
    result = example(
        ExperimentResult, id="experiment/1/2", timestamp=NOW, experiment_id="selector-2", look=2, looks_planned=28,
        comparisons=compared, decision="wait",
    )  # fmt: skip
    return [(EXPERIMENT_STATE, state), (EXPERIMENT_RESULT, result)]


def drift() -> list[tuple[Topic, msgspec.Struct]]:
    """What a model errs by and what it is asked, on some afternoon."""
    made: list[tuple[Topic, msgspec.Struct]] = []
    for at, (model, feature, statistic, value, threshold) in enumerate([
        ("bandwidth", "throughput_mbps", "adwin", 0.21, 0.2), ("bandwidth", "throughput_mbps", "adwin", 0.9, 0.2),
        ("bandwidth", "congestion_window", "psi", 0.67, 0.15), ("selector", "rtt_ms", "ks", 0.31, 0.1),
        ("selector", "rtt_ms", "ks", 0.12, 0.1),
    ]):  # fmt: skip
        made.append((DRIFT_ALERT, example(
            DriftAlert, id=f"drift/{at}", timestamp=NOW + at * HOUR, model=model, feature=feature, statistic=statistic,
            value=value, threshold=threshold,
        )))  # fmt: skip
    return made


def tuning() -> list[tuple[Topic, msgspec.Struct]]:
    """A recommendation whose rollout is at its second stage."""
    change = ParameterChange("hde_compression_level", "none", 5.0, 6.0, 1.0, 9.0)
    recommended = example(
        OptimizerRecommendation, id="tuning/1", timestamp=NOW, scope="fleet/3", changes=[change], improvement_pct=8.0,
        improvement_lower_pct=5.0, improvement_upper_pct=11.0, confidence=0.9,
    )  # fmt: skip
    rollout = example(
        OptimizerRollout, id="tuning/1/2", timestamp=NOW, recommendation_id="tuning/1", scope="fleet/3",
        status="advanced", stage_pct=25, changes=[change],
    )  # fmt: skip
    return [(OPTIMIZER_RECOMMENDATION, recommended), (OPTIMIZER_ROLLOUT, rollout)]


def send(settings: Settings) -> None:
    """Publish all of it."""
    sink = KafkaSink(settings.bootstrap)
    for topic, record in [*capacity(), *experiments(), *drift(), *tuning()]:
        headers = [(header.CONTENT_TYPE, header.JSON)]
        sink.send(settings.name_of(topic), [b"k"], [msgspec.json.encode(record)], [record.timestamp], [headers])  # type: ignore[attr-defined]
    sink.close()
