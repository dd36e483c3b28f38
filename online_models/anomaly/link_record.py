"""What the watch over links publishes, as columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.anomaly.link_baseline import LINK_HARM, LINK_METRICS, N_LINK_METRICS, OFFSET
from online_models.anomaly.record import alert_columns, suffixes
from schemas.batch import Output
from schemas.feedback import OF_LINK
from schemas.key import key_of
from schemas.system import BaselineComparison

LINK_TYPES: Final = ("latency_spike", "throughput_drop", "error_burst", "unknown")
"""Types of anomaly that a link can have, checked in this order."""

FOUND: Final = np.dtype(
    [
        ("score", "f8"),
        ("type", "i8"),
        ("severity", "i8"),
        ("severity_score", "f8"),
        ("z", "f8", (N_LINK_METRICS,)),
        ("level", "f8", (N_LINK_METRICS,)),
        ("variance", "f8", (N_LINK_METRICS,)),
        ("anomalous", "?"),
        ("suppressed", "?"),
    ],
    align=True,
)
"""What was found for a row; level and variance are of the logarithms, before it."""

METHOD: Final = "link_baseline"

_NORMAL_P95: Final = 1.645


def link_alert_records(
    columns: Mapping[str, NDArray[Any]], moments: NDArray[Any], x: NDArray[Any], found: NDArray[Any]
) -> Output:
    """What there is to say of alerts, with metrics `x` `[row, metric]` beside their baselines.

    As `system_record.alert_records`; ids say that they are of a link.
    """
    row = moments["row"]
    own = found[row]
    types = [LINK_TYPES[code] for code in moments["type"].tolist()]
    node, peer = columns["node_id"][row], columns["peer_id"][row]
    link = [key_of(*ends).decode() for ends in zip(node.tolist(), peer.tolist(), strict=True)]
    return Output(
        row,
        {
            **alert_columns(columns, moments, own, types, link),
            "detection_method": [METHOD] * len(row),
            "top_contributing_features": [_top(z) for z in own["z"]],
            "metrics": [dict(zip(LINK_METRICS, values.tolist(), strict=True)) for values in x[row]],
            "baseline_comparison": [_compare(values, one) for values, one in zip(x[row], own, strict=True)],
            "peer_id": peer,
        },
        suffix=[f"{OF_LINK}.{end}" for end in suffixes(moments, types)],
    )


def _top(z: NDArray[Any], size: int = 5) -> list[str]:
    return [LINK_METRICS[j] for j in np.argsort(-z * LINK_HARM, kind="stable")[:size]]


def _compare(x: NDArray[Any], found: Any) -> dict[str, BaselineComparison]:
    """Every metric beside its level and the 95th percentile that spread implies; deviation in % of the level."""
    level = np.maximum(np.exp(found["level"]) - OFFSET, 0.0)
    p95 = np.maximum(np.exp(found["level"] + _NORMAL_P95 * np.sqrt(found["variance"])) - OFFSET, 0.0)
    share = np.divide(100.0 * (x - level), level, out=np.zeros(N_LINK_METRICS), where=level > 1e-9)
    rows = zip(LINK_METRICS, x.tolist(), level.tolist(), p95.tolist(), share.tolist(), found["z"].tolist(), strict=True)
    return {name: BaselineComparison(*values) for name, *values in rows}
