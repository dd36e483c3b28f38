"""Takeover after kill -9, with the shipped settings, on a real Kafka.

Two workers share the partitions and hold the state of many links. Samples flow at a steady rate; one worker is
killed. `takeover_seconds` runs from the kill until every partition has answered a sample sent after
it. Then everything is accounted for by origin, and each partition's state, restored from its
snapshots, is compared with one replay of all its records.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from agents import network
from schemas.header import ORIGIN, origin_of
from schemas.topic import NETWORK_FORECAST, NETWORK_KEYED, NETWORK_RAW, TOPICS
from streams.changelog import Changelog
from streams.settings import Settings, variable_of
from streams.stepper import Stepper
from streams.topic import admin, apply
from tests.e2e.harness import Worker
from tests.fault.invariant import read_partitions, replay
from tests.fault.load import wait_until_done
from tests.kafka import Kafka, missing

START_MS = 1_767_571_200_000
ROUNDS = 3
TIMEOUT_S = 120.0
COMMIT_TIMEOUT_S = 600.0


def run(links: int, rate: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure once.

    Parameters
    ----------
    links
        Links with state.
    rate
        Samples per second while the worker dies.
    say
        Where progress goes.
    """
    if reason := missing():
        raise SystemExit(f"dwcp: a real Kafka is needed: {reason}")
    with Kafka() as kafka, tempfile.TemporaryDirectory() as logs:
        prefix = f"bench{uuid.uuid4().hex[:6]}"
        names = {variable_of(topic): f"{prefix}.{topic.kind}" for topic in TOPICS}
        environment = {"BROKER_URL": kafka.address, "DWCP_APP_ID": prefix, **names}
        settings = Settings.from_environment(environment)
        apply(admin(settings), settings)
        return _Run(settings, environment, links, Path(logs), say).measure(rate)


