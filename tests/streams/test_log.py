"""Log lines: one JSON object each, one per decision at debug, and nothing built for those that nobody is shown."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from schemas import header
from schemas.codec import codec_of
from schemas.topic import (
    COMPRESSION_PREDICTION,
    NETWORK_FORECAST,
    OPTIMIZER_ROLLOUT,
    SYSTEM_ANOMALY,
    SYSTEM_SCORE,
    Topic,
)
from streams.decision import DECISIONS, LOGGER, log_decisions, log_level
from streams.log import configure_logging, logging_config
from streams.message import Messages
from streams.settings import Settings
from streams.wire import Wire
from tests.streams.web.example import example

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HEADERS: header.Headers = [(header.ORIGIN, b"raw/1/7"), (header.TRACEPARENT, PARENT), (header.CE_ID, b"raw/1/7:k")]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger(LOGGER)
    before = (root.handlers[:], root.level, own.handlers[:], own.level, own.propagate, root.manager.disable)
    yield
    root.handlers[:], root.level, own.handlers[:], own.level, own.propagate, disabled = before
    logging.disable(disabled)
    root.setLevel(before[1])


def settings(**more: str) -> Settings:
    return Settings.from_environment(more)


def configured(monkeypatch: pytest.MonkeyPatch, **environment: str) -> io.StringIO:
    """Logging as a process of ours has it, and where its lines go."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    logging.getLogger().handlers.clear()
    configure_logging(settings(**environment))
    return out


def decide(topic: Topic) -> None:
    assert topic.record is not None
    changed = {"stage_pct": 5} if topic is OPTIMIZER_ROLLOUT else {}  # the plainest number is none of its stages
    body = msgspec.json.encode(example(topic.record, **changed))
    log_decisions(topic, codec_of(topic.record), Messages.of([b"a:b"], [body], [HEADERS]))


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("topic", sorted(DECISIONS, key=lambda t: t.name), ids=lambda t: t.kind)
def test_a_decision_is_one_line_of_json_whatever_the_format(
    monkeypatch: pytest.MonkeyPatch, topic: Topic, form: str
) -> None:
    out = configured(monkeypatch, DWCP_LOG_LEVEL="debug", DWCP_LOG_FORMAT=form)
    decide(topic)
    (line,) = out.getvalue().splitlines()
    said = json.loads(line)
    assert said.pop("time").endswith("Z")
    decision = said.pop("decision")
    assert said == {
        "level": "debug", "logger": LOGGER, "message": topic.kind, "kind": topic.kind, "id": "raw/1/7:k",
        "origin": "raw/1/7", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "key": "a:b",
    }  # fmt: skip
    assert topic.record is not None
    assert decision.keys() == set(topic.record.__struct_fields__)


def test_what_decides_nothing_has_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out = configured(monkeypatch, DWCP_LOG_LEVEL="debug")
    decide(SYSTEM_SCORE)
    assert out.getvalue() == ""


class Unread:
    """Fails whoever reads with it."""

    def decode(self, _: Any) -> Any:
        raise AssertionError("a line was built that nobody is shown")


@pytest.mark.parametrize("level", ["info", "warning", "error", "critical"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_is_built_above_debug(monkeypatch: pytest.MonkeyPatch, level: str, form: str) -> None:
    out = configured(monkeypatch, DWCP_LOG_LEVEL=level, DWCP_LOG_FORMAT=form)
    log_decisions(NETWORK_FORECAST, Unread(), Messages.of([b"k"], [b"v"], [HEADERS]))  # type: ignore[arg-type]
    assert out.getvalue() == ""
    assert logging.root.manager.disable == logging.DEBUG


def test_decisions_in_avro_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    out = configured(monkeypatch, DWCP_LOG_LEVEL="debug")
    codec = Wire(settings(DWCP_OUTPUT_FORMAT="avro")).codec(COMPRESSION_PREDICTION)
    assert COMPRESSION_PREDICTION.record is not None
    one = example(COMPRESSION_PREDICTION.record, algorithm="AMST")
    columns = {name: [getattr(one, name)] for name in one.__struct_fields__}
    log_decisions(COMPRESSION_PREDICTION, codec, Messages.of([None], codec.encode(columns), [HEADERS]))
    said = json.loads(out.getvalue())
    assert said["decision"]["algorithm"] == "AMST"
    assert "key" not in said


def test_what_cannot_be_read_again_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    out = configured(monkeypatch, DWCP_LOG_LEVEL="debug")
    record = SYSTEM_ANOMALY.record
    assert record is not None
    values = [b"{", msgspec.json.encode(example(record, node_id="seen"))]
    log_decisions(SYSTEM_ANOMALY, codec_of(record), Messages.of([b"1", b"2"], values, [HEADERS, HEADERS]))
    (line,) = out.getvalue().splitlines()
    assert (json.loads(line)["key"], json.loads(line)["decision"]["node_id"]) == ("2", "seen")


def test_libraries_stay_at_info(monkeypatch: pytest.MonkeyPatch) -> None:
    out = configured(monkeypatch, DWCP_LOG_LEVEL="debug", DWCP_LOG_FORMAT="json")
    logging.getLogger("aiokafka").debug("a fetch")
    logging.getLogger("aiokafka").info("joined")
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["joined"]
    assert log_level(settings(DWCP_LOG_LEVEL="debug")) == "info"


@pytest.mark.parametrize(
    ("environment", "has"),
    [({}, None), ({"DWCP_LOG_FORMAT": "json"}, "root"), ({"DWCP_LOG_LEVEL": "debug"}, "loggers")],
)
def test_faust_s_own_text_is_left_alone_unless_something_else_is_asked(
    environment: Mapping[str, str], has: str | None
) -> None:
    config = logging_config(settings(**environment))
    assert config is None if has is None else has in (config or {})


def test_an_error_has_its_traceback_in_the_same_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out = configured(monkeypatch, DWCP_LOG_FORMAT="json")
    try:
        raise ValueError("über")
    except ValueError:
        logging.getLogger("x").exception("it %s", "failed")
    (line,) = out.getvalue().splitlines()
    said = json.loads(line)
    assert (said["message"], said["level"]) == ("it failed", "error")
    assert said["error"].endswith("ValueError: über")
