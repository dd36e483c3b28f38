"""A worker starts whole, or says in one line why not and what to do."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from schemas.topic import NETWORK_KEYED
from streams.demo.process import free_port
from streams.embedded import EmbeddedBroker
from streams.settings import Settings
from tests.e2e.conftest import Start


@pytest.fixture
def embedded() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


def refused(environment: dict[str, str], start: Start) -> tuple[int, str]:
    """Exit code and the one line on stderr of a worker that does not start."""
    worker = start(environment)
    code = worker.process.wait(40)
    lines = [line for line in worker.log.read_text().splitlines() if line.startswith("dwcp:")]
    assert "Traceback" not in worker.log.read_text()
    assert len(lines) == 1, worker.tail()
    return code, lines[0]


def test_missing_broker(start: Start) -> None:
    address = f"127.0.0.1:{free_port()}"
    code, line = refused({"BROKER_URL": f"kafka://{address}"}, start)
    assert code == 70
    assert address in line
    assert "BROKER_URL" in line


def test_missing_topics(embedded: EmbeddedBroker, start: Start) -> None:
    environment = {"BROKER_URL": embedded.address, "DWCP_TOPIC_NETWORK_RAW": "elsewhere"}
    code, line = refused(environment, start)
    assert code == 70
    assert "elsewhere" in line
    assert "dwcp topics apply" in line


def test_busy_port(embedded: EmbeddedBroker, start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, line = refused({"BROKER_URL": embedded.address, "DWCP_WEB_PORT": port}, start)
    assert code == 78
    assert f"DWCP_WEB_PORT={port}" in line


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("DWCP_COMMIT_INTERVAL_S", "often", "a number from"),
        ("DWCP_COMIT_INTERVAL_S", "1", "did you mean DWCP_COMMIT_INTERVAL_S?"),
        ("BROKER_URL", "localhost", "kafka://host:port"),
    ],
)
def test_wrong_setting(variable: str, value: str, says: str, start: Start) -> None:
    code, line = refused({variable: value}, start)
    assert code == 78
    assert variable in line
    assert says in line


def test_partition_counts_that_differ(start: Start) -> None:
    environment = {"DWCP_TOPIC_NETWORK_KEYED": "wide"}
    with EmbeddedBroker(Settings.from_environment({"DWCP_TOPIC_NETWORK_KEYED": "unused"})) as broker:
        broker.create_topic("wide", NETWORK_KEYED.partitions + 1)
        code, line = refused(environment | {"BROKER_URL": broker.address}, start)
    assert code == 78
    assert "wide with 9 partitions" in line
