"""Events per second and latency of one worker process, from a real Kafka to a real Kafka.

Per path (`tests/bench/path.py`): records are on the broker before the worker starts, and the rate is taken
between two commits, the first that was seen and the last; a commit follows a flush, so that the outputs of what
is committed are confirmed. Then a process of its own sends at 10, 50 and 80 % of that rate, open loop, and
latency runs from the moment a record was *due* to the arrival of its answer at a subscriber. Broker, generator,
subscriber and worker share the machine. At the end every input must have its answer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as File
from typing import Any, Final

import msgspec
import numpy as np
from confluent_kafka import Consumer, TopicPartition

from agents import ingest
from schemas.header import ORIGIN
from schemas.topic import INPUTS, TOPICS, Topic
from streams.changelog import Record
from streams.settings import Settings, variable_of
from streams.topic import admin, apply
from tests.bench.path import PATHS
from tests.bench.traffic import Sent, keyed_records, raw_records, send, to_send
from tests.e2e.harness import ROOT, Worker
from tests.kafka import Kafka, missing

LOADS: Final = (0.1, 0.5, 0.8)
TIMEOUT_S: Final = 180.0
_TICK: Final = os.sysconf("SC_CLK_TCK")


def run(
    paths: Sequence[str], records: int, links: int, seed: int, seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure paths.

    Parameters
    ----------
    paths
        Which.
    records
        Of each input topic that are waiting when the worker starts.
    links
        Size of the fleet.
    seed
        Of the fleet.
    seconds
        How long each load lasts.
    say
        Where progress goes.
    """
    if reason := missing():
        raise SystemExit(f"dwcp: a real Kafka is needed: {reason}")
    say("making the traffic ...")
    raw = raw_records(3 * records, links, seed)
    keyed = keyed_records(raw, ingest.agents)
    found: dict[str, Any] = {"records": records, "links": links, "seed": seed, "seconds": seconds}
    with Kafka() as kafka, tempfile.TemporaryDirectory() as directory:
        for name in paths:
            say(f"{name}:")
            found[name] = Run(name, kafka.address, raw | keyed, File(directory), say).measure(records, seconds)
    found["lost"] = sum(found[name]["lost"] for name in paths)
    return found


