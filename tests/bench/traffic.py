"""Traffic for the pipeline benchmark: a simulated fleet's records, and a process that sends them on time.

    python -m tests.bench.traffic FILE --broker HOST:PORT --rate 10000 --start EPOCH_S

sends the records of FILE, the i-th at `start + i / rate` whether or not anybody keeps up.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Producer

from offline.simulator.bank import measure
from offline.simulator.fleet import Fleet, FleetPlan
from offline.simulator.payload import generated
from schemas import header
from schemas.binary import Binary
from schemas.topic import INPUTS, Topic
from streams.agent import Agent
from streams.changelog import Record
from streams.envelope import Envelope
from streams.partition import murmur2_partition
from streams.settings import Settings
from streams.stepper import Stepper


class Sent(NamedTuple):
    """A record to send; `origin` is how its answer names it."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    origin: bytes


def raw_records(records: int, links: int, seed: int) -> dict[Topic, list[Record]]:
    """So many good records of each input dataset from a fleet without faults, in order of event time."""
    bank = measure(generated(1), "generated")
    # Transfers as often as samples, and nodes so many that metrics come as often too.
    plan = FleetPlan(seed, 86_400.0 * 30, links, nodes=max(links // 12, 1), transfers=1.0 / 60.0, faults=())
    kind = {topic.dataset: topic for topic in INPUTS}
    given: dict[Topic, list[Record]] = defaultdict(list)
    for minute in Fleet(plan, bank).minutes():
        for part in minute:
            into = given[kind[part.dataset]]
            for key, value, at in zip(part.keys, part.values, part.event_ms.tolist(), strict=True):
                into.append(Record(key, value, len(into), at, ()))
        if len(given) == len(kind) and min(map(len, given.values())) >= records:
            return {topic: some[:records] for topic, some in given.items()}
    raise AssertionError("the fleet never ends")


def keyed_records(given: Mapping[Topic, Sequence[Record]], agents: Sequence[Agent]) -> dict[Topic, list[Record]]:
    """What ingest makes of raw records."""
    found: dict[Topic, list[Record]] = defaultdict(list)
    for agent in agents:
        stepper = Stepper(agent, agent.source.name)
        held = stepper.start()
        records = given[agent.source]
        for at in range(0, len(records), 10_000):
            some = records[at : at + 10_000]
            work = stepper.decode(some, 0)
            origins, keys = Binary.of(work.origins), Binary.of(work.keys)
            for topic, output in stepper.step(held, work).outputs.items():
                made = Envelope(topic, agent.name).encode(output, origins, keys)
                for key, value, own in zip(made.keys, made.values, made.headers, strict=True):
                    into = found[topic]
                    into.append(Record(key, value, len(into), 0, own))
    return found


def to_send(given: Mapping[Topic, Sequence[Record]], settings: Settings) -> list[Sent]:
    """Records of all topics in turn, as they go onto the wire; those of a keyed topic where their key belongs."""
    lanes = []
    for topic, records in given.items():
        name = settings.name_of(topic)
        offsets: dict[int, int] = defaultdict(int)
        lane = []
        for i, record in enumerate(records):
            raw = topic in INPUTS
            p = i % topic.partitions if raw else murmur2_partition(record.key or b"", topic.partitions)
            origin = header.origin_of(name, p, offsets[p]) if raw else header.origin_of("made", p, i)
            offsets[p] += 1
            headers = [] if raw else [(header.ORIGIN, origin)]
            lane.append(Sent(name, p, None if raw else record.key, record.value or b"", headers, origin))
        lanes.append(lane)
    return [record for some in zip(*lanes, strict=True) for record in some]


def producer(broker: str) -> Producer:
    """A producer as a daemon's would be."""
    return Producer(
        {"bootstrap.servers": broker, "compression.type": "lz4", "linger.ms": 5, "acks": "all",
         "enable.idempotence": True, "queue.buffering.max.messages": 2_000_000,
         "queue.buffering.max.kbytes": 1_000_000}
    )  # fmt: skip


def send(broker: str, records: Sequence[Any], rate: float = 0.0, start: float = 0.0) -> float:
    """Send records, the i-th not before `start + i / rate`; how late the latest was, in seconds."""
    out = producer(broker)
    latest = 0.0
    for i, record in enumerate(records):
        if rate:
            due = start + i / rate
            while (ahead := due - time.time()) > 0:
                out.poll(0)
                time.sleep(min(ahead, 0.001))
            latest = max(latest, time.time() - due)
        topic, partition, key, value, headers = record[:5]
        out.produce(topic, value, key, partition, headers=[tuple(h) for h in headers])
        if i % 1000 == 0:
            out.poll(0)
    assert out.flush(60) == 0, "the broker did not take everything"
    return latest


def main() -> None:
    """Send a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--start", type=float, required=True)
    options = parser.parse_args()
    records = msgspec.msgpack.decode(options.file.read_bytes())
    print(send(options.broker, records, options.rate, options.start))


if __name__ == "__main__":
    main()
