"""A worker process, and what it takes to feed it and to account for every input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.header import CE_ID, ERROR_REASON, ORIGIN, origin_of
from schemas.topic import DEAD_LETTER, LATE, NETWORK_KEYED, NETWORK_RAW, Topic
from streams.demo.process import free_port
from streams.security import client_config
from streams.settings import Settings

ROOT = Path(__file__).parent.parent.parent
QUICK = {"DWCP_SESSION_TIMEOUT_S": "2", "DWCP_HEARTBEAT_S": "0.5", "DWCP_COMMIT_INTERVAL_S": "0.1"}
"""Settings under which a takeover takes two seconds."""

REPLIES = (NETWORK_KEYED, DEAD_LETTER, LATE)
"""Where what the ingest agent makes of a network sample can be."""


class Worker:
    """`faust -A <app> worker` in a process of its own."""

    def __init__(
        self, environment: Mapping[str, str], directory: Path, app: str = "tests.e2e.ingest", options: str = ""
    ) -> None:
        self.port = int(environment.get("DWCP_WEB_PORT") or free_port())
        self.log = directory / f"worker-{self.port}.log"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DWCP_") and k != "BROKER_URL"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "faust", *options.split(), "-A", app, "worker"],
                env={
                    **inherited, "DWCP_LOG_LEVEL": "info",
                    **environment, "DWCP_WEB_PORT": str(self.port),
                },
                cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page; status 0 when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read().decode()
        except (urllib.error.URLError, OSError):
            return 0, ""

    def wait_ready(self, timeout_s: float = 180) -> Worker:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.tail()
            if self.get("/health/ready")[0] == 200:
                return self
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.tail()}")

    def counter(self, name: str, /, **labels: str) -> float:
        """Sum of a counter over all series with these labels."""
        want = [f'{k}="{v}"' for k, v in labels.items()]
        lines = re.findall(rf"^{name}{{(.*)}} (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        return sum(float(value) for found, value in lines if all(w in found for w in want))

    def wait_read(self, records: int, timeout_s: float = 30) -> None:
        """Wait until so many records were processed."""
        deadline = time.monotonic() + timeout_s
        while (seen := self.counter("dwcp_events_in_total")) < records:
            assert self.process.poll() is None, self.tail()
            assert time.monotonic() < deadline, f"{seen} of {records} read; {self.tail()}"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, timeout_s: float = 20) -> int:
        """SIGTERM, unless it has ended; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def tail(self, characters: int = 3000) -> str:
        return self.log.read_text(errors="replace")[-characters:]


@dataclass
class Fed:
    """What was sent: origins by whether the record is good."""

    good: set[bytes] = field(default_factory=set)
    bad: set[bytes] = field(default_factory=set)