class Run:
    """One path on topics of its own."""

    def __init__(
        self, name: str, address: str, given: Mapping[Topic, Sequence[Record]], directory: File,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._path = PATHS[name]
        prefix = f"{name}{uuid.uuid4().hex[:6]}"
        names = {variable_of(topic): f"{prefix}.{topic.kind}" for topic in TOPICS}
        self._environment = {"BROKER_URL": address, "DWCP_APP_ID": prefix, **names, "BENCH_PATH": name}
        self._settings = Settings.from_environment({k: v for k, v in self._environment.items() if k != "BENCH_PATH"})
        apply(admin(self._settings), self._settings)
        self._to_send = to_send({topic: given[topic] for topic in self._path.answers}, self._settings)
        self._sent = 0
        self._directory = directory
        self._say = say

    def rate(self, records: int, workers: int) -> dict[str, Any]:
        """Events/s and processor time per event of so many workers together."""
        backlog = self._next(records * len(self._path.answers))
        started = [self._worker(k) for k in range(workers)]
        try:
            for worker in started:
                worker.wait_ready(180)
            send(self._settings.bootstrap, backlog)
            rate, cpu_us = self._drain(started, len(backlog))
            assert [worker.stop(60) for worker in started] == [0] * workers
        finally:
            for worker in started:
                worker.kill()
        return {
            "workers": workers, "events_per_second": round(rate), "cpu_us_per_event": round(cpu_us, 2),
            "lost": self._lost(),
        }  # fmt: skip

    def _worker(self, number: int = 0) -> Worker:
        directory = self._directory / f"{self._settings.app_id}-{number}"
        directory.mkdir()
        return Worker(self._environment, directory, app="tests.bench.path")

    def measure(self, records: int, seconds: float) -> dict[str, Any]:
        backlog = self._next(records * len(self._path.answers))
        send(self._settings.bootstrap, backlog)
        started = time.time()
        worker = self._worker()
        try:
            worker.wait_ready(120)
            ready_s = time.time() - started
            rate, cpu_us = self._drain([worker], len(backlog))
            self._say(f"  {rate:,.0f} events/s, {cpu_us:.1f} us of processor time each")
            latency = {f"{load:.0%}": self._latency(worker, load, rate, seconds) for load in LOADS}
            memory = _memory(worker.process.pid)
            assert worker.stop(60) == 0, worker.tail()
        finally:
            worker.kill()
        return {
            "events_per_second": round(rate),
            "cpu_us_per_event": round(cpu_us, 2),
            "latency_ms": latency,
            "start_seconds": round(ready_s, 1),
            "resident_mb": round(memory / 1e6),
            "lost": self._lost(),
        }

    def _next(self, n: int) -> list[Sent]:
        """The next records; fewer when the traffic runs out."""
        some = self._to_send[self._sent : self._sent + n]
        self._sent += len(some)
        return some

    def _drain(self, workers: Sequence[Worker], records: int) -> tuple[float, float]:
        """Events per second between the first commit seen and the last, and processor time per event over the same."""
        first: tuple[float, int, float] | None = None
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            for worker in workers:
                assert worker.process.poll() is None, worker.tail()
            assert time.monotonic() < deadline, workers[0].tail()
            done, now, cpu = self._committed(), time.monotonic(), sum(_cpu_s(w.process.pid) for w in workers)
            if done and first is None:
                first = (now, done, cpu)
            if done >= records and first is not None:
                assert done > first[1], "it was over before it could be measured: give more --records"
                elapsed, events = now - first[0], done - first[1]
                return events / elapsed, 1e6 * (cpu - first[2]) / events
            time.sleep(0.02)

    def _committed(self) -> int:
        found = self._group.committed(self._places(), timeout=10)
        return sum(max(tp.offset, 0) for tp in found)

    @property
    def _group(self) -> Consumer:
        if not hasattr(self, "_client"):
            self._client = Consumer(
                {"bootstrap.servers": self._settings.bootstrap, "group.id": self._settings.app_id, "log_level": 0}
            )
        return self._client

    def _places(self) -> list[TopicPartition]:
        """What must be committed: for the answers to raw records, the keyed topics as well."""
        return [
            TopicPartition(self._settings.name_of(a.source), p)
            for a in self._measured()
            for p in range(a.source.partitions)
        ]

    def _measured(self) -> list[Any]:
        last = [a for a in self._path.agents if set(a.publishes) & set(self._path.answers.values())]
        return [a for a in last if a.source not in INPUTS or len(self._path.agents) == len(last)]

    def _latency(self, worker: Worker, load: float, rate: float, seconds: float) -> dict[str, float]:
        left = len(self._to_send) - self._sent
        # Where the traffic would run out before the last load, all loads are shorter.
        some = self._next(min(int(load * rate * seconds), int(left * load / sum(LOADS[LOADS.index(load) :]))))
        file = self._directory / "traffic.msgpack"
        file.write_bytes(msgspec.msgpack.encode([record[:5] for record in some]))
        start = time.time() + 3.0
        due = {record.origin: start + i / (load * rate) for i, record in enumerate(some)}
        subscriber = self._subscriber()
        arguments = [str(file), "--broker", self._settings.bootstrap, "--rate", str(load * rate), "--start", str(start)]
        generator = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.traffic", *arguments], cwd=ROOT, stdout=subprocess.PIPE
        )
        late: list[float] = []
        deadline = start + len(some) / (load * rate) + TIMEOUT_S
        while due:
            assert worker.process.poll() is None, worker.tail()
            assert time.time() < deadline, f"{len(due)} of {len(some)} never came back; {worker.tail()}"
            arrived = subscriber.consume(10_000, 0.005)
            now = time.time()  # the broker's time of the answer would leave the way to the subscriber out
            at = [due.pop(message.headers()[0][1], None) for message in arrived if message.error() is None]
            late += [now - one for one in at if one is not None]
        subscriber.close()
        behind = float(generator.communicate(timeout=60)[0])
        p50, p99, p999 = (round(1000 * float(x), 1) for x in np.quantile(late, (0.5, 0.99, 0.999)))
        self._say(
            f"  at {load:.0%}: p50 {p50}, p99 {p99}, p99.9 {p999} ms; generator {1000 * behind:.0f} ms late at most"
        )
        return {"p50": p50, "p99": p99, "p99_9": p999, "generator_late_ms": round(1000 * behind, 1)}

    def _subscriber(self) -> Consumer:
        consumer = Consumer(
            {"bootstrap.servers": self._settings.bootstrap, "group.id": "subscriber", "enable.auto.commit": False,
             "fetch.wait.max.ms": 5, "log_level": 0}
        )  # fmt: skip
        places = [
            TopicPartition(self._settings.name_of(t), p)
            for t in self._path.answers.values()
            for p in range(t.partitions)
        ]
        for place in places:
            place.offset = consumer.get_watermark_offsets(place, timeout=10)[1]
        consumer.assign(places)
        return consumer

    def _lost(self) -> int:
        """Inputs without an answer or a dead letter."""
        waiting = {record.origin for record in self._to_send[: self._sent]}
        kinds = {*self._path.answers.values(), *(t for t in TOPICS if t.kind in ("ingest.dead-letter", "ingest.late"))}
        consumer = Consumer(
            {"bootstrap.servers": self._settings.bootstrap, "group.id": "check", "enable.auto.commit": False,
             "enable.partition.eof": True, "log_level": 0}
        )  # fmt: skip
        places = [TopicPartition(self._settings.name_of(t), p, 0) for t in kinds for p in range(t.partitions)]
        consumer.assign(places)
        left = len(places)
        while left:
            for message in consumer.consume(10_000, 0.1):
                if message.error() is None:
                    waiting.discard(dict(message.headers())[ORIGIN])
                else:
                    left -= 1
        consumer.close()
        return len(waiting)


def _cpu_s(pid: int) -> float:
    """Processor time of a process, all its threads, in seconds."""
    fields = File(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _memory(pid: int) -> int:
    """Resident bytes of a process."""
    return int(File(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
