"""The life of an alert: it opens, is updated, and is resolved, by the clock of its node or link alone.

Anomalous records of one node and type are one alert until none came for five minutes of
event time: the first opens it, one that is worse than any before or comes five minutes after the last word
updates it, and the node's first record after five quiet minutes resolves it. So a
replay says the same, and a node that fell silent keeps its alert until it speaks again.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.anomaly.rule import TYPES
from online_models.slot import row_dtype

QUIET_MS: Final = 5 * 60 * 1000
"""An alert lasts until its type was not seen for so long, and is repeated so often while it lasts."""

STATUSES: Final = ("open", "update", "resolved")
OPEN: Final = 0
UPDATE: Final = 1
RESOLVED: Final = 2


def alert_fields(types: int) -> tuple[tuple[str, str, tuple[int]], ...]:
    """Fields of a state kept here, by type; `alert_count` anomalous records so far, 0 without an alert."""
    names = ("alert_opened_at", "alert_seen_at", "alert_said_at", "alert_count", "alert_severity")
    return tuple((name, "i8", (types,)) for name in names)


ALERT: Final = alert_fields(len(TYPES))
"""Fields of a node's state."""

MOMENT: Final = row_dtype(
    ("row", "i8"),
    ("type", "i8"),
    ("status", "i8"),
    ("opened_at", "i8"),
    ("seen_at", "i8"),
    ("count", "i8"),
    ("severity", "i8"),
)
"""One thing to say of an alert, at a row of the batch."""


@njit(cache=True)
def resolve_alerts(node: Any, timestamp: int, row: int, moments: NDArray[Any], n: int) -> int:
    """End the node's alerts that were quiet long enough.

    Parameters
    ----------
    node
        A record with the fields of `ALERT`; updated.
    timestamp, row
        The node's next record.
    moments
        `[...]` of `MOMENT`; written from place `n` on.

    Returns
    -------
    How many moments there are now.
    """
    for k in range(len(node.alert_count)):
        if node.alert_count[k] > 0 and timestamp - node.alert_seen_at[k] >= QUIET_MS:
            n = _say(node, k, RESOLVED, row, moments, n)
            node.alert_count[k] = 0
    return n


@njit(cache=True)
def follow_alert(node: Any, kind: int, severity: int, timestamp: int, row: int, moments: NDArray[Any], n: int) -> int:
    """Take an anomalous record in; parameters and result as of `resolve_alerts`, `kind` a place among the types."""
    opens = node.alert_count[kind] == 0
    if opens:
        node.alert_opened_at[kind] = timestamp
        node.alert_severity[kind] = severity
    worse = severity > node.alert_severity[kind]
    due = timestamp - node.alert_said_at[kind] >= QUIET_MS
    node.alert_count[kind] += 1
    node.alert_seen_at[kind] = timestamp
    node.alert_severity[kind] = max(severity, node.alert_severity[kind])
    if opens or worse or due:
        node.alert_said_at[kind] = timestamp
        n = _say(node, kind, OPEN if opens else UPDATE, row, moments, n)
    return n


@njit(cache=True)
def _say(node: Any, kind: int, status: int, row: int, moments: NDArray[Any], n: int) -> int:
    said = moments[n]
    said.row = row
    said.type = kind
    said.status = status
    said.opened_at = node.alert_opened_at[kind]
    said.seen_at = node.alert_seen_at[kind]
    said.count = node.alert_count[kind]
    said.severity = node.alert_severity[kind]
    return n + 1


@njit(cache=True)
def count_moments(moments: NDArray[Any], count: NDArray[Any]) -> None:
    """Add to how many alerts were opened, and how many resolved, `[2]`."""
    for said in moments:
        if said.status == OPEN:
            count[0] += 1
        elif said.status == RESOLVED:
            count[1] += 1


def new_moments(rows: int, types: int = len(TYPES)) -> NDArray[Any]:
    """Room for all that so many records can bring: each can resolve all alerts and open one."""
    return np.zeros(rows * (types + 1), MOMENT)
