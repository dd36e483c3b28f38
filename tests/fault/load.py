"""A simulated fleet with every fault of its own, feeding a broker beside whatever the test does to the workers."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import TracebackType

from confluent_kafka import Consumer, KafkaException, TopicPartition

from offline.simulator.bank import open_bank
from offline.simulator.feed import Pace, feed
from offline.simulator.fleet import Fleet, FleetPlan
from schemas.topic import INPUTS, KEYED
from streams.settings import Settings
from streams.sink import KafkaSink
from tests.e2e.harness import Worker

BANK = Path(__file__).parent.parent.parent / ".cache" / "bank-for-tests.npz"
RATE = float(os.environ.get("FAULT_RATE", "800"))
"""Events per second. All that a test sends is stepped over twice more afterwards, so `FAULT_RATE=400` is quicker."""


class Load:
    """Sends while the `with` block runs; a context manager.

    Parameters
    ----------
    settings
        The broker and the names of its topics.
    seed
        Of the fleet.
    rate
        Events per second.
    links, nodes
        Size of the fleet.
    """

    def __init__(self, settings: Settings, seed: int, rate: float = RATE, links: int = 24, nodes: int = 6) -> None:
        names = {topic.dataset: settings.name_of(topic) for topic in INPUTS}
        BANK.parent.mkdir(exist_ok=True)
        bank = open_bank(BANK, "generated", False)
        plan = FleetPlan(seed, 86_400.0, links, nodes, transfers=0.3, faults="random")
        self._fleet = Fleet(plan, bank, names)
        self._bootstrap = settings.bootstrap
        self._rate = rate
        self._done = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load")

    def _run(self) -> None:
        try:
            sink = KafkaSink(self._bootstrap, delivery_s=120)  # a broker may be away for long
            feed(self._fleet, sink, Pace(rate=self._rate), self._done.is_set, lambda *_: None)
            sink.close()
        except BaseException as exc:
            self._failure = exc

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure


def wait_until_done(settings: Settings, *workers: Worker, timeout_s: float = 90.0) -> None:
    """Wait until the group has committed the end of every topic it reads, twice in a row.

    Fails at once when a worker that should live is dead.
    """
    consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": settings.app_id, "log_level": 0})
    deadline = time.monotonic() + timeout_s
    quiet = 0
    try:
        while quiet < 2:
            try:
                lag = _lag(consumer, settings)
            except KafkaException:  # a broker that has just come back does not know everything yet
                lag = -1
            quiet = quiet + 1 if lag == 0 else 0
            for worker in workers:
                assert worker.process.poll() is None, worker.tail()
            assert time.monotonic() < deadline, f"{lag} records are not committed after {timeout_s:g} s"
            time.sleep(0.3)
    finally:
        consumer.close()


def _lag(consumer: Consumer, settings: Settings) -> int:
    lag = 0
    for topic in (*INPUTS, *KEYED):
        name = settings.name_of(topic)
        partitions = [TopicPartition(name, p) for p in range(topic.partitions)]
        committed = {tp.partition: max(tp.offset, 0) for tp in consumer.committed(partitions, timeout=10)}
        for tp in partitions:
            lag += consumer.get_watermark_offsets(tp, timeout=10)[1] - committed[tp.partition]
    return lag
