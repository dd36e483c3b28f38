"""What the system state publishes, as columns: scores, alerts, and what operators' words changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.anomaly.alert import RESOLVED, STATUSES
from online_models.anomaly.baseline import N_METRICS
from online_models.anomaly.feedback import Change
from online_models.anomaly.rule import ACTIONS, GROUPS, SEVERITIES, TYPES, top_contributors
from online_models.anomaly.verdict import METHODS, THRESHOLD
from schemas.batch import Control, Output, pick
from schemas.feedback import AnomalyFeedback, anomaly_of
from schemas.system import METRICS, BaselineComparison

_METHOD: Final = np.array(METHODS, object)


def score_records(columns: Mapping[str, NDArray[Any]], row: NDArray[np.intp], verdict: NDArray[Any]) -> Output:
    """Scores of the rows."""
    return Output(
        row,
        {
            "timestamp": pick(columns["timestamp"], row),
            "node_id": pick(columns["node_id"], row),
            "anomaly_score": verdict["score"],
            "threshold": [THRESHOLD] * len(row),
            "is_anomaly": verdict["anomalous"],
            "detection_method": _METHOD[verdict["method"]],
            "suppressed": verdict["suppressed"],
        },
    )


def alert_records(
    columns: Mapping[str, NDArray[Any]], moments: NDArray[Any], x: NDArray[Any], verdict: NDArray[Any]
) -> Output:
    """What there is to say of alerts, with metrics `x` `[row, metric]` beside their baselines.

    Ids end with the type, so that feedback which names one says its type; a resolution's is told from an
    alert that opens at the same record.
    """
    row = moments["row"]
    own = verdict[row]
    types = [TYPES[code] for code in moments["type"].tolist()]
    shared = alert_columns(columns, moments, own, types, columns["node_id"][row].tolist())
    return Output(
        row,
        {
            **shared,
            "detection_method": _METHOD[own["method"]],
            "top_contributing_features": [top_contributors(z) for z in own["z"]],
            "metrics": [dict(zip(METRICS, values.tolist(), strict=True)) for values in x[row]],
            "baseline_comparison": [_compare(values, found) for values, found in zip(x[row], own, strict=True)],
            "peer_id": [""] * len(row),
        },
        suffix=suffixes(moments, types),
    )


def alert_columns(
    columns: Mapping[str, NDArray[Any]], moments: NDArray[Any], found: NDArray[Any], types: list[str], of: list[str]
) -> dict[str, Any]:
    """What is said of alerts whatever they are of.

    Parameters
    ----------
    columns
        Of the batch.
    moments
        The alerts' moments, `[m]`.
    found
        What was found at each, with `severity_score` and `score`.
    types, of
        Names of their types, and of what they are of.
    """
    row, opened_at = moments["row"], moments["opened_at"].tolist()
    over = _over(moments)
    return {
        "timestamp": columns["timestamp"][row],
        "node_id": columns["node_id"][row],
        "anomaly_type": types,
        "severity": [SEVERITIES[code] for code in moments["severity"].tolist()],
        "severity_score": found["severity_score"],
        "anomaly_score": found["score"],
        "recommended_actions": [list(ACTIONS[name] * (not done)) for done, name in zip(over, types, strict=True)],
        "status": [STATUSES[code] for code in moments["status"].tolist()],
        "alert_id": [f"{one}/{at}:{name}" for one, at, name in zip(of, opened_at, types, strict=True)],
        "opened_at": moments["opened_at"],
        "last_seen_at": moments["seen_at"],
        "occurrences": moments["count"],
        "metric_group": [GROUPS[name] for name in types],
    }


def suffixes(moments: NDArray[Any], types: list[str]) -> list[str]:
    """Ends of the alerts' ids."""
    return [f"resolved.{name}" if done else name for done, name in zip(_over(moments), types, strict=True)]


def _over(moments: NDArray[Any]) -> list[bool]:
    return (moments["status"] == RESOLVED).tolist()  # type: ignore[no-any-return]


def change_records(control: Control, feedback: AnomalyFeedback, change: Change, true: int, false: int) -> Output:
    """What a word changed, beside how many anomalies of the type were called true and false."""
    kind = TYPES[change.type]
    named = anomaly_of(feedback)
    return Output(
        np.zeros(1, np.intp),
        {
            "timestamp": np.array([control.time_ms], np.int64),
            "anomaly_type": [kind],
            "metric_group": [GROUPS[kind]],
            "before": [change.before],
            "after": [change.after],
            "reason": [change.reason],
            "feedback": [named if isinstance(named, str) else f"{named[0]}@{named[1]}"],
            "operator": [feedback.operator],
            "comment": [feedback.comment],
            "false_positives": [false],
            "true_positives": [true],
        },
        key=[kind.encode()],
    )


def _compare(x: NDArray[Any], found: Any) -> dict[str, BaselineComparison]:
    """Every metric beside its baseline; deviation in % of the mean, 0 where the mean is 0."""
    mean, p95, z = found["mean"], found["p95"], found["z"]
    share = np.divide(100.0 * (x - mean), np.abs(mean), out=np.zeros(N_METRICS), where=np.abs(mean) > 1e-9)
    rows = zip(METRICS, x.tolist(), mean.tolist(), p95.tolist(), share.tolist(), z.tolist(), strict=True)
    return {name: BaselineComparison(*values) for name, *values in rows}
