"""One path of the worker on topics of its own: workers, records in turn, a steady load, and what came of it.

A steady load is open loop: a process of its own sends, and latency runs from the moment a record was *due* to the
arrival of its answer at a subscriber, so that a worker that stalls is charged for all that it held up.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path as File
from typing import Final, NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Consumer, TopicPartition

from schemas.header import ORIGIN
from schemas.topic import INPUTS, TOPICS, Topic
from streams.changelog import Record
from streams.settings import Settings, variable_of
from streams.topic import admin, apply
from tests.bench.path import PATHS
from tests.bench.traffic import Sent, send, to_send
from tests.e2e.harness import ROOT, Worker

TIMEOUT_S: Final = 180.0
FIRST: Final = 5_000
"""Of each input, before a steady load: nodes and links are known, and everything that runs once has run."""

_TICK: Final = os.sysconf("SC_CLK_TCK")
_LEAD_S: Final = 3.0
"""Until a generator has started and read its records."""


class Steady(NamedTuple):
    """What a steady load met with: latency and the generator's own delay in ms, and the worker's share of a core."""

    latency_ms: dict[str, float]
    cpu_share: float


def records_for(rates: Sequence[float], seconds: float, inputs: int) -> int:
    """Of each of so many inputs, for a first part and then every rate for so long."""
    return FIRST + sum(math.ceil(rate * seconds / inputs) for rate in rates)


def drain(pids: Sequence[int], count: Callable[[], int], records: int, tail: Callable[[], str]) -> tuple[float, float]:
    """Events per second between the first growth of a count that is seen and the last, and processor time per event.

    Parameters
    ----------
    pids
        Processes whose time counts.
    count
        How many events are done; fails when a process ended.
    records
        How many there will be.
    tail
        End of the log, for when it takes too long.
    """
    first: tuple[float, int, float] | None = None
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        assert time.monotonic() < deadline, tail()
        done, now, cpu = count(), time.monotonic(), sum(map(cpu_s, pids))
        if done and first is None:
            first = (now, done, cpu)
        if done >= records and first is not None:
            assert done > first[1], "it was over before it could be measured: give more --records"
            elapsed, events = now - first[0], done - first[1]
            return events / elapsed, 1e6 * (cpu - first[2]) / events
        time.sleep(0.02)


class Trial:
    """One path.

    Parameters
    ----------
    name
        Of the path.
    address
        Of the broker.
    given
        Records by topic.
    directory
        For logs and traffic.
    say
        Where progress goes.
    app
        What the worker runs.
    more
        Of the worker's environment.
    """

    def __init__(
        self, name: str, address: str, given: Mapping[Topic, Sequence[Record]], directory: File,
        say: Callable[[str], None], app: str = "tests.bench.path", more: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.path = PATHS[name]
        prefix = f"{name}{uuid.uuid4().hex[:6]}"
        names = {variable_of(topic): f"{prefix}.{topic.kind}" for topic in TOPICS}
        own = {"BROKER_URL": address, "DWCP_APP_ID": prefix, **names}
        self.settings = Settings.from_environment(own)
        self.say = say
        self._environment = own | {"BENCH_PATH": name} | (more or {})
        self._app = app
        apply(admin(self.settings), self.settings)
        self._to_send = to_send({topic: given[topic] for topic in self.path.answers}, self.settings)
        self._sent = 0
        self._directory = directory

    @property
    def left(self) -> int:
        """Records that were not sent yet."""
        return len(self._to_send) - self._sent

    def next(self, n: int) -> list[Sent]:
        """The next records, all inputs in turn; fewer when the traffic runs out."""
        some = self._to_send[self._sent : self._sent + n]
        self._sent += len(some)
        return some

    def worker(self, number: int = 0) -> Worker:
        """A worker that starts."""
        directory = self._directory / f"{self.settings.app_id}-{number}"
        directory.mkdir()
        return Worker(self._environment, directory, app=self._app)

    def warm(self, worker: Worker) -> None:
        """Let the worker get to know its links and nodes."""
        first = self.next(FIRST * len(self.path.answers))
        send(self.settings.bootstrap, first)
        worker.wait_read(len(first), TIMEOUT_S)

    def drain(self, workers: Sequence[Worker], records: int) -> tuple[float, float]:
        """Events per second between the first commit seen and the last, and processor time per event over the same."""

        def committed() -> int:
            for worker in workers:
                assert worker.process.poll() is None, worker.tail()
            return self._committed()

        return drain([worker.process.pid for worker in workers], committed, records, workers[0].tail)

    def steady(self, worker: Worker, rate: float, seconds: float) -> Steady:
        """So many records a second for so long."""
        some = self.next(int(rate * seconds))
        file = self._directory / "traffic.msgpack"
        file.write_bytes(msgspec.msgpack.encode([record[:5] for record in some]))
        subscriber = self._subscriber()
        start = time.time() + _LEAD_S
        end = start + len(some) / rate
        arguments = [str(file), "--broker", self.settings.bootstrap, "--rate", str(rate), "--start", str(start)]
        generator = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.traffic", *arguments], cwd=ROOT, stdout=subprocess.PIPE
        )
        due = {record.origin: start + i / rate for i, record in enumerate(some)}
        late: list[float] = []
        began: tuple[float, float] | None = None
        spent: float | None = None
        while due or spent is None:
            assert worker.process.poll() is None, worker.tail()
            assert time.time() < end + TIMEOUT_S, f"{len(due)} of {len(some)} never came back; {worker.tail()}"
            arrived = subscriber.consume(10_000, 0.005)
            now = time.time()  # the broker's time of the answer would leave the way to the subscriber out
            at = [due.pop(message.headers()[0][1], None) for message in arrived if message.error() is None]
            late += [now - one for one in at if one is not None]
            if began is None and now >= start:
                began = (now, cpu_s(worker.process.pid))
            elif began is not None and spent is None and now >= end:
                spent = (cpu_s(worker.process.pid) - began[1]) / (now - began[0])
        subscriber.close()
        behind = float(generator.communicate(timeout=60)[0])
        p50, p99, p999 = (round(1000 * float(x), 1) for x in np.quantile(late, (0.5, 0.99, 0.999)))
        delayed = {"generator_late_ms": round(1000 * behind, 1)}
        return Steady({"p50": p50, "p99": p99, "p99_9": p999, **delayed}, round(spent, 3))

    def lost(self) -> int:
        """Inputs without an answer or a dead letter."""
        waiting = {record.origin for record in self._to_send[: self._sent]}
        kinds = {*self.path.answers.values(), *(t for t in TOPICS if t.kind in ("ingest.dead-letter", "ingest.late"))}
        consumer = Consumer(
            {"bootstrap.servers": self.settings.bootstrap, "group.id": "check", "enable.auto.commit": False,
             "enable.partition.eof": True, "log_level": 0}
        )  # fmt: skip
        places = [TopicPartition(self.settings.name_of(t), p, 0) for t in kinds for p in range(t.partitions)]
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

    def _committed(self) -> int:
        found = self._group.committed(self._places(), timeout=10)
        return sum(max(tp.offset, 0) for tp in found)

    @cached_property
    def _group(self) -> Consumer:
        return Consumer(
            {"bootstrap.servers": self.settings.bootstrap, "group.id": self.settings.app_id, "log_level": 0}
        )

    def _places(self) -> list[TopicPartition]:
        """What must be committed: for the answers to raw records, the keyed topics as well."""
        last = [a for a in self.path.agents if set(a.publishes) & set(self.path.answers.values())]
        measured = [a for a in last if a.source not in INPUTS or len(self.path.agents) == len(last)]
        return [
            TopicPartition(self.settings.name_of(a.source), p) for a in measured for p in range(a.source.partitions)
        ]

    def _subscriber(self) -> Consumer:
        consumer = Consumer(
            {"bootstrap.servers": self.settings.bootstrap, "group.id": "subscriber", "enable.auto.commit": False,
             "fetch.wait.max.ms": 5, "log_level": 0}
        )  # fmt: skip
        places = [
            TopicPartition(self.settings.name_of(t), p) for t in self.path.answers.values() for p in range(t.partitions)
        ]
        for place in places:
            place.offset = consumer.get_watermark_offsets(place, timeout=10)[1]
        consumer.assign(places)
        return consumer


def cpu_s(pid: int) -> float:
    """Processor time of a process, all its threads, in seconds."""
    fields = File(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident(pid: int) -> int:
    """Resident bytes of a process."""
    return int(File(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
