"""What a worker meets when it starts: topics that changed, and records that are gone."""

from __future__ import annotations

import json
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.topic import KEYED, NETWORK_KEYED, NETWORK_RAW
from streams.embedded import EmbeddedBroker
from streams.settings import Settings, variable_of
from tests.e2e.conftest import Broker, Start
from tests.fault.load import Load, wait_until_done
from tests.fault.test_input import sample, send

KAFKA_ONLY = pytest.mark.parametrize("broker", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)


def test_more_partitions_than_the_states_have(start: Start) -> None:
    names = {variable_of(topic): f"wide.{topic.dataset}" for topic in KEYED}
    with EmbeddedBroker(Settings.from_environment({variable_of(t): f"unused.{t.dataset}" for t in KEYED})) as broker:
        for topic in KEYED:
            broker.create_topic(f"wide.{topic.dataset}", topic.partitions * 2)
        worker = start({"BROKER_URL": broker.address, **names}, app="app")
        assert worker.process.wait(40) == 78
    (line,) = [line for line in worker.tail().splitlines() if line.startswith("dwcp:")]
    assert "with 16 partitions" in line
    assert "dwcp.compression.state.v1 has 8 partitions" in line
    assert "replay the raw ones" in line


@KAFKA_ONLY
def test_retention_that_removed_the_committed_offset(broker: Broker, start: Start, seed: int) -> None:
    settings = broker.settings
    worker = start(broker.environment, app="app").wait_ready(120)
    with Load(settings, seed, rate=300):
        time.sleep(2)
    wait_until_done(settings, worker)
    assert worker.stop() == 0
    name = settings.name_of(NETWORK_RAW)
    sent = send(settings, ((name, None, json.dumps(sample(k)).encode(), 5) for k in range(100)))
    client = AdminClient({"bootstrap.servers": settings.bootstrap})
    low = next(iter(client.delete_records([TopicPartition(name, 5, _end(settings, name, 5) - 30)]).values())).result()
    worker = start(broker.environment, app="app").wait_ready(120)
    send(settings, ((name, None, json.dumps(sample(k)).encode(), 5) for k in range(100, 120)))
    wait_until_done(settings, worker)
    skipped = worker.counter("dwcp_skipped_offsets_total", agent="network-ingest")
    made = worker.counter("dwcp_events_out_total", topic=settings.name_of(NETWORK_KEYED))
    assert worker.stop() == 0, worker.tail()
    assert (sent, skipped, made) == (100, 70, 50), f"30 that were left and 20 new ones, from {low.low_watermark} on"
    assert "70 offsets before" in worker.tail(20_000), "it is said"


def _end(settings: Settings, name: str, partition: int) -> int:
    consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": "end"})
    end: int = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)[1]
    consumer.close()
    return end