class _Run:
    def __init__(
        self, settings: Settings, environment: dict[str, str], links: int, logs: Path, say: Callable[[str], None]
    ) -> None:
        self.settings = settings
        self.environment = environment
        self.links = links
        self.logs = logs
        self.say = say
        self.sent: list[tuple[bytes, float]] = []
        self.producer = Producer({"bootstrap.servers": settings.bootstrap, "linger.ms": 5, "compression.type": "lz4",
                                  "queue.buffering.max.messages": 1_000_000})  # fmt: skip

    def measure(self, rate: float) -> dict[str, Any]:
        workers = [Worker(self.environment, self.logs, app="app") for _ in range(2)]
        try:
            for worker in workers:
                worker.wait_ready(120)
            self.say(f"two workers are ready; building the state of {self.links:,} links ...")
            for i in range(ROUNDS * self.links):
                self._send(i)
            self.producer.flush()
            wait_until_done(self.settings, timeout_s=COMMIT_TIMEOUT_S)
            time.sleep(2 * self.settings.snapshot_interval_s + 1)
            takeover_s = self._kill(workers[0], rate)
            wait_until_done(self.settings, timeout_s=COMMIT_TIMEOUT_S)
            assert workers[1].stop(60) == 0, workers[1].tail()
        finally:
            for worker in workers:
                worker.kill()
        self.say("comparing states with their replay ...")
        return {"links": self.links, "takeover_seconds": round(takeover_s, 2), **self._restored(), **self._account()}

    def _send(self, i: int) -> None:
        link = i % self.links
        at = START_MS + 60_000 * (i // self.links)
        value = json.dumps(
            {"timestamp": at, "node_id": f"node-{link}", "peer_id": "hub", "rtt_ms": 20.0 + link % 7, "jitter_ms": 1.0,
             "packet_loss": 0.001, "throughput_mbps": 500.0 - link % 11}
        )  # fmt: skip
        sent_at = time.time()

        def delivered(error: Any, message: Any) -> None:
            assert error is None, error
            self.sent.append((origin_of(message.topic(), message.partition(), message.offset()), sent_at))

        self.producer.produce(
            self.settings.name_of(NETWORK_RAW), value, partition=i % NETWORK_RAW.partitions, on_delivery=delivered
        )
        self.producer.poll(0)

    def _kill(self, worker: Worker, rate: float) -> float:
        """Seconds from the kill until every partition answered something sent after it."""
        stop = threading.Event()

        def feed() -> None:
            started, i = time.monotonic(), ROUNDS * self.links
            while not stop.is_set():
                self._send(i)
                i += 1
                time.sleep(max(0.0, (i - ROUNDS * self.links) / rate - (time.monotonic() - started)))

        feeding = threading.Thread(target=feed)
        feeding.start()
        try:
            time.sleep(3)
            killed = time.time()
            os.kill(worker.process.pid, signal.SIGKILL)
            self.say("killed one; waiting for the other ...")
            return self._answered_everywhere(killed) - killed
        finally:
            stop.set()
            feeding.join()
            self.producer.flush()

    def _answered_everywhere(self, killed: float) -> float:
        name = self.settings.name_of(NETWORK_FORECAST)
        consumer = Consumer(
            {"bootstrap.servers": self.settings.bootstrap, "group.id": "bench", "fetch.wait.max.ms": 10}
        )
        places = [TopicPartition(name, p) for p in range(NETWORK_FORECAST.partitions)]
        for place in places:
            place.offset = consumer.get_watermark_offsets(place, timeout=10)[1]
        consumer.assign(places)
        waiting = set(range(len(places)))
        last = time.time()
        try:
            while waiting:
                assert time.time() - killed < TIMEOUT_S, f"partitions {waiting} never went on"
                after = {origin for origin, at in self.sent[-20_000:] if at > killed}
                for message in consumer.consume(2000, 0.05):
                    if message.error() is None and dict(message.headers())[ORIGIN] in after:
                        last = time.time() if message.partition() in waiting else last
                        waiting.discard(message.partition())
        finally:
            consumer.close()
        return last

    def _restored(self) -> dict[str, Any]:
        """Speed of restoring all states in one process, and how many differ from their replay."""
        name = self.settings.name_of(NETWORK_KEYED)
        stepper = Stepper(network.agent, name)
        changelog = Changelog(stepper, self.settings, {})
        network.agent.warm()
        ends = self._ends(name)
        # What this process holds besides is no part of a worker's heap, and would be searched for garbage.
        gc.collect()
        gc.freeze()
        started = time.perf_counter()
        restored = changelog.restore(ends)
        elapsed = time.perf_counter() - started
        states = {p: one.held.state for p, one in restored.items()}
        held = sum(len(state) for state in states.values())  # type: ignore[arg-type]
        records = read_partitions(self.settings, NETWORK_KEYED)
        different = sum(
            state.digest() != replay(network.agent, name, p, records[p], 4096)[2]  # type: ignore[attr-defined]
            for p, state in states.items()
        )
        return {
            "restored_links": held,
            "restored_links_per_second": round(held / elapsed),
            "restored_from_snapshots": sum(one.id is not None for one in restored.values()),
            "replayed_records": sum(one.replayed for one in restored.values()),
            "state_bytes_per_link": network.agent.state().row_bytes,  # type: ignore[attr-defined]
            "state_diff": different,
        }

    def _ends(self, name: str) -> dict[int, int]:
        consumer = Consumer({"bootstrap.servers": self.settings.bootstrap, "group.id": "bench"})
        places = [TopicPartition(name, p) for p in range(NETWORK_KEYED.partitions)]
        ends = {tp.partition: consumer.get_watermark_offsets(tp, timeout=10)[1] for tp in places}
        consumer.close()
        return ends

    def _account(self) -> dict[str, Any]:
        answered: set[bytes] = set()
        records = 0
        for some in read_partitions(self.settings, NETWORK_FORECAST).values():
            records += len(some)
            answered.update(dict(record.headers)[ORIGIN] or b"" for record in some)
        inputs = {origin for origin, _ in self.sent}
        return {"inputs": len(inputs), "lost": len(inputs - answered), "repeats": records - len(answered)}
