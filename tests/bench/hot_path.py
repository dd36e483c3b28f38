"""Microseconds per event by stage of every agent: what a worker does to a record, one core, no waiting.

The simulated fleet's records, with every dialect and fault of its producers, go through
the ingest agents, and what comes out through the others, in batches, with the worker's
own parts. `produce` is the time to hand the outputs to librdkafka, whose own threads
send them to an embedded broker. What Faust, the client's fetches and the broker cost is
not in here; `tests/bench/ingest.py` has the whole path. Times are the thread's own, so that others on the machine do
not count. Where several systems step over one agent's records, the step is given by system, too.

Then rounds of small batches on several partitions (`tests/bench/round.py`): that is what a worker meets with which is
not busy.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents import compression, ingest, network, system
from offline.simulator.bank import measure
from offline.simulator.fleet import Fleet, FleetPlan
from offline.simulator.payload import generated
from online_models.partition import PartitionState
from online_models.parts import Parts
from schemas.batch import Batch, Result
from schemas.binary import Binary
from schemas.topic import INPUTS, Topic
from streams import garbage
from streams.agent import Agent
from streams.changelog import Record
from streams.embedded import EmbeddedBroker
from streams.envelope import Envelope
from streams.librdkafka import Librdkafka
from streams.publisher import producer_config
from streams.settings import Settings
from streams.stepper import Stepper
from streams.worker import warm
from tests.bench import round as small

AGENTS = (*ingest.agents, network.agent, compression.agent, system.agent)
_FLUSH_S = 30.0
STAGES = ("decode", "admit", "step", "encode", "produce")

Spent = dict[str, float]


def run(records: int, batch: int, links: int, seed: int, round_records: int, round_partitions: int) -> dict[str, Any]:
    """Cost of every agent by stage.

    Parameters
    ----------
    records
        Of each input dataset, at least.
    batch
        Records per step.
    links
        Size of the fleet; a third as many nodes.
    seed
        Of the fleet.
    round_records, round_partitions
        Records on each of so many partitions of every topic in a round.
    """
    given = raw_records(records, links, seed)
    with EmbeddedBroker() as broker:
        settings = Settings.from_environment({"BROKER_URL": broker.address})
        config = producer_config(settings) | {"linger.ms": 5, "queue.buffering.max.messages": 2_000_000}
        producer = Librdkafka(config, _fail, logging.getLogger(__name__))
        found = {}
        warm(AGENTS)
        garbage.settle()  # as a worker does
        for agent in AGENTS:
            found[agent.name] = _measure(agent, given, batch, settings, producer)
        producer.flush(_FLUSH_S)
        producer.close()
    total = sum(one["us_per_event"] * one["records"] for one in found.values())
    events = sum(found[agent.name]["records"] for agent in ingest.agents)
    return {
        "batch": batch, "links": links, "seed": seed, "agents": found, "us_per_event": round(total / events, 3),
        "round": small.run(given, AGENTS, round_records, round_partitions),
    }  # fmt: skip


def raw_records(records: int, links: int, seed: int) -> dict[Topic, list[Record]]:
    """Raw records by topic, at least so many each."""
    bank = measure(generated(1), "generated")
    plan = FleetPlan(seed, 86_400.0, links, nodes=max(links // 3, 1), transfers=0.05, faults="random")
    kind = {topic.dataset: topic for topic in INPUTS}
    given: dict[Topic, list[Record]] = defaultdict(list)
    for minute in Fleet(plan, bank).minutes():
        for part in minute:
            into = given[kind[part.dataset]]
            times = part.event_ms.tolist()
            for key, value, at in zip(part.keys, part.values, times, strict=True):
                into.append(Record(key, value, len(into), at, ()))
        if len(given) == len(kind) and min(map(len, given.values())) >= records:
            return {topic: some[:records] for topic, some in given.items()}
    raise AssertionError("the fleet never ends")


def _measure(
    agent: Agent, given: dict[Topic, list[Record]], batch: int, settings: Settings, producer: Librdkafka
) -> dict[str, Any]:
    stepper = Stepper(agent, settings.name_of(agent.source))
    envelopes = {topic: Envelope(topic, agent.name) for topic in agent.publishes}
    held = stepper.start()
    spent: Spent = dict.fromkeys(STAGES, 0.0)
    parts = _timed(held.state.parts) if isinstance(held.state, Parts) else {}
    records = given[agent.source]
    outputs = 0
    for at in range(0, len(records), batch):
        outputs += _step(stepper, held, envelopes, records[at : at + batch], spent, given, producer, settings)
    us, own = (
        {name: round(1e6 * seconds / len(records), 3) for name, seconds in each.items()} for each in (spent, parts)
    )
    total = round(sum(us.values()), 3)
    return {"records": len(records), "outputs": outputs, **us, "us_per_event": total, "step_by_part": own}


def _timed(parts: Mapping[str, PartitionState]) -> Spent:
    """Seconds of each part's steps, counted from now on."""
    spent: Spent = dict.fromkeys(parts, 0.0)

    def time_part(name: str, follow: Callable[[Batch, Sequence[Result]], Result]) -> Any:
        def timed(batch: Batch, results: Sequence[Result]) -> Result:
            began = time.thread_time()
            result = follow(batch, results)
            spent[name] += time.thread_time() - began
            return result

        return timed

    for name, part in parts.items():
        part.follow = time_part(name, part.follow)  # type: ignore[method-assign]
    return spent


def _step(
    stepper: Stepper,
    held: Any,
    envelopes: dict[Topic, Envelope],
    records: Sequence[Record],
    spent: Spent,
    given: dict[Topic, list[Record]],
    producer: Librdkafka,
    settings: Settings,
) -> int:
    clock = time.thread_time  # whatever else the machine does
    start = clock()
    work = stepper.decode(records, 0)
    decoded = clock()
    work = stepper.admit(held, records, work)
    admitted = clock()
    result = stepper.step(held, work)
    stepped = clock()
    encoded = {
        topic: envelopes[topic].encode(output, Binary.of(work.origins), Binary.of(work.keys))
        for topic, output in result.outputs.items()
    }
    written = clock()
    for topic, messages in encoded.items():
        producer.produce(settings.name_of(topic), messages, 0, len(messages))
    done = clock()
    for stage, seconds in zip(
        STAGES,
        (decoded - start, admitted - decoded, stepped - admitted, written - stepped, done - written),
        strict=True,
    ):
        spent[stage] += seconds
    for topic in encoded.keys() & {agent.source for agent in AGENTS}:
        made = encoded[topic]
        into = given.setdefault(topic, [])
        into += [
            Record(key, value, len(into) + k, 0, own)
            for k, (key, value, own) in enumerate(zip(made.keys, made.values, made.headers, strict=True))
        ]
    producer.flush(_FLUSH_S)
    return sum(map(len, encoded.values()))


def _fail(topic: str, reason: str) -> None:
    raise SystemExit(f"dwcp: {topic}: {reason}")
