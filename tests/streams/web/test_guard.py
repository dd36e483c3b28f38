"""Who may ask what, and that errors say nothing of our insides."""

from __future__ import annotations

import logging

import pytest

from streams.web.guard import MAX_BODY_BYTES
from tests.streams.web.server import ask, guarded, serving

TOKEN = "a-token-of-the-test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("environment", "method", "path", "headers", "status"),
    [
        ({}, "GET", "/api/v3/show", {}, 200),
        ({}, "POST", "/api/v3/take", {}, 200),
        ({}, "GET", "/api/v3/show", {"Host": "localhost:1"}, 200),
        ({}, "GET", "/api/v3/show", {"Host": "evil.example"}, 403),  # DNS rebinding
        ({}, "GET", "/health/live", {"Host": "evil.example"}, 200),
        ({}, "GET", "/api/v3/show", {"Host": "["}, 400),
        ({}, "POST", "/api/v3/take", {"Origin": "https://evil.example"}, 403),
        ({}, "POST", "/api/v3/take", {"Origin": "null"}, 403),
        ({"DWCP_WEB_TOKEN": TOKEN}, "GET", "/api/v3/show", {}, 401),
        ({"DWCP_WEB_TOKEN": TOKEN}, "GET", "/api/v3/show", BEARER, 200),
        ({"DWCP_WEB_TOKEN": TOKEN}, "POST", "/api/v3/take", BEARER, 200),
        ({"DWCP_WEB_TOKEN": TOKEN}, "GET", "/api/v3/show", {**BEARER, "Host": "worker-1:6066"}, 200),
        ({"DWCP_WEB_TOKEN": TOKEN}, "GET", "/api/v3/show", {"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"DWCP_WEB_TOKEN": TOKEN}, "GET", "/api/v3/show", {"Authorization": "Bearer \xe9"}, 401),
        ({"DWCP_WEB_TOKEN": TOKEN}, "GET", "/health/live", {}, 200),
        ({"DWCP_WEB_TOKEN": TOKEN}, "POST", "/health/../api/v3/take", {}, 404),
        ({"DWCP_WEB_HOST": "0.0.0.0"}, "GET", "/api/v3/show", {"Host": "worker-1:6066"}, 200),
        ({"DWCP_WEB_HOST": "0.0.0.0"}, "POST", "/api/v3/take", {}, 403),
        ({"DWCP_WEB_HOST": "0.0.0.0", "DWCP_WEB_TOKEN": TOKEN}, "POST", "/api/v3/take", BEARER, 200),
        ({}, "GET", "/api/v3/nothing", {}, 404),
        ({}, "DELETE", "/api/v3/take", {}, 405),
    ],
)
def test_who_may_ask_what(
    environment: dict[str, str], method: str, path: str, headers: dict[str, str], status: int
) -> None:
    with serving(guarded(environment)) as port:
        answer = ask(port, method, path, b"{}" if method == "POST" else None, **headers)
    assert answer.status == status
    if status >= 400:
        assert answer.problem["status"] == status
        assert answer.problem["detail"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("length", "status"), [(MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413)])
def test_a_body_is_limited(length: int, status: int) -> None:
    with serving(guarded({})) as port:
        assert ask(port, "POST", "/api/v3/take", b"x" * length).status == status


def test_a_bug_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), serving(guarded({})) as port:
        answer = ask(port, "GET", "/api/v3/fail")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    assert "a secret inside" in caplog.text
