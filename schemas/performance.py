"""Performance: feature vectors of a node's metrics, and the degradation predicted from them."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from schemas.field import Amount, DurationMs, Identifier, PositiveCount, Ratio, TargetTimeMs, TimestampMs

QUANTILES: Final = (0.05, 0.25, 0.50, 0.75, 0.95, 0.99)
LAGS: Final = (1, 2, 3, 6, 12)
"""In samples; at the usual 5 s from 5 s to a minute."""

PERFORMANCE_FEATURES: Final = (
    "hour_of_day",
    "day_of_week",
    "minutes_since_spike",
    "mean",
    "std",
    "min",
    "max",
    *(f"q{100 * q:02.0f}" for q in QUANTILES),
    "skewness",
    "kurtosis",
    "dominant_frequency_hz",
    "spectral_entropy",
    *(f"lag_{k}" for k in LAGS),
    *(f"diff_{k}" for k in LAGS),
)
"""The 27 features of one metric, in the order of every vector. Hours and days are UTC, Monday = 0."""

HORIZON_STEPS: Final = 5


class PerformanceFeatures(Struct, frozen=True, gc=False):
    """The 27 features of each of a node's metrics, over the samples its buffer holds.

    What a short buffer cannot say is 0, lags that reach beyond it are its oldest value.
    """

    id: Identifier
    timestamp: TimestampMs
    node_id: Identifier
    feature_schema: Identifier
    samples: PositiveCount
    features: dict[str, list[float]]


class DegradationPrediction(Struct, frozen=True, gc=False):
    """How likely a node's latency breaks its objective within the horizon, and why.

    Lists have one value per step: the first is `step_ms` after `timestamp`, the last
    at `target_time`. The allocation and what follows from it are there on request only, in a record of
    their own: `dwcp capacity allocate --publish` repeats the newest prediction with them.
    """

    id: Identifier
    timestamp: TimestampMs
    node_id: Identifier
    target_time: TargetTimeMs
    forecast_horizon: PositiveCount
    step_ms: PositiveCount
    latency_objective_ms: DurationMs
    degradation_probability: Ratio
    predicted_metrics: dict[str, list[float]]
    confidence: Ratio
    top_contributing_features: list[str]
    recommendations: list[str]
    model_name: Identifier
    model_version: Identifier
    optimal_allocation: dict[str, float] | None = None
    expected_performance: dict[str, float] | None = None
    cost_estimate: Amount | None = None
    allocation_confidence: Ratio | None = None
    allocation_reason: str | None = None
