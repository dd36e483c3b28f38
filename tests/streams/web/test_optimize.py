"""Requests for better parameters: what is taken, and what is refused with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.error import RecordError
from streams.web.optimize import check_request

HDE = {"hde_compression_level": 6, "hde_chunk_size_bytes": 16_384, "hde_window_size_bytes": 524_288}
SENT = {"scope": "fleet", "current": HDE | {"acp_quorum_size": 5}}


def test_an_id_and_a_time_are_made_up_where_they_are_missing() -> None:
    one, other = (check_request(json.dumps(SENT).encode(), 1_767_571_204_015) for _ in range(2))
    assert (one.scope, one.timestamp, one.trigger) == ("fleet", 1_767_571_204_015, "operator")
    assert one.request_id != other.request_id
    named = check_request(json.dumps(SENT | {"request_id": "r", "timestamp": 5}).encode(), 7)
    assert (named.request_id, named.timestamp) == ("r", 5)


@pytest.mark.parametrize(
    ("change", "reason", "say"),
    [
        ({"scope": None}, "schema", "scope"),
        ({"scope": "us-east"}, "enum", "'fleet'"),
        ({"scope": "fleet/3"}, "enum", "'fleet'"),
        ({"current": {"warp_factor": 9}}, "enum", "hde_compression_level"),
        ({"current": HDE | {"hde_compression_level": 10}}, "range", "whole number from 1 to 9"),
        ({"current": HDE | {"hde_compression_level": 5.5}}, "range", "whole number from 1 to 9"),
        ({"current": HDE | {"hde_chunk_size_bytes": 1024.5}}, "range", "whole number from 1024 to 65536"),
        ({"current": HDE | {"acp_quorum_size": 8}}, "range", "3, 5, 7 and so on to 15"),
        ({"current": HDE | {"pba_confidence_threshold": 1}}, "range", "number from 0.5 to 0.99"),
        ({"current": {}}, "cross_field", "acp_timeout_ms, acp_batch_size, acp_quorum_size"),
        ({"current": {"hde_compression_level": 6}}, "cross_field", "no system whole"),
        ({"current": {"hde_compression_level": "much"}}, "schema", "current"),
        ({"max_cpu_pct": 101}, "schema", "max_cpu_pct"),
        ({"trigger": "boredom"}, "schema", "trigger"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_reason(change: dict[str, Any], reason: str, say: str) -> None:
    with pytest.raises(RecordError, match=say) as raised:
        check_request(json.dumps(SENT | change).encode(), 0)
    assert raised.value.reason == reason


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(RecordError):
        check_request(body, 0)
