"""Records that nobody should send, and steps that cannot take them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator

from confluent_kafka import Producer

from agents import compression, system
from schemas.header import ERROR_REASON, ORIGIN
from schemas.topic import DEAD_LETTER, INPUTS, NETWORK_FORECAST, NETWORK_RAW
from streams.settings import Settings
from tests.e2e.conftest import Broker, Start
from tests.fault import poisoned
from tests.fault.invariant import assert_invariants, read_logs
from tests.fault.load import RATE, Load, wait_until_done

MINUTE_MS = 60_000
START_MS = 1_767_571_200_000


def sample(k: int, **fields: object) -> dict[str, object]:
    """The k-th network sample of a link."""
    return {
        "timestamp": START_MS + k * MINUTE_MS, "node_id": "hot", "peer_id": "key", "rtt_ms": 20.0 + k % 5,
        "jitter_ms": 1.0, "packet_loss": 0.001, "throughput_mbps": 500.0 - k % 7,
    } | fields  # fmt: skip


GOOD = json.dumps(sample(0)).encode()
CORPUS = (
    None, b"", b" ", b"\x00", b"\x00\x00\x00\x00\x07", b"\x00\x00\x00\x00\x07" + GOOD, b"\xc3\x01",
    b"\xc3\x01" + bytes(8) + b"x",
    GOOD[:-1], GOOD[: len(GOOD) // 2], GOOD + GOOD, b"\xef\xbb\xbf" + GOOD, GOOD.replace(b"500.0", b"NaN"),
    GOOD.replace(b"500.0", b"1e308"), GOOD.replace(b"500.0", b"1e999"), GOOD.replace(b"500.0", b"-1"),
    GOOD.replace(b"500.0", b"1" * 400), GOOD.replace(b'"hot"', b'"\\ud800"'), GOOD.replace(b'"hot"', b"[]"),
    GOOD.replace(b'"hot"', b'""'), GOOD.replace(b'"hot"', b'"' + b"x" * 5000 + b'"'), b'{"node_id": "a"}', b"null",
    b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b"\xff\xfe{}", b"true", b'"text"', b"{}", bytes(range(256)),
    GOOD.replace(str(START_MS).encode(), b'"yesterday"'), GOOD.replace(str(START_MS).encode(), b"9" * 30),
    b"x" * 800_000,
)  # fmt: skip
"""Truncated, of another format, not finite, out of range, too deep, too long, of another type."""


def send(settings: Settings, records: Iterator[tuple[str, bytes | None, bytes | None, int]]) -> int:
    """Send (topic, key, value, partition); returns how many."""
    producer = Producer({"bootstrap.servers": settings.bootstrap, "linger.ms": 5, "message.max.bytes": 2_000_000})
    sent = 0
    for topic, key, value, partition in records:
        producer.produce(topic, value, key, partition)
        producer.poll(0)
        sent += 1
    assert producer.flush(30) == 0
    return sent


def test_a_corpus_of_poison(broker: Broker, start: Start, chance: random.Random, seed: int) -> None:
    names = [broker.settings.name_of(topic) for topic in INPUTS]
    keys = (None, b"", b"k", b"\xff\x00", b"K" * 900_000)
    poison = [(chance.choice(names), chance.choice(keys), value, chance.randrange(8)) for value in CORPUS for _ in "12"]
    worker = start(broker.environment | {"DWCP_OUTPUT_MAX_BYTES": "1400"}, app="app").wait_ready(120)
    with Load(broker.settings, seed, RATE * 5 / 8):
        for record in poison:
            send(broker.settings, iter([record]))
            time.sleep(0.05)
    wait_until_done(broker.settings, worker)
    assert worker.stop() == 0, worker.tail()
    verdict = assert_invariants(broker.settings)
    assert verdict.dead_letters >= len(poison)
    reasons = {dict(r.headers)[ERROR_REASON] for _, r in read_logs(broker.settings).of(DEAD_LETTER)}
    assert reasons >= {b"empty", b"malformed", b"schema", b"range", b"unknown_schema", b"oversized"}
    print(f"{len(poison)} poison records: {verdict}")


def test_one_link_with_nine_tenths_of_the_traffic(broker: Broker, start: Start, seed: int) -> None:
    name = broker.settings.name_of(NETWORK_RAW)
    worker = start(broker.environment, app="app").wait_ready(120)
    with Load(broker.settings, seed, RATE * 3 / 8):
        hot = ((name, None, json.dumps(sample(k)).encode(), 3) for k in range(int(15 * RATE)))
        send(broker.settings, hot)
        time.sleep(2)
    wait_until_done(broker.settings, worker)
    assert worker.stop() == 0, worker.tail()
    print(f"a hot key: {assert_invariants(broker.settings)}")


def test_a_bug_in_a_step(broker: Broker, start: Start, chance: random.Random, seed: int) -> None:
    name = broker.settings.name_of(NETWORK_RAW)
    worker = start(broker.environment, app="tests.fault.poisoned").wait_ready(120)
    with Load(broker.settings, seed):
        for k in range(8):
            time.sleep(0.4)
            node = f"poison-{chance.randrange(1 << 30)}"
            send(broker.settings, iter([(name, None, json.dumps(sample(k, node_id=node)).encode(), k)]))
            if k == 4:
                worker.kill()
                worker = start(broker.environment, app="tests.fault.poisoned").wait_ready(120)
    wait_until_done(broker.settings, worker)
    assert worker.stop() == 0, worker.tail()
    verdict = assert_invariants(broker.settings, (poisoned.network, compression.agent, system.agent))
    failed = [
        r for _, r in read_logs(broker.settings).of(DEAD_LETTER) if dict(r.headers)[ERROR_REASON] == b"step_failed"
    ]
    assert len({dict(r.headers)[ORIGIN] for r in failed}) == 8
    print(f"a bug in a step, 8 times: {verdict}")


def test_clocks_that_are_wrong(broker: Broker, start: Start, seed: int) -> None:
    """Twenty minutes slow, half an hour fast, and two hours fast: answered, answered, rejected."""
    name = broker.settings.name_of(NETWORK_RAW)
    worker = start(broker.environment, app="app").wait_ready(120)
    skew = {"slow": -20, "fast": 30, "far": 120}
    now_ms = int(time.time() * 1000)
    records = [
        (
            name,
            None,
            json.dumps(sample(0, node_id=node, timestamp=now_ms + minutes * MINUTE_MS + k * 1000)).encode(),
            k % 8,
        )
        for k in range(50)
        for node, minutes in skew.items()
    ]
    with Load(broker.settings, seed, rate=300):
        send(broker.settings, iter(records))
        time.sleep(1)
    wait_until_done(broker.settings, worker)
    assert worker.stop() == 0, worker.tail()
    verdict = assert_invariants(broker.settings)
    logs = read_logs(broker.settings)
    future = [r for _, r in logs.of(DEAD_LETTER) if dict(r.headers)[ERROR_REASON] == b"future"]
    answered = [r for _, r in logs.of(NETWORK_FORECAST) if r.key in (b"slow:key", b"fast:key")]
    assert (len(future), len(answered)) == (50, 100)
    print(f"wrong clocks: {verdict}")
