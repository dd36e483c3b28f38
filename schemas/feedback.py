"""What operators say of anomalies."""

from __future__ import annotations

from msgspec import Struct

from schemas.error import ValidationError
from schemas.field import Identifier, OptionalIdentifier, TimestampMs


class AnomalyFeedback(Struct, frozen=True, gc=False):
    """Whether an anomaly was one; it is named by its id, or by its node and time.

    Both are as they stand in the anomaly's record, so `timestamp` is its event time.
    """

    false_positive: bool
    anomaly_id: OptionalIdentifier = ""
    node_id: OptionalIdentifier = ""
    timestamp: TimestampMs | None = None
    given_at: TimestampMs | None = None
    operator: OptionalIdentifier = ""
    comment: str = ""


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
