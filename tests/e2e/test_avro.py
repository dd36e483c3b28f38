"""Avro through a worker: every format in, the format that is set out, and what cannot be read to the dead letters."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
from confluent_kafka import Producer

from schemas.avro.frame import confluent_prefix, single_object_prefix
from schemas.avro.reader import parsed
from schemas.avro.schema import schema_of
from schemas.codec import Codec
from schemas.header import origin_of
from schemas.network import NetworkSample
from schemas.raw import RawNetworkSample
from schemas.topic import NETWORK_KEYED, NETWORK_RAW
from streams.registry import Registry
from streams.settings import Settings
from tests.e2e.conftest import Broker, Start
from tests.e2e.harness import read_until, sample
from tests.registry import RegistryServer, registry_server

RAW = schema_of(RawNetworkSample)
GIVEN = set(json.loads(sample(0)))
SHORT = {**RAW, "fields": [f for f in RAW["fields"] if f["name"] in GIVEN]}
"""What an older producer writes: the fields of `sample` alone."""


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with registry_server() as server:
        yield server


def written(i: int, schema: dict[str, Any], prefix: bytes) -> bytes:
    """The i-th sample as Avro; fields it does not have take their defaults."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, parsed(schema), json.loads(sample(i)))
    return prefix + stream.getvalue()


def feed_mixed(settings: Settings, records: int, schema_id: int) -> dict[bytes, tuple[int, bytes | None]]:
    """Send samples in turn as JSON, in both framings and with an unknown id; by origin, index and reason."""
    sent: dict[bytes, tuple[int, bytes | None]] = {}
    name = settings.name_of(NETWORK_RAW)
    forms = [
        lambda i: sample(i),
        lambda i: written(i, RAW, single_object_prefix(RAW)),
        lambda i: written(i, SHORT, confluent_prefix(schema_id)),
        lambda i: written(i, SHORT, confluent_prefix(schema_id + 77)),
    ]
    producer = Producer({"bootstrap.servers": settings.bootstrap, "linger.ms": 2})
    for i in range(records):
        reason = b"unknown_schema" if i % 4 == 3 else None

        def delivered(error: object, message: Any, i: int = i, reason: bytes | None = reason) -> None:
            assert error is None, error
            sent[origin_of(name, message.partition(), message.offset())] = (i, reason)

        producer.produce(name, forms[i % 4](i), partition=i // 4 % NETWORK_RAW.partitions, on_delivery=delivered)
    producer.flush()
    return sent


@pytest.mark.parametrize("output", ["json", "avro", "avro-confluent"])
def test_every_format_in_and_the_one_that_is_set_out(
    broker: Broker, start: Start, registry: RegistryServer, output: str
) -> None:
    schema_id = registry.register("producers", json.dumps(SHORT))
    environment = broker.environment | {"DWCP_OUTPUT_FORMAT": output, "DWCP_SCHEMA_REGISTRY_URL": registry.url}
    worker = start(environment).wait_ready()
    sent = feed_mixed(broker.settings, 2000, schema_id)
    found = read_until(broker.settings, len(sent))
    assert worker.stop() == 0
    assert found.reasons == {origin: {reason} for origin, (_, reason) in sent.items() if reason}
    good = [origin for origin, (_, reason) in sent.items() if reason is None]
    assert found.values.keys() == set(good)
    values = [next(iter(found.values[origin])) for origin in good]
    start_of = {"json": b"{", "avro": single_object_prefix(schema_of(NetworkSample)), "avro-confluent": b"\x00"}
    assert all(value.startswith(start_of[output]) for value in values)
    records, rejected = Codec(NetworkSample, Registry(registry.url)).decode(values)
    assert not rejected
    for origin, record in zip(good, records, strict=True):
        given = json.loads(sample(sent[origin][0]))
        assert {name: getattr(record, name) for name in given} == given
    if output == "avro-confluent":
        assert f"{broker.settings.name_of(NETWORK_KEYED)}-value" in registry.subjects


def test_a_registry_that_goes_away_loses_nothing(broker: Broker, start: Start, registry: RegistryServer) -> None:
    """The worker ends with exit code 70 before the record is done; with the registry back it is processed."""
    schema_id = registry.register("producers", json.dumps(SHORT))
    path = f"/schemas/ids/{schema_id}"
    registry.answers[path] = (503, {"error_code": 50001, "message": "away"})
    environment = broker.environment | {"DWCP_SCHEMA_REGISTRY_URL": registry.url}
    worker = start(environment).wait_ready()
    sent = feed_mixed(broker.settings, 40, schema_id)
    assert worker.process.wait(30) == 70
    assert "DWCP_SCHEMA_REGISTRY_URL" in worker.tail()
    del registry.answers[path]
    again = start(environment).wait_ready()
    found = read_until(broker.settings, len(sent))
    assert again.stop() == 0
    assert found.values.keys() == {origin for origin, (_, reason) in sent.items() if reason is None}
    assert found.reasons.keys() == {origin for origin, (_, reason) in sent.items() if reason}
