"""Feedback over HTTP: what is taken, what is refused, and that it reaches the topic."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.error import RecordError
from schemas.feedback import AnomalyFeedback
from schemas.topic import SYSTEM_FEEDBACK
from streams.embedded import EmbeddedBroker
from streams.recording.log import Log
from streams.settings import Settings
from streams.web.feedback import PATH, check_word, problem_of
from tests.e2e.harness import QUICK, Worker

ID = "dwcp.system.raw.v1/1/243:system.anomaly.latency_spike"


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ({"false_positive": True, "anomaly_id": ID}, None),
        ({"false_positive": False, "node_id": "a:b", "timestamp": 5}, b"a%3Ab"),
        ({"false_positive": True, "node_id": "n", "timestamp": 5, "maintenance_until": 6}, b"n"),
        ({"false_positive": True, "anomaly_id": ID, "undo": True, "operator": "night-shift"}, None),
    ],
)
def test_a_word_is_taken_as_it_is(sent: dict[str, Any], key: bytes | None) -> None:
    word = check_word(json.dumps(sent).encode())
    assert word.key == key
    assert msgspec.json.decode(word.value, type=AnomalyFeedback) == msgspec.convert(sent, AnomalyFeedback)


@pytest.mark.parametrize(
    ("body", "reason", "say"),
    [
        (b"", "empty", ""),
        (b"{", "malformed", ""),
        (b"{}", "schema", "false_positive"),
        (b'{"false_positive": true}', "cross_field", "send anomaly_id"),
        (b'{"false_positive": 1, "anomaly_id": "x"}', "schema", "false_positive"),
        (b'{"false_positive": true, "node_id": "n", "maintenance_until": 5}', "cross_field", "from when"),
    ],
)
def test_what_is_no_word_is_a_problem_that_says_why(body: bytes, reason: str, say: str) -> None:
    with pytest.raises(RecordError) as raised:
        check_word(body)
    problem = problem_of(raised.value)
    assert problem["status"] == 400
    assert problem["reason"] == reason
    assert say in problem["detail"]


def _post(port: int, body: bytes) -> tuple[int, str, dict[str, Any]]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{PATH}", data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers.get_content_type(), json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, exc.headers.get_content_type(), json.load(exc)


def test_a_posted_word_is_on_the_topic(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker:
        settings = Settings.from_environment({"BROKER_URL": broker.address})
        worker = Worker({"BROKER_URL": broker.address, **QUICK}, tmp_path)
        try:
            worker.wait_ready(timeout_s=120)
            sent = {"false_positive": True, "anomaly_id": ID, "operator": "night-shift"}
            status, kind, answer = _post(worker.port, json.dumps(sent).encode())
            assert (status, kind, answer["status"]) == (202, "application/json", "accepted")
            status, kind, problem = _post(worker.port, b"{}")
            assert (status, kind) == (400, "application/problem+json")
            assert "false_positive" in problem["detail"]
            assert worker.stop() == 0, worker.tail()
        finally:
            worker.kill()
        with Log(settings, [settings.name_of(SYSTEM_FEEDBACK)]) as log:
            (record,) = log.read()
        assert msgspec.json.decode(record.value, type=AnomalyFeedback) == msgspec.convert(sent, AnomalyFeedback)
