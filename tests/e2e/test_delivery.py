"""Nothing is lost and nothing is silent, on both brokers."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import Broker, Start
from tests.e2e.harness import CORRUPT, Fed, assert_nothing_lost, assert_order, feed, read, read_until

SMALL_BATCHES = {"DWCP_BATCH_MAX_RECORDS": "100", "DWCP_BUFFER_BATCHES": "4"}


def test_every_input_has_its_output_or_a_dead_letter(broker: Broker, start: Start) -> None:
    fed = feed(broker.settings, 5000)
    worker = start(broker.environment).wait_ready()
    worker.wait_read(5000)
    live, ready = worker.get("/health/live"), worker.get("/health/ready")
    assert worker.stop() == 0
    found = read(broker.settings)
    assert_nothing_lost(fed, found)
    assert found.records == 5000, "without a failure nothing is sent twice"
    assert {value or b"" for value in found.rejected.values()} == set(CORRUPT), "dead letters keep their bytes"
    assert (live[0], ready[0]) == (200, 200)
    assert_order(found)


def test_kill_and_restart_loses_nothing_and_repeats_with_the_same_ids(broker: Broker, start: Start) -> None:
    seed = time.time_ns()
    chance = random.Random(seed)
    environment = broker.environment | SMALL_BATCHES
    fed = feed(broker.settings, 8000)
    for _ in range(3):
        worker = start(environment).wait_ready()
        target = worker.counter("dwcp_events_in_total") + chance.randint(1, 1500)
        deadline = time.monotonic() + 5
        while worker.counter("dwcp_events_in_total") < target and time.monotonic() < deadline:
            pass
        worker.kill()
    worker = start(environment).wait_ready()
    found = read_until(broker.settings, 8000)
    assert worker.stop() == 0, worker.tail()
    print(f"seed {seed}: {found.records - 8000} of 8000 repeated")
    assert_nothing_lost(fed, found)


@pytest.mark.parametrize("broker", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
def test_workers_join_and_leave_while_records_flow(broker: Broker, start: Start) -> None:
    environment = broker.environment | SMALL_BATCHES
    with ThreadPoolExecutor(1) as pool:
        feeding = pool.submit(feed, broker.settings, 6000, 50, 800.0)
        first = start(environment).wait_ready()
        second = start(environment).wait_ready()
        time.sleep(1.5)
        assert second.stop() == 0, second.tail()
        third = start(environment).wait_ready()
        time.sleep(1)
        third.kill()
        fed = feeding.result()
    found = read_until(broker.settings, 6000)
    assert first.stop() == 0, first.tail()
    assert_nothing_lost(fed, found)


def test_term_under_load_ends_in_order(broker: Broker, start: Start) -> None:
    fed = feed(broker.settings, 10_000)
    environment = broker.environment | SMALL_BATCHES
    worker = start(environment).wait_ready()
    worker.wait_read(1)
    started = time.monotonic()
    assert worker.stop(timeout_s=10) == 0, worker.tail()
    assert time.monotonic() - started < 10
    before = read(broker.settings).records
    worker = start(environment).wait_ready()
    found = read_until(broker.settings, 10_000)
    worker.stop()
    assert_nothing_lost(fed, found)
    assert found.records == 10_000, f"an orderly stop commits what it published: {before} before the stop"


def test_a_broker_that_goes_away_and_comes_back(broker: Broker, start: Start) -> None:
    fed = feed(broker.settings, 5000)
    worker = start(broker.environment | SMALL_BATCHES | {"DWCP_DELIVERY_TIMEOUT_S": "60"}).wait_ready()
    worker.wait_read(200)
    broker.down()
    time.sleep(3)  # longer than the session timeout
    broker.up()
    more = feed(broker.settings, 1000)
    found = read_until(broker.settings, 6000)
    assert worker.stop() == 0, worker.tail()
    assert_nothing_lost(Fed(fed.good | more.good, fed.bad | more.bad), found)
