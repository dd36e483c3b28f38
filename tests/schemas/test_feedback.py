"""Feedback names its anomaly in one of two ways, or is refused with what to send."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.codec import codec_of
from schemas.error import ValidationError
from schemas.feedback import AnomalyFeedback, anomaly_of

ID = "dwcp.system.raw.v1/1/243:system.anomaly"


def received(**sent: Any) -> AnomalyFeedback:
    (feedback,), rejected = codec_of(AnomalyFeedback).decode([msgspec.json.encode({"false_positive": True} | sent)])
    assert not rejected
    return feedback


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"anomaly_id": ID}, ID),
        ({"node_id": "n", "timestamp": 5}, ("n", 5)),
        ({"node_id": "n", "timestamp": 0}, ("n", 0)),
        ({"anomaly_id": ID, "node_id": "n"}, ID),
        ({"anomaly_id": ID, "node_id": "n", "timestamp": 5}, ID),
        ({"anomaly_id": ID, "unknown": [1]}, ID),
    ],
)
def test_both_ways_are_taken(sent: dict[str, Any], expected: object) -> None:
    assert anomaly_of(received(**sent)) == expected


@pytest.mark.parametrize("sent", [{}, {"node_id": "n"}, {"timestamp": 5}, {"anomaly_id": "", "node_id": "n"}])
def test_naming_no_anomaly_is_an_error_that_says_what_to_send(sent: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="send anomaly_id, or node_id and timestamp") as raised:
        anomaly_of(received(**sent))
    assert raised.value.reason == "cross_field"


def test_the_verdict_has_to_be_given() -> None:
    _, ((_, error),) = codec_of(AnomalyFeedback).decode([msgspec.json.encode({"anomaly_id": ID})])
    assert (error.reason, "false_positive" in str(error)) == ("schema", True)
