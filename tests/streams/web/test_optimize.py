"""Requests for better parameters: what is taken, and what is refused with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from schemas.error import RecordError
from streams.settings import Settings
from streams.web.courier import Courier
from streams.web.guard import MAX_BODY_BYTES, guard
from streams.web.openapi import describe
from streams.web.optimize import OPTIMIZE, RECOMMENDATIONS, STATUS, add_optimize, check_request
from streams.web.problem import PROBLEM
from tests.streams.web.server import ask, serving

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
        ({"scope": "fleet/03"}, "enum", "'fleet'"),
        ({"scope": "fleet/3/1"}, "enum", "'fleet'"),
        ({"scope": "fleet/3\n"}, "enum", "'fleet'"),
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


def test_one_partition_may_be_asked() -> None:
    assert check_request(json.dumps(SENT | {"scope": "fleet/12"}).encode(), 0).scope == "fleet/12"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(RecordError):
        check_request(body, 0)


TOKEN = "a-token-of-the-test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The API as a worker without a page serves it; what is refused never gets to the broker."""
    settings = Settings.from_environment({"DWCP_WEB_TOKEN": TOKEN})
    pages = web.Application(client_max_size=MAX_BODY_BYTES)
    guard(pages, settings)
    app: Any = SimpleNamespace(settings=settings, web=SimpleNamespace(web_app=pages))
    add_optimize(app, Courier(settings), None)
    with serving(pages) as at:
        yield at


@pytest.mark.parametrize(
    ("body", "reason", "say"),
    [
        (b"{", "malformed", "truncated"),
        (json.dumps(SENT | {"current": HDE | {"acp_quorum_size": 8}}).encode(), "range", "3, 5, 7 and so on to 15"),
        (json.dumps(SENT | {"scope": "us-east"}).encode(), "enum", "'fleet'"),
        (json.dumps(SENT | {"current": {}}).encode(), "cross_field", "at least"),
    ],
)
def test_a_refusal_is_a_problem_that_says_what_would_do(port: int, body: bytes, reason: str, say: str) -> None:
    answer = ask(port, "POST", OPTIMIZE, body, **BEARER)
    assert (answer.status, answer.problem["status"], answer.problem["reason"]) == (400, 400, reason)
    assert say in answer.problem["detail"]


@pytest.mark.parametrize(("method", "path"), [("POST", OPTIMIZE), ("GET", STATUS), ("GET", RECOMMENDATIONS)])
def test_without_the_token_nothing_is_answered(port: int, method: str, path: str) -> None:
    answer = ask(port, method, path, b"{" if method == "POST" else None)
    assert (answer.status, answer.problem["status"]) == (401, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", [STATUS, RECOMMENDATIONS])
def test_a_worker_that_reads_no_outputs_says_so(port: int, path: str) -> None:
    answer = ask(port, "GET", path, **BEARER)
    assert answer.status == 404
    assert "DWCP_PAGE" in answer.problem["detail"]


def test_the_description_names_what_is_served_and_its_token() -> None:
    described = describe()
    served = {(path, method) for path, methods in described["paths"].items() for method in methods}
    assert {(OPTIMIZE, "post"), (STATUS, "get"), (RECOMMENDATIONS, "get")} <= served
    assert {"bearer": []} in described["security"]
    for path, method in served:
        answers = described["paths"][path][method]["responses"]
        assert all(set(a["content"]) == {PROBLEM} for status, a in answers.items() if status >= "400")