def sample(i: int) -> bytes:
    """The i-th good network sample."""
    document = {
        "timestamp": 1_700_000_000_000 + 60_000 * (i // 50), "node_id": f"n{i % 50}", "peer_id": "hub",
        "rtt_ms": 20.0 + i % 7, "jitter_ms": 1.0, "throughput_mbps": 500.0, "packet_loss": 0.001, "link_type": "wan",
    }  # fmt: skip
    return json.dumps(document).encode()


CORRUPT = (
    b"", b"{", b"null", b"[]", b"\x00\x00\x00\x00\x01", b"\xff\xfe", sample(1)[:40], b'{"node_id": "n1"}',
    sample(1).replace(b'"rtt_ms": 21.0', b'"rtt_ms": "fast"'), sample(1).replace(b"500.0", b"1e308"),
)  # fmt: skip
"""Truncated, empty, of another type or format, incomplete, and out of range."""


def feed(settings: Settings, records: int, bad_every: int = 50, rate: float | None = None) -> Fed:
    """Send good samples and every `bad_every`-th a corrupt record to the raw network topic."""
    fed = Fed()
    name = settings.name_of(NETWORK_RAW)

    def delivered(error: object, message: object, good: bool) -> None:
        assert error is None, error
        origin = origin_of(name, message.partition(), message.offset())  # type: ignore[attr-defined]
        (fed.good if good else fed.bad).add(origin)

    producer = Producer({"bootstrap.servers": settings.bootstrap, "linger.ms": 2, "compression.type": "snappy"})
    started = time.monotonic()
    for i in range(records):
        good = i % bad_every != bad_every - 1
        value = sample(i) if good else CORRUPT[i // bad_every % len(CORRUPT)]
        # Keys are not trusted: partitions are dealt out in turn.
        producer.produce(
            name, value, partition=i % NETWORK_RAW.partitions, on_delivery=lambda e, m, g=good: delivered(e, m, g)
        )
        producer.poll(0)
        if rate is not None and (ahead := i / rate - (time.monotonic() - started)) > 0:
            time.sleep(ahead)
    producer.flush()
    assert len(fed.good) + len(fed.bad) == records
    return fed


@dataclass
class Found:
    """What the output topics hold, by origin."""

    values: dict[bytes, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    ids: dict[bytes, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    partitions: dict[bytes, set[int]] = field(default_factory=lambda: defaultdict(set))
    order: dict[bytes, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    reasons: dict[bytes, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    rejected: dict[bytes, bytes | None] = field(default_factory=dict)
    records: int = 0


def read(settings: Settings, topics: Sequence[Topic] = REPLIES) -> Found:
    """Read the topics to their end."""
    consumer = Consumer(
        client_config(settings)
        | {"group.id": "check", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    )  # fmt: skip
    found = Found()
    kind = {settings.name_of(topic): topic for topic in topics}
    ends = {}
    for name, topic in kind.items():
        for p in range(topic.partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(name, p), timeout=10)
            assert low == 0, "the broker dropped records: the test is too large for it"
            if high:
                ends[name, p] = high
    consumer.assign([TopicPartition(name, p, 0) for name, p in ends])
    while ends:
        for message in consumer.consume(5000, 1.0):
            assert message.error() is None, message.error()
            headers = dict(message.headers())
            origin = headers[ORIGIN]
            found.records += 1
            if ERROR_REASON in headers:
                found.reasons[origin].add(headers[ERROR_REASON])
                found.rejected[origin] = message.value()
            else:
                found.values[origin].add(message.value())
                found.ids[origin].add(headers[CE_ID])
                found.partitions[message.key()].add(message.partition())
                found.order[message.key()].append(origin)
            at = message.topic(), message.partition()
            if message.offset() + 1 >= ends.get(at, 0):
                ends.pop(at, None)
    consumer.close()
    return found


def read_until(settings: Settings, inputs: int, topics: Sequence[Topic] = REPLIES, timeout_s: float = 30) -> Found:
    """Read again and again until so many inputs are accounted for."""
    deadline = time.monotonic() + timeout_s
    found = read(settings, topics)
    while len(found.values.keys() | found.reasons.keys()) < inputs and time.monotonic() < deadline:
        time.sleep(0.2)
        found = read(settings, topics)
    return found


def assert_order(found: Found) -> None:
    """Records of one key that came from one raw partition are in its order."""
    for origins in found.order.values():
        by_partition: dict[bytes, list[int]] = defaultdict(list)
        for origin in origins:
            partition, offset = origin.rsplit(b"/", 1)
            by_partition[partition].append(int(offset))
        assert all(offsets == sorted(offsets) for offsets in by_partition.values())


def assert_nothing_lost(fed: Fed, found: Found) -> None:
    """Every input has its output or its dead letter, with one id and one value however often it was sent."""
    assert set(found.values) == fed.good
    assert set(found.reasons) == fed.bad
    assert all(len(v) == 1 for v in found.values.values())
    assert all(ids == {origin + b":network.keyed"} for origin, ids in found.ids.items())
    assert all(len(p) == 1 for p in found.partitions.values()), "a key's records are on one partition"
