"""Nothing is lost and nothing is silent, on both brokers, when nothing goes wrong; tests/fault has the rest."""

from __future__ import annotations

from tests.e2e.conftest import Broker, Start
from tests.e2e.harness import CORRUPT, assert_nothing_lost, assert_order, feed, read


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
