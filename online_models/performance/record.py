"""Records of the collector and of the degradation predictor."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.performance.input import INPUT_NAMES, TARGET
from schemas.batch import Output
from schemas.performance import HORIZON_STEPS, PERFORMANCE_FEATURES
from schemas.system import METRICS

FEATURE_SCHEMA: Final = blake2b(" ".join(PERFORMANCE_FEATURES).encode(), digest_size=8).hexdigest()
"""Digest of the features' names and order."""

ACTIONS: Final = {
    "latency": "Move transfers away from the node until its latency is back under the objective.",
    "throughput": "Check the node's links and the number of streams it carries.",
    "error": "Look for failing transfers on the node, and retry them from another one.",
    "cpu": "Lower the compression level, or move work from the node: its CPU drives this.",
    "memory": "Make the delta window smaller, or move work from the node: its memory drives this.",
    "disk": "Spread disk transfers of the node over more time.",
    "network": "Lower the pacing rate of the node's transfers.",
    "compression": "Refresh the baselines that the node's deltas are against.",
    "prediction": "Fall back to the heuristic on the node until predictions are accurate again.",
    "consensus": "Check the consensus time-out and the quorum's members near the node.",
}
"""What to do, by the first word of the metric that drives a prediction."""

LIKELY: Final = 0.5
"""Probability from which a breach is expected and something is recommended."""


def feature_records(columns: Any, about: NDArray[Any], features: NDArray[np.float64]) -> Output:
    """The 27 features of each metric.

    Parameters
    ----------
    columns
        Of the batch.
    about
        `[m]` of `online_models.collector.buffer.ABOUT`.
    features
        `[m, metric, 27]`.
    """
    row = about["row"].astype(np.intp)
    return Output(
        row,
        {
            "timestamp": columns["timestamp"][row],
            "node_id": columns["node_id"][row],
            "feature_schema": [FEATURE_SCHEMA] * len(row),
            "samples": about["samples"],
            "features": [dict(zip(METRICS, one, strict=True)) for one in features.tolist()],
        },
    )


def prediction_records(
    columns: Any,
    row: NDArray[np.intp],
    answer: NDArray[Any],
    objective_ms: float,
    names: list[str],
    versions: list[str],
) -> Output:
    """Degradation predictions.

    Parameters
    ----------
    columns
        Of the batch.
    row
        Rows that are answered, `[m]`.
    answer
        `[m]` of `online_models.performance.state.ANSWER`.
    objective_ms
        Of the latency.
    names, versions
        Of the models that answered, `m` each.
    """
    time_ms = columns["timestamp"][row]
    drivers = [[INPUT_NAMES[k] for k in found if k >= 0] for found in answer["driver"].tolist()]
    likely = (answer["probability"] >= LIKELY).tolist()
    return Output(
        row,
        {
            "timestamp": time_ms,
            "node_id": columns["node_id"][row],
            "target_time": time_ms + HORIZON_STEPS * answer["step_ms"],
            "forecast_horizon": [HORIZON_STEPS] * len(row),
            "step_ms": answer["step_ms"],
            "latency_objective_ms": [float(objective_ms)] * len(row),
            "degradation_probability": answer["probability"],
            "predicted_metrics": [{TARGET: values} for values in answer["predicted"].tolist()],
            "confidence": answer["confidence"],
            "top_contributing_features": drivers,
            "recommendations": [recommend(found) if now else [] for found, now in zip(drivers, likely, strict=True)],
            "model_name": names,
            "model_version": versions,
            "optimal_allocation": [None] * len(row),
            "expected_performance": [None] * len(row),
            "cost_estimate": [None] * len(row),
        },
    )


def recommend(drivers: list[str]) -> list[str]:
    """What to do about a breach with these drivers, most important first, each once.

    >>> recommend(["cpu_usage:current", "cpu_usage:mean_5"])
    ['Lower the compression level, or move work from the node: its CPU drives this.']
    """
    words = [name.partition("_")[0] for name in drivers]
    return [ACTIONS[word] for word in dict.fromkeys(words or ["latency"])]
