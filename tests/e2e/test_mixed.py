"""Ordinary per-event Faust agents and Faust tables go on working beside the chunked agents."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streams.embedded import EmbeddedBroker
from streams.settings import Settings
from tests.e2e.conftest import Start
from tests.e2e.harness import QUICK, assert_nothing_lost, feed, read_until

KEYS = 5


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as embedded:
        for name in ("plain", "echo", "dwcp-streams-counts-changelog"):
            embedded.create_topic(name, 2)
        yield embedded


def send(broker: EmbeddedBroker, first: int, end: int) -> None:
    producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 2})
    for i in range(first, end):
        producer.produce("plain", b"%d" % i, b"k%d" % (i % KEYS))
    producer.flush()


def echoed(broker: EmbeddedBroker, records: int) -> dict[int, int]:
    """Count that each event was given."""
    reader = Consumer({"bootstrap.servers": broker.address, "group.id": "reader", "fetch.wait.max.ms": 10})
    reader.assign([TopicPartition("echo", p, 0) for p in range(2)])
    found: list[bytes] = []
    deadline = time.monotonic() + 20
    while len(found) < records and time.monotonic() < deadline:
        found += [m.value() for m in reader.consume(500, 0.5)]
    reader.close()
    pairs = [value.split() for value in found]
    repeats = [pair for pair, times in Counter(event for event, _ in pairs).items() if times > 1]
    assert not repeats, [pair for pair in pairs if pair[0] in repeats]
    missing = set(range(records)) - {int(event) for event, _ in pairs}
    assert not missing, {e: c for e, c in pairs if 295 <= int(e) <= 312}
    return {int(event): int(count) for event, count in pairs}


def test_a_per_event_agent_and_a_table_beside_chunks(broker: EmbeddedBroker, start: Start) -> None:
    settings = Settings.from_environment({"BROKER_URL": broker.address})
    send(broker, 0, 500)
    fed = feed(settings, 1000)
    worker = start({"BROKER_URL": broker.address, **QUICK}, app="tests.e2e.mixed").wait_ready()
    assert_nothing_lost(fed, read_until(settings, 1000))
    assert echoed(broker, 500) == {i: i // KEYS + 1 for i in range(500)}
    time.sleep(0.5)
    assert worker.stop() == 0, worker.tail()
    committed = Consumer({"bootstrap.servers": broker.address, "group.id": settings.app_id})
    positions = committed.committed([TopicPartition("plain", p) for p in range(2)], timeout=5)
    committed.close()
    assert sum(p.offset for p in positions) == 500


def test_a_table_is_recovered_from_its_changelog(broker: EmbeddedBroker, start: Start) -> None:
    environment = {"BROKER_URL": broker.address, **QUICK}
    send(broker, 0, 300)
    worker = start(environment, app="tests.e2e.mixed").wait_ready()
    echoed(broker, 300)
    time.sleep(0.5)  # until the last one is committed: a table is at least once, as Faust has it
    assert worker.stop() == 0, worker.tail()
    send(broker, 300, 500)
    worker = start(environment, app="tests.e2e.mixed").wait_ready()
    counts = echoed(broker, 500)
    assert worker.stop() == 0, worker.tail()
    assert counts == {i: i // KEYS + 1 for i in range(500)}, "the second worker counts on where the first one stopped"
