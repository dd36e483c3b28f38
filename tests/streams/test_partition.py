"""Keys are placed where librdkafka's murmur2 places them, which is where the worker's publisher does."""

from __future__ import annotations

import random

from confluent_kafka import Producer

from schemas.topic import NETWORK_KEYED
from streams.embedded import EmbeddedBroker
from streams.partition import murmur2_partition


def test_keys_are_placed_as_librdkafka_places_them() -> None:
    chance = random.Random(1)
    keys = [b"n1:hub", b"", b"\xff\xfe"] + [chance.randbytes(i % 20) for i in range(500)]
    placed: dict[bytes, int] = {}
    with EmbeddedBroker() as broker:
        producer = Producer({"bootstrap.servers": broker.address, "partitioner": "murmur2", "log_level": 0})
        for key in keys:
            producer.produce(
                NETWORK_KEYED.name, b"", key, on_delivery=lambda _, m: placed.__setitem__(m.key() or b"", m.partition())
            )
        producer.flush()
    assert placed == {key: murmur2_partition(key, NETWORK_KEYED.partitions) for key in keys}
    assert len(set(placed.values())) == NETWORK_KEYED.partitions
