"""What the system state publishes, as columns: scores and anomalies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.anomaly import ACTIONS, SEVERITIES, TYPES, top_contributors
from online_models.baseline import N_METRICS
from schemas.batch import Output
from schemas.system import METRICS, BaselineComparison

METHODS: Final = ("baseline", "half_space_trees", "warm_up")

THRESHOLD: Final = 0.5
"""Where the false-alarm budget is on the published score."""

_METHOD: Final = np.array(METHODS, object)


def score_records(columns: Mapping[str, NDArray[Any]], row: NDArray[np.intp], verdict: NDArray[Any]) -> Output:
    """Scores of the rows."""
    return Output(
        row,
        {
            "timestamp": columns["timestamp"][row],
            "node_id": columns["node_id"][row],
            "anomaly_score": verdict["score"],
            "threshold": np.full(len(row), THRESHOLD),
            "is_anomaly": verdict["anomalous"],
            "detection_method": _METHOD[verdict["method"]],
        },
    )


def anomaly_records(
    columns: Mapping[str, NDArray[Any]], row: NDArray[np.intp], x: NDArray[Any], verdict: NDArray[Any]
) -> Output:
    """Anomalies of the rows, with metrics `x` `[len(row), metric]` beside their baselines."""
    types = [TYPES[code] for code in verdict["type"].tolist()]
    return Output(
        row,
        {
            "timestamp": columns["timestamp"][row],
            "node_id": columns["node_id"][row],
            "anomaly_type": types,
            "severity": [SEVERITIES[code] for code in verdict["severity"].tolist()],
            "severity_score": verdict["severity_score"],
            "anomaly_score": verdict["score"],
            "detection_method": _METHOD[verdict["method"]],
            "top_contributing_features": [top_contributors(z) for z in verdict["z"]],
            "metrics": [dict(zip(METRICS, values.tolist(), strict=True)) for values in x],
            "baseline_comparison": [_compare(values, found) for values, found in zip(x, verdict, strict=True)],
            "recommended_actions": [list(ACTIONS[name]) for name in types],
        },
    )


def _compare(x: NDArray[Any], found: Any) -> dict[str, BaselineComparison]:
    """Every metric beside its baseline; deviation in % of the mean, 0 where the mean is 0."""
    mean, p95, z = found["mean"], found["p95"], found["z"]
    share = np.divide(100.0 * (x - mean), np.abs(mean), out=np.zeros(N_METRICS), where=np.abs(mean) > 1e-9)
    rows = zip(METRICS, x.tolist(), mean.tolist(), p95.tolist(), share.tolist(), z.tolist(), strict=True)
    return {name: BaselineComparison(*values) for name, *values in rows}
