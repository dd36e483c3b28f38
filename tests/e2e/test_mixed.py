"""Ordinary per-event Faust agents go on working beside the chunked ones."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, Producer, TopicPartition

from streams.embedded import EmbeddedBroker
from streams.settings import Settings
from tests.e2e.conftest import Start
from tests.e2e.harness import QUICK, assert_nothing_lost, feed, read_until


def test_a_per_event_agent_beside_chunks_reads_sends_and_commits(start: Start) -> None:
    with EmbeddedBroker() as broker:
        for name in ("plain", "echo"):
            broker.create_topic(name, 2)
        settings = Settings.from_environment({"BROKER_URL": broker.address})
        sent = {b"%d" % i for i in range(500)}
        producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 2})
        for value in sent:
            producer.produce("plain", value)
        producer.flush()
        fed = feed(settings, 1000)
        worker = start({"BROKER_URL": broker.address, **QUICK}, app="tests.e2e.mixed").wait_ready()
        assert_nothing_lost(fed, read_until(settings, 1000))
        reader = Consumer({"bootstrap.servers": broker.address, "group.id": "reader", "fetch.wait.max.ms": 10})
        reader.assign([TopicPartition("echo", p, 0) for p in range(2)])
        echoed: list[bytes] = []
        deadline = time.monotonic() + 15
        while len(echoed) < 500 and time.monotonic() < deadline:
            echoed += [m.value() for m in reader.consume(500, 0.5)]
        reader.close()
        time.sleep(0.5)
        assert worker.stop() == 0
        committed = Consumer({"bootstrap.servers": broker.address, "group.id": settings.app_id})
        positions = committed.committed([TopicPartition("plain", p) for p in range(2)], timeout=5)
        committed.close()
    assert set(echoed) == sent
    assert len(echoed) == 500
    assert sum(p.offset for p in positions) == 500
