"""The two brokers that every end-to-end test runs against."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from schemas.topic import TOPICS
from streams.embedded import EmbeddedBroker
from streams.settings import Settings, variable_of
from streams.topic import admin, apply
from tests.e2e.harness import QUICK, Worker
from tests.kafka import Kafka

Start = Callable[..., Worker]


@dataclass
class Broker:
    """A broker with the topics of one test, and how to take it away and bring it back."""

    environment: dict[str, str]
    cluster: EmbeddedBroker | Kafka
    down: Callable[[], None]
    up: Callable[[], None]
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = Settings.from_environment(self.environment)


def fresh(kafka: Kafka) -> Broker:
    """New topics on a running cluster."""
    prefix = f"t{uuid.uuid4().hex[:8]}"
    names = {variable_of(topic): f"{prefix}.{topic.kind}" for topic in TOPICS}
    environment = {"BROKER_URL": kafka.address, "DWCP_APP_ID": prefix, **names, **QUICK}
    found = Broker(environment, kafka, kafka.stop, kafka.start)
    apply(admin(found.settings), found.settings)
    return found


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    if request.param == "embedded":
        with EmbeddedBroker() as embedded:
            yield Broker({"BROKER_URL": embedded.address, **QUICK}, embedded, embedded.down, embedded.up)
        return
    found = fresh(request.getfixturevalue("kafka"))
    yield found
    # Hundreds of topics would make the next test that restarts this broker wait for it.
    names = [found.settings.name_of(topic) for topic in TOPICS]
    client = admin(found.settings)
    for deleted in client.delete_topics(names, operation_timeout=20).values():
        deleted.result(30)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts workers; what still runs at the end of the test is killed."""
    started: list[Worker] = []

    def run(environment: Mapping[str, str], **options: str) -> Worker:
        started.append(Worker(environment, tmp_path, **options))
        return started[-1]

    yield run
    for worker in started:
        worker.kill()
