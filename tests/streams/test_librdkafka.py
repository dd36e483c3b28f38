"""What is handed over arrives as it was: keys, values, headers, nulls, partition and order."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from schemas.error import InfraError
from schemas.topic import NETWORK_KEYED
from streams.embedded import PRODUCE, EmbeddedBroker
from streams.librdkafka import Librdkafka
from streams.message import Messages

LOG = logging.getLogger(__name__)
NAME = NETWORK_KEYED.name
TOPIC_AUTHORIZATION_FAILED = 29


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as started:
        yield started


def producer(broker: EmbeddedBroker, failures: list[tuple[str, str]], **config: object) -> Librdkafka:
    settings = {"bootstrap.servers": broker.address, "delivery.report.only.error": True, "linger.ms": 1}
    return Librdkafka(settings | config, lambda topic, reason: failures.append((topic, reason)), LOG)


def read(broker: EmbeddedBroker, partition: int, n: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "g", "fetch.wait.max.ms": 10})
    consumer.assign([TopicPartition(NAME, partition, 0)])
    found: list[Message] = []
    deadline = time.monotonic() + 30
    while len(found) < n and time.monotonic() < deadline:
        found += consumer.consume(n, 0.1)
    consumer.close()
    return found


def test_records_arrive_as_they_were(broker: EmbeddedBroker) -> None:
    given = [
        (b"k", b"value", [("a", b"1"), ("b", None), ("a", b"")]),
        (None, None, []),
        (b"", b"", [("name", b"x" * 300)]),
        (b"k" * 500, b"\x00\n" * 5000, []),
    ]
    failures: list[tuple[str, str]] = []
    client = producer(broker, failures)
    keys, values, headers = ([one[part] for one in given] for part in range(3))
    messages = Messages.of(keys, values, headers)  # type: ignore[arg-type]
    assert client.produce(NAME, messages, 0, 4, partition=2) == 4
    assert client.produce(NAME, messages, 1, 3, partition=2) == 3
    assert client.flush(20) == 0
    client.close()
    found = [(m.key(), m.value(), list(m.headers() or [])) for m in read(broker, 2, 6)]
    assert found == given + given[1:3]
    assert failures == []


def test_a_full_queue_says_where_it_stopped(broker: EmbeddedBroker) -> None:
    client = producer(broker, [], **{"queue.buffering.max.messages": 10, "linger.ms": 1000})
    messages = Messages.of([b"k"] * 30, [b"%d" % i for i in range(30)], [[]] * 30)
    row, waits = 0, 0
    while row < 30:
        came = client.produce(NAME, messages, row, 30, partition=0)
        waits += came < 30
        row = came
        client.flush(20)
    client.close()
    assert waits
    assert [m.value() for m in read(broker, 0, 30)] == [b"%d" % i for i in range(30)]


def test_what_was_handed_over_before_a_cut_is_counted_until_it_is_acknowledged(broker: EmbeddedBroker) -> None:
    client = producer(broker, [])
    assert client.unacknowledged == 0
    messages = Messages.of([b"k"] * 3, [b"v"] * 3, [[]] * 3)
    client.produce(NAME, messages, 0, 3)
    client.flush(20)
    broker.delay(300)
    client.produce(NAME, messages, 0, 2)
    client.cut()
    assert client.unacknowledged == 2
    client.produce(NAME, messages, 0, 1)
    with pytest.raises(RuntimeError, match="2 records"):
        client.cut()
    assert client.unacknowledged == 2
    client.flush(20)
    assert client.unacknowledged == 0
    client.cut()
    assert client.unacknowledged == 0
    client.close()


def test_what_stood_in_no_queue_or_failed_is_not_taken_for_acknowledged(broker: EmbeddedBroker) -> None:
    client = producer(broker, [], **{"queue.buffering.max.messages": 10, "linger.ms": 1000})
    came = client.produce(NAME, Messages.of([b"k"] * 30, [b"v"] * 30, [[]] * 30), 0, 30)
    client.cut()
    assert client.unacknowledged == came == 10
    client.flush(20)
    assert client.unacknowledged == 0
    broker.fail(PRODUCE, *[TOPIC_AUTHORIZATION_FAILED] * 20)
    client.produce(NAME, Messages.of([b"k"], [b"v"], [[]]), 0, 1)
    client.cut()
    assert client.flush(20) == 0
    assert client.unacknowledged == 1
    client.close()


def test_what_is_too_large_is_an_error_and_what_stood_before_it_arrives(broker: EmbeddedBroker) -> None:
    client = producer(broker, [], **{"message.max.bytes": 2000})
    messages = Messages.of([None] * 2, [b"small", b"x" * 3000], [[], []])
    with pytest.raises(InfraError, match="too large"):
        client.produce(NAME, messages, 0, 2, partition=1)
    assert client.flush(20) == 0
    client.close()
    assert [m.value() for m in read(broker, 1, 1)] == [b"small"]


def test_what_was_not_delivered_is_reported_with_its_topic(broker: EmbeddedBroker) -> None:
    broker.fail(PRODUCE, *[TOPIC_AUTHORIZATION_FAILED] * 20)
    failures: list[tuple[str, str]] = []
    client = producer(broker, failures)
    client.produce(NAME, Messages.of([None], [b"v"], [[]]), 0, 1)
    client.flush(20)
    client.poll()
    client.close()
    ((topic, reason),) = failures
    assert topic == NAME
    assert "authorization failed" in reason.lower()


@pytest.mark.parametrize(("config", "says"), [({"no.such": 1}, "no.such"), ({"acks": "some"}, "acks")])
def test_a_configuration_that_cannot_be_is_refused(
    broker: EmbeddedBroker, config: dict[str, object], says: str
) -> None:
    with pytest.raises(InfraError, match=says):
        producer(broker, [], **config)
