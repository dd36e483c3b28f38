"""Workers that die."""

from __future__ import annotations

import os
import random
import time

from tests.e2e.conftest import Broker, Start
from tests.fault.invariant import assert_invariants
from tests.fault.load import Load, wait_until_done

KILLS = int(os.environ.get("FAULT_KILLS", "6"))


def test_kill_9_at_random_moments(broker: Broker, start: Start, chance: random.Random, seed: int) -> None:
    with Load(broker.settings, seed):
        for _ in range(KILLS):
            worker = start(broker.environment, app="app")
            if chance.random() < 0.8:
                worker.wait_ready(120)
            time.sleep(chance.uniform(0.0, 3.0))
            worker.kill()
        worker = start(broker.environment, app="app").wait_ready()
    wait_until_done(broker.settings)
    assert worker.stop() == 0, worker.tail()
    print(f"kill -9 x {KILLS}: {assert_invariants(broker.settings)}")
