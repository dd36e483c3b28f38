"""The whole app on the embedded broker: every input gets every answer it is owed."""

from __future__ import annotations

import msgspec
from confluent_kafka import Producer

from schemas.header import origin_of
from schemas.topic import (
    COMPRESSION_KEYED,
    COMPRESSION_PREDICTION,
    COMPRESSION_RAW,
    NETWORK_FEATURES,
    NETWORK_FORECAST,
    NETWORK_KEYED,
    NETWORK_RAW,
    SYSTEM_KEYED,
    SYSTEM_RAW,
    SYSTEM_SCORE,
    Topic,
)
from streams.embedded import EmbeddedBroker
from streams.settings import Settings
from tests.e2e.conftest import Start
from tests.e2e.harness import QUICK, read_until, sample

RECORDS = 400


def telemetry(i: int) -> bytes:
    document = {
        "event_id": f"e{i}", "timestamp": 1_700_000_000_000 + 1000 * i, "node_id": f"n{i % 9}", "peer_id": "hub",
        "link_type": "wan", "bandwidth_available_mbps": 200.0, "rtt_ms": 30.0, "payload_size": 1 << 20,
        "hde_compression_ratio": 3.0, "hde_latency_ms": 20.0, "hde_cpu_usage": 40.0,
        "amst_transfer_rate_mbps": 150.0, "amst_latency_ms": 50.0, "amst_cpu_usage": 10.0,
        "outcome_hde_compression_ratio": 3.0 + i % 5, "outcome_hde_latency_ms": 20.0, "outcome_hde_cpu_usage": 40.0,
        "outcome_amst_transfer_rate_mbps": 150.0, "outcome_amst_latency_ms": 50.0, "outcome_amst_cpu_usage": 10.0,
    }  # fmt: skip
    return msgspec.json.encode(document)


def metrics(i: int) -> bytes:
    names = SYSTEM_KEYED.record.__struct_fields__  # type: ignore[union-attr]
    document = dict.fromkeys(names, 10.0 + i % 3)
    return msgspec.json.encode(document | {"timestamp": 1_700_000_000 + 5 * i, "node_id": f"n{i % 7}"})


CASES = [
    (NETWORK_RAW, sample, (NETWORK_KEYED, NETWORK_FEATURES, NETWORK_FORECAST)),
    (COMPRESSION_RAW, telemetry, (COMPRESSION_KEYED, COMPRESSION_PREDICTION)),
    (SYSTEM_RAW, metrics, (SYSTEM_KEYED, SYSTEM_SCORE)),
]


def test_every_input_gets_its_answers(start: Start) -> None:
    with EmbeddedBroker() as embedded:
        settings = Settings.from_environment({"BROKER_URL": embedded.address})
        origins: dict[Topic, set[bytes]] = {raw: set() for raw, _, _ in CASES}
        producer = Producer({"bootstrap.servers": embedded.address, "linger.ms": 2})
        for raw, make, _ in CASES:
            for i in range(RECORDS):
                producer.produce(
                    raw.name, make(i), partition=0,
                    on_delivery=lambda _, m, t=raw: origins[t].add(origin_of(m.topic(), m.partition(), m.offset())),
                )  # fmt: skip
        producer.flush()
        worker = start({"BROKER_URL": embedded.address, **QUICK}, app="app").wait_ready(timeout_s=120)
        for raw, _, answers in CASES:
            for topic in answers:
                found = read_until(settings, RECORDS, topics=(topic,))
                assert set(found.values) == origins[raw], topic.name
                assert {i for ids in found.ids.values() for i in ids} == {
                    origin + b":" + topic.kind.encode() for origin in origins[raw]
                }
        assert worker.counter("dwcp_state", agent="network", name="network_links") == 50
        assert "dwcp_pba_current_bandwidth_mbps 500.0" in worker.get("/metrics")[1]
        assert worker.stop() == 0
