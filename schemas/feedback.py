"""What operators say of anomalies, and what it changed."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.error import ValidationError
from schemas.field import Count, Identifier, OptionalIdentifier, TimestampMs
from schemas.system import ANOMALY_TYPES, AnomalyType, MetricGroup

EVERY_NODE: Final = "*"
"""`node_id` of a maintenance window of all nodes."""

OF_LINK: Final = "link"
"""What comes before the type in ids of links' anomalies."""

Factor = Annotated[float, Meta(description="factor", extra_json_schema={"unit": "1"}, gt=0, le=100)]


class AnomalyFeedback(Struct, frozen=True, gc=False):
    """Whether an anomaly was one; it is named by its id, or by its node and time.

    Both are as they stand in the anomaly's record, so `timestamp` is its event time. An id
    ends with the anomaly's type; without one, `anomaly_type` says it, else it counts as `unknown`.
    With `undo`, the word given earlier on the same anomaly is taken back.

    With `maintenance_until` it is a word ahead: whatever the node (`*`: every node) shows from
    `timestamp` until then is a false positive, and is not alerted. `undo` ends such a window.
    """

    false_positive: bool
    anomaly_id: OptionalIdentifier = ""
    node_id: OptionalIdentifier = ""
    timestamp: TimestampMs | None = None
    given_at: TimestampMs | None = None
    operator: OptionalIdentifier = ""
    comment: str = ""
    anomaly_type: AnomalyType | None = None
    undo: bool = False
    maintenance_until: TimestampMs | None = None


class ThresholdChange(Struct, frozen=True, gc=False):
    """What a word of feedback did: one record per word, also where nothing moved.

    `before` and `after` are factors on the threshold of `anomaly_type`: 1 without feedback. For a
    maintenance window nothing moves, and `reason` says from when to when it lasts.
    """

    id: Identifier
    timestamp: TimestampMs
    anomaly_type: AnomalyType
    metric_group: MetricGroup
    before: Factor
    after: Factor
    reason: str
    feedback: Identifier
    operator: OptionalIdentifier
    comment: str
    false_positives: Count
    true_positives: Count


def anomaly_of(feedback: AnomalyFeedback) -> Identifier | tuple[Identifier, TimestampMs]:
    """Which anomaly is meant: its id, or its node and event time where no id was given.

    Raises
    ------
    ValidationError
        When neither was given in full.

    >>> anomaly_of(AnomalyFeedback(False, node_id="host-1", timestamp=1_767_571_204_015))
    ('host-1', 1767571204015)
    """
    if feedback.anomaly_id:
        return feedback.anomaly_id
    if feedback.node_id and feedback.timestamp is not None:
        return feedback.node_id, feedback.timestamp
    raise ValidationError("cross_field", "no anomaly is named: send anomaly_id, or node_id and timestamp")


def type_of(feedback: AnomalyFeedback) -> AnomalyType:
    """The type of the anomaly that is meant: as its id ends, else as the feedback says, else `unknown`.

    >>> type_of(AnomalyFeedback(True, "dwcp.system.raw.v1/1/243:system.anomaly.latency_spike"))
    'latency_spike'
    """
    ending = feedback.anomaly_id.rpartition(".")[2].rpartition(":")[2]
    if ending in ANOMALY_TYPES or ending == "unknown":
        return ending  # type: ignore[return-value]
    return feedback.anomaly_type or "unknown"


def about_link(feedback: AnomalyFeedback) -> bool:
    """Whether the anomaly that is meant is a link's; one named by node and time is the node's.

    >>> about_link(AnomalyFeedback(True, "dwcp.network.raw.v1/1/2:system.anomaly.link.latency_spike"))
    True
    """
    return f".{OF_LINK}." in feedback.anomaly_id.rpartition(":")[2]


def check_feedback(feedback: AnomalyFeedback) -> None:
    """Check what the fields say together.

    Raises
    ------
    ValidationError
        When no anomaly is named, or a maintenance window is not one.
    """
    if feedback.maintenance_until is None:
        anomaly_of(feedback)
        return
    if not feedback.node_id or feedback.timestamp is None:
        raise ValidationError("cross_field", "maintenance of which node, and from when? send node_id and timestamp")
    if not feedback.false_positive:
        raise ValidationError("cross_field", "what shows in maintenance is a false positive: send false_positive true")
    if feedback.maintenance_until <= feedback.timestamp:
        raise ValidationError("cross_field", "maintenance_until must be after timestamp, where the window begins")
