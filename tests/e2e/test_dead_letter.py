"""Bad records become dead letters with the right reasons, and after a fix they come back, on both brokers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest
from confluent_kafka import Producer

from schemas.header import origin_of
from schemas.topic import DEAD_LETTER, LATE, NETWORK_FEATURES, NETWORK_KEYED, NETWORK_RAW, SYSTEM_RAW, Topic
from tests.e2e.conftest import Broker, Start
from tests.e2e.harness import ROOT, Found, read, read_until, sample

GOOD = 10_000
EACH = 5
DOCUMENT = json.loads(sample(1))
METRICS = dict.fromkeys(SYSTEM_RAW.record.__struct_fields__, 1.0) | {"timestamp": 1_700_000_000, "node_id": "n1"}  # type: ignore[union-attr]
METRICS.pop("units", None)


def changed(**fields: Any) -> bytes:
    """A good sample but for some fields; None takes one away."""
    document = {name: value for name, value in (DOCUMENT | fields).items() if value is not None}
    return json.dumps(document).encode()


KINDS: list[tuple[str, bytes | None, str]] = [
    ("null", None, "empty"),
    ("empty", b"", "empty"),
    ("truncated", sample(1)[:40], "malformed"),
    ("no JSON", b"panic: runtime error", "malformed"),
    ("no UTF-8", sample(1).replace(b'"n1"', b'"\xff\xfe"'), "malformed"),
    ("nested too deeply", b'{"x":' + b"[" * 100_000, "malformed"),
    ("a foreign schema", b"\x00\x00\x00\x00\x01\x02\x04", "unknown_schema"),
    ("an array", b"[" + sample(1) + b"]", "schema"),
    ("no object", b"17", "schema"),
    ("without node_id", changed(node_id=None), "schema"),
    ("without rtt", changed(rtt_ms=None), "schema"),
    ("text for a number", changed(rtt_ms="fast"), "schema"),
    ("no time", changed(timestamp="yesterday"), "schema"),
    ("an unknown link type", changed(link_type="submarine"), "enum"),
    ("an unknown tier", changed(network_tier=9), "enum"),
    ("a negative rtt", changed(rtt_ms=-1), "range"),
    ("a loss above 1", changed(packet_loss=1.5), "range"),
    ("two rtts that differ", changed(latency_ms=999), "unit"),
    ("a time in the future", changed(timestamp=4_000_000_000), "future"),
    ("percentiles out of order", json.dumps(METRICS | {"latency_p95": 9.0}).encode(), "cross_field"),
]


def dwcp(broker: Broker, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *args], env=os.environ | broker.environment, cwd=ROOT,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def answer(broker: Broker, *args: str) -> Any:
    process = dwcp(broker, *args, "--json")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(out)


def send(broker: Broker, records: list[tuple[Topic, bytes | None]]) -> list[bytes]:
    """Send records, the 50 links of `sample` each to a partition of its own; the origin of each."""
    origins = [b""] * len(records)
    producer = Producer({"bootstrap.servers": broker.settings.bootstrap, "linger.ms": 2, "log_level": 0})
    for i, (topic, value) in enumerate(records):

        def delivered(error: object, message: Any, i: int = i) -> None:
            assert error is None, error
            origins[i] = origin_of(message.topic(), message.partition(), message.offset())

        producer.produce(
            broker.settings.name_of(topic), value, partition=i % 50 % topic.partitions, on_delivery=delivered
        )
        producer.poll(0)
    producer.flush()
    return origins


def test_a_hundred_bad_records_of_twenty_kinds_beside_ten_thousand_good_ones(broker: Broker, start: Start) -> None:
    assert len(KINDS) == 20
    expected: list[str | None] = []
    records: list[tuple[Topic, bytes | None]] = []
    for i in range(GOOD):
        records.append((NETWORK_RAW, sample(i)))
        expected.append(None)
        if i % 100 == 50:
            _, value, reason = KINDS[i // 100 % len(KINDS)]
            records.append((SYSTEM_RAW if reason == "cross_field" else NETWORK_RAW, value))
            expected.append(reason)
    origins = send(broker, records)
    worker = start(broker.environment).wait_ready()
    found = read_until(broker.settings, GOOD + 100)
    assert worker.stop() == 0, worker.tail()
    assert {o: found.reasons[o] for o in found.reasons} == {
        o: {reason.encode()} for o, reason in zip(origins, expected, strict=True) if reason
    }
    assert set(found.values) == {o for o, reason in zip(origins, expected, strict=True) if reason is None}
    assert found.records == GOOD + 100, "each once"
    sent = dict(zip(origins, (value for _, value in records), strict=True))
    # A null value and an empty one are the same record to the embedded broker's client.
    assert all((value or b"") == (sent[origin] or b"") for origin, value in found.rejected.items())
    listed = answer(broker, "dead-letters", "list")
    by_reason: Counter[str] = Counter()
    for group in listed["groups"]:
        by_reason[group["reason"]] += group["count"]
    assert by_reason == Counter(EACH * [reason for _, _, reason in KINDS])


def nodes(found: Found) -> Counter[tuple[str, int]]:
    """How often each sample has an output; one that was sent again has the same origin, and counts once."""
    samples = [json.loads(min(values)) for values in found.values.values()]
    return Counter((s["node_id"], s["timestamp"]) for s in samples)


def soon(i: int) -> bytes:
    """The i-th of samples that lie so close together that none is late when it comes last."""
    return json.dumps(json.loads(sample(i)) | {"timestamp": 1_700_000_000_000 + 5_000 * (i // 50)}).encode()


@pytest.mark.parametrize("crash", [False, True])
def test_a_replay_after_a_fix_loses_and_duplicates_nothing(broker: Broker, start: Start, crash: bool) -> None:
    """Two bugs, one in ingest and one in a keyed step; then the fixed app and one command."""
    inputs = 4_000
    origins = send(broker, [(NETWORK_RAW, soon(i)) for i in range(inputs)])
    faulty = start(broker.environment, app="tests.e2e.faulty").wait_ready(timeout_s=120)
    before = read_until(broker.settings, inputs, topics=(NETWORK_FEATURES, DEAD_LETTER), timeout_s=60)
    assert faulty.stop() == 0, faulty.tail()
    assert Counter(reason for reasons in before.reasons.values() for reason in reasons) == {
        b"enum": inputs // 50, b"step_failed": inputs // 50,
    }  # fmt: skip

    dry = answer(broker, "dead-letters", "replay", "--dry-run")
    assert dry["replayed"] == 2 * inputs // 50
    if crash:
        process = dwcp(broker, "dead-letters", "replay", "--stage", "network")
        time.sleep(0.7)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    fixed = start(broker.environment, app="app").wait_ready(timeout_s=120)
    done = answer(broker, "dead-letters", "replay")
    assert done["replayed"] + done["before"] == 2 * inputs // 50
    assert answer(broker, "dead-letters", "replay")["replayed"] == 0, "nothing twice"

    deadline = time.monotonic() + 60
    while len(nodes(found := read(broker.settings, (NETWORK_FEATURES,)))) < inputs and time.monotonic() < deadline:
        time.sleep(0.2)
    assert fixed.stop() == 0, fixed.tail()
    assert set(nodes(found)) == {(f"n{i % 50}", 1_700_000_000_000 + 5_000 * (i // 50)) for i in range(inputs)}
    assert max(nodes(found).values()) == 1, "each sample once"
    # What ingest refused is a new raw record; what a keyed step refused keeps the origin, and with it the ids.
    n7, n8 = ({origins[i] for i in range(inputs) if i % 50 == n} for n in (7, 8))
    assert not n7 & found.values.keys()
    assert n8 <= found.values.keys()
    assert all(found.ids[o] == {o + b":network.features"} for o in n8)
    late = read(broker.settings, (LATE,))
    assert late.records == 0
    keyed = read(broker.settings, (NETWORK_KEYED,))
    assert len(keyed.values) == inputs
