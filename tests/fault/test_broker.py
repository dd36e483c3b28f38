"""Brokers that go away, come back, refuse, or are slow."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from streams.embedded import EmbeddedBroker
from tests.e2e.conftest import Broker, Start, fresh
from tests.e2e.harness import Fed, assert_nothing_lost, feed, read_until
from tests.fault.invariant import assert_invariants
from tests.fault.load import RATE, Load, wait_until_done
from tests.kafka import Kafka, require_kafka

EMBEDDED_ONLY = pytest.mark.parametrize("broker", ["embedded"], indirect=True)
KAFKA_ONLY = pytest.mark.parametrize("broker", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)

REFUSALS = {0: (6, 7, 19), 1: (6, 3), 8: (14, 16), 9: (14,), 10: (15,), 12: (27, 16)}
"""Kafka error codes by request: produce, fetch, offset commit and fetch, find coordinator, heartbeat."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Kafka]:
    """Three brokers, every topic on all of them."""
    require_kafka()
    with Kafka(brokers=3) as kafka:
        yield kafka


def test_a_broker_restart(broker: Broker, start: Start, seed: int) -> None:
    worker = start(broker.environment | {"DWCP_DELIVERY_TIMEOUT_S": "60"}, app="app").wait_ready(120)
    with Load(broker.settings, seed):
        time.sleep(2)
        broker.down()
        time.sleep(3)  # longer than the session timeout
        broker.up()
        time.sleep(2)
    wait_until_done(broker.settings, worker)
    assert worker.stop() == 0, worker.tail()
    print(f"broker restart: {assert_invariants(broker.settings)}")


@pytest.mark.kafka
def test_a_rolling_restart_of_three_brokers(cluster: Kafka, start: Start, seed: int) -> None:
    broker = fresh(cluster)
    worker = start(broker.environment | {"DWCP_DELIVERY_TIMEOUT_S": "60"}, app="app").wait_ready(120)
    with Load(broker.settings, seed, RATE * 5 / 8):
        time.sleep(1)
        cluster.roll()
        time.sleep(2)
    wait_until_done(broker.settings, worker)
    assert worker.stop() == 0, worker.tail()
    print(f"rolling restart of three: {assert_invariants(broker.settings)}")


@EMBEDDED_ONLY
def test_requests_that_are_refused(broker: Broker, start: Start, chance: random.Random, seed: int) -> None:
    assert isinstance(broker.cluster, EmbeddedBroker)
    worker = start(broker.environment, app="app").wait_ready(120)
    refused = 0
    with Load(broker.settings, seed):
        for _ in range(20):
            time.sleep(0.25)
            request = chance.choice(list(REFUSALS))
            codes = [chance.choice(REFUSALS[request]) for _ in range(chance.randint(1, 3))]
            broker.cluster.fail(request, *codes)
            refused += len(codes)
    wait_until_done(broker.settings, worker)
    assert worker.stop() == 0, worker.tail()
    print(f"{refused} refused requests: {assert_invariants(broker.settings)}")


@EMBEDDED_ONLY
def test_half_a_second_of_round_trip(broker: Broker, start: Start, seed: int) -> None:
    assert isinstance(broker.cluster, EmbeddedBroker)
    worker = start(broker.environment | {"DWCP_SESSION_TIMEOUT_S": "10"}, app="app").wait_ready(120)
    with Load(broker.settings, seed, RATE / 2):
        broker.cluster.delay(500)
        time.sleep(6)
        broker.cluster.delay(0)
        time.sleep(1)
    wait_until_done(broker.settings, worker)
    assert worker.stop() == 0, worker.tail()
    print(f"round trips of 500 ms: {assert_invariants(broker.settings)}")


@KAFKA_ONLY
def test_outputs_that_the_broker_slows_down(broker: Broker, start: Start, seed: int) -> None:
    assert isinstance(broker.cluster, Kafka)
    client = ("--entity-type", "clients", "--entity-name", f"{broker.settings.app_id}-publisher")
    broker.cluster.configure(*client, "--add-config", "producer_byte_rate=100000")
    worker = start(broker.environment, app="app").wait_ready(120)
    with Load(broker.settings, seed, rate=800):
        time.sleep(6)
    behind = worker.counter("dwcp_consumer_lag_records")
    broker.cluster.configure(*client, "--delete-config", "producer_byte_rate")
    wait_until_done(broker.settings, worker)
    assert worker.stop() == 0, worker.tail()
    assert behind > 500, "the quota held it back"
    print(f"outputs slowed to 100 kB/s, {behind:,.0f} records behind: {assert_invariants(broker.settings)}")


@EMBEDDED_ONLY
def test_a_consumer_that_dies_without_a_word(broker: Broker, start: Start) -> None:
    worker = start(broker.environment | {"DWCP_STALL_TIMEOUT_S": "5"}, app="tests.fault.deaf").wait_ready()
    fed = feed(broker.settings, 200)
    read_until(broker.settings, 200)
    time.sleep(12)
    more = feed(broker.settings, 100)
    assert worker.process.wait(30) == 70
    assert "although records wait in" in worker.tail()
    worker = start(broker.environment).wait_ready()
    found = read_until(broker.settings, 300)
    assert worker.stop() == 0, worker.tail()
    assert_nothing_lost(Fed(fed.good | more.good, fed.bad | more.bad), found)


def test_a_consumer_whose_task_fails(broker: Broker, start: Start) -> None:
    worker = start(broker.environment, app="tests.fault.crashing").wait_ready()
    fed = feed(broker.settings, 200)
    assert worker.process.wait(30) == 70
    assert "AssertionError: a bug" in worker.tail()
    worker = start(broker.environment).wait_ready()
    found = read_until(broker.settings, 200)
    assert worker.stop() == 0, worker.tail()
    assert_nothing_lost(fed, found)
