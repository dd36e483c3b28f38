"""The embedded broker speaks Kafka, and fails on demand."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.error import InfraError
from schemas.topic import NETWORK_RAW, TOPICS
from streams.embedded import PRODUCE, EmbeddedBroker

_UNKNOWN_ERROR = -1


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


def producer(broker: EmbeddedBroker, **config: object) -> Producer:
    return Producer({"bootstrap.servers": broker.address, "linger.ms": 0, "log_level": 0, **config})


def test_has_every_topic(broker: EmbeddedBroker) -> None:
    found = AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=5).topics
    assert {t.name: len(found[t.name].partitions) for t in TOPICS} == {t.name: t.partitions for t in TOPICS}


def test_keeps_what_is_sent(broker: EmbeddedBroker) -> None:
    p = producer(broker)
    p.produce(NETWORK_RAW.name, b"value", b"key", partition=3, headers=[("h", b"1")])
    assert p.flush(5) == 0
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "g"})
    consumer.assign([TopicPartition(NETWORK_RAW.name, 3, 0)])
    message = consumer.poll(5)
    consumer.close()
    assert message is not None
    assert (message.key(), message.value(), message.headers()) == (b"key", b"value", [("h", b"1")])


def test_down_and_up(broker: EmbeddedBroker) -> None:
    p = producer(broker, **{"reconnect.backoff.max.ms": 100})
    broker.down()
    p.produce(NETWORK_RAW.name, b"x")
    assert p.flush(0.5) == 1
    broker.up()
    assert p.flush(10) == 0


def test_delay(broker: EmbeddedBroker) -> None:
    p = producer(broker)
    p.produce(NETWORK_RAW.name, b"x")
    p.flush(5)
    broker.delay(300)
    started = time.monotonic()
    p.produce(NETWORK_RAW.name, b"x")
    assert p.flush(5) == 0
    assert time.monotonic() - started > 0.29


def test_fail(broker: EmbeddedBroker) -> None:
    p = producer(broker, retries=0)
    broker.fail(PRODUCE, _UNKNOWN_ERROR)
    errors: list[object] = []
    for _ in range(2):
        p.produce(NETWORK_RAW.name, b"x", on_delivery=lambda error, _: errors.append(error))
        assert p.flush(5) == 0
    assert [error is None for error in errors] == [False, True]


def test_more_brokers_and_other_partition_counts() -> None:
    with EmbeddedBroker(partitions=2, brokers=3) as broker:
        assert broker.address.count(":") == 3
        found = AdminClient({"bootstrap.servers": broker.address}).list_topics(NETWORK_RAW.name, timeout=5)
        assert len(found.topics[NETWORK_RAW.name].partitions) == 2


def test_is_used_in_a_with_statement() -> None:
    with pytest.raises(InfraError, match="with"):
        _ = EmbeddedBroker().address
