"""Workers that die, are stopped, or are held up so long that others take over."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.e2e.conftest import Broker, Start
from tests.fault.invariant import assert_invariants
from tests.fault.load import Load, wait_until_done

KILLS = int(os.environ.get("FAULT_KILLS", "5"))
"""A long run: `FAULT_KILLS=100 FAULT_RATE=300 pytest tests/fault -k kill_9`."""
KAFKA_ONLY = pytest.mark.parametrize("broker", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)


def test_kill_9_at_random_moments(broker: Broker, start: Start, chance: random.Random, seed: int) -> None:
    with Load(broker.settings, seed):
        for _ in range(KILLS):
            worker = start(broker.environment, app="app")
            if chance.random() < 0.8:
                worker.wait_ready(120)
            time.sleep(chance.uniform(0.0, 3.0))
            worker.kill()
        worker = start(broker.environment, app="app").wait_ready()
    wait_until_done(broker.settings, worker, timeout_s=90 + KILLS)
    assert worker.stop() == 0, worker.tail()
    print(f"kill -9 x {KILLS}: {assert_invariants(broker.settings)}")


def test_term_under_load_ends_in_ten_seconds(broker: Broker, start: Start, seed: int) -> None:
    with Load(broker.settings, seed):
        for _ in range(2):
            worker = start(broker.environment, app="app").wait_ready(120)
            time.sleep(2)
            started = time.monotonic()
            assert worker.stop() == 0, worker.tail()
            assert time.monotonic() - started < 10
        worker = start(broker.environment, app="app").wait_ready()
    wait_until_done(broker.settings, worker)
    assert worker.stop() == 0, worker.tail()
    verdict = assert_invariants(broker.settings)
    assert verdict.repeats == 0, "an orderly stop commits what it published"
    print(f"TERM x 2: {verdict}")


def test_a_worker_that_sleeps_past_its_session_and_wakes(broker: Broker, start: Start, seed: int) -> None:
    environment = broker.environment
    with Load(broker.settings, seed):
        worker = start(environment, app="app").wait_ready(120)
        time.sleep(1.5)
        worker.process.send_signal(signal.SIGSTOP)
        time.sleep(4)
        worker.process.send_signal(signal.SIGCONT)
        time.sleep(3)
    wait_until_done(broker.settings, worker)
    assert worker.stop() == 0, worker.tail()
    print(f"SIGSTOP, CONT: {assert_invariants(broker.settings)}")


@KAFKA_ONLY
def test_a_worker_that_wakes_after_another_took_over(broker: Broker, start: Start, seed: int) -> None:
    with Load(broker.settings, seed):
        sleeper = start(broker.environment, app="app").wait_ready(120)
        other = start(broker.environment, app="app").wait_ready(120)
        time.sleep(2)
        sleeper.process.send_signal(signal.SIGSTOP)
        time.sleep(5)
        sleeper.process.send_signal(signal.SIGCONT)
        time.sleep(3)
    wait_until_done(broker.settings, sleeper, other)
    assert [worker.stop() for worker in (sleeper, other)] == [0, 0], sleeper.tail() + other.tail()
    print(f"SIGSTOP past a takeover, CONT: {assert_invariants(broker.settings)}")


@KAFKA_ONLY
def test_one_worker_then_four_then_two(broker: Broker, start: Start, seed: int) -> None:
    with Load(broker.settings, seed):
        workers = [start(broker.environment, app="app").wait_ready(120)]
        workers += [start(broker.environment, app="app") for _ in range(3)]
        for worker in workers:
            worker.wait_ready(120)
        time.sleep(2)
        workers.pop(0).kill()
        last = workers.pop(0)
        assert last.stop() == 0, last.tail()
        time.sleep(3)
    wait_until_done(broker.settings, *workers)
    assert [worker.stop() for worker in workers] == [0, 0]
    print(f"1 -> 4 -> 2 workers: {assert_invariants(broker.settings)}")
