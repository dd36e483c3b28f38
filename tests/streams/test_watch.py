"""Records that wait, seen by another client."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from streams.demo.process import free_port
from streams.embedded import EmbeddedBroker
from streams.settings import Settings
from streams.watch import first_waiting

TOPIC = "dwcp.network.raw.v1"


@pytest.mark.parametrize(("floor", "found"), [(0, f"{TOPIC}/3 at offset 0"), (4, f"{TOPIC}/3 at offset 4"), (5, None)])
def test_a_record_at_or_after_the_floor_waits(floor: int, found: str | None) -> None:
    with EmbeddedBroker() as broker:
        producer = Producer({"bootstrap.servers": broker.address})
        for _ in range(5):
            producer.produce(TOPIC, b"x", partition=3)
        producer.flush()
        settings = Settings.from_environment({"BROKER_URL": broker.address})
        assert first_waiting(settings, {(TOPIC, 1): 0, (TOPIC, 3): floor}) == found


def test_without_a_broker_nothing_can_be_said() -> None:
    settings = Settings.from_environment({"BROKER_URL": f"127.0.0.1:{free_port()}"})
    assert first_waiting(settings, {(TOPIC, 0): 0}) is None
