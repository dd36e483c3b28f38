"""Agents over records without a broker: recording, codec, step, envelope, and on to the next agent.

What the worker does to the same records, with its own parts, minus Kafka and the clock:
a test of a model, or of a consumer of its answers, needs no more. Records are taken in
the recording's order. A worker takes them partition by partition as polls bring them:
each key's order is the same, but what keys of a partition share, as the selector's model
is, has seen them in another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from schemas.batch import Rejection, Result
from schemas.binary import Binary
from schemas.error import LateRecord
from schemas.header import Headers
from schemas.topic import DEAD_LETTER, LATE, PARTITIONS, Topic
from streams.agent import Agent
from streams.envelope import Envelope, control_headers, reject_headers
from streams.partition import murmur2_partition
from streams.recording.format import Recorded
from streams.settings import Settings
from streams.stepper import Stepper
from streams.trace import traces
from streams.work import Held, Work

Answers = Mapping[Topic, Sequence[Recorded]]

_SLICE: Final = 1_000
"""Records that are handed on together, in their order, as a worker's poll would."""


def run(agents: Sequence[Agent], records: Iterable[Recorded], settings: Settings | None = None) -> Answers:
    """What agents make of records, by topic; empty for topics that got nothing.

    Parameters
    ----------
    agents
        Each reads the records of its source, given or made by another agent.
    records
        In order, for example of `read_recording`.
    settings
        Topic names; by default those of the table, whatever the environment says.

    Raises
    ------
    Exception
        What a step raises. (A worker would make a dead letter of the record.)
    """
    settings = settings or Settings.from_environment({})
    kind = {settings.name_of(topic): topic for topic in settings.topic_names}
    given: dict[Topic, list[Recorded]] = defaultdict(list)
    for record in records:
        if record.topic in kind:
            given[kind[record.topic]].append(record)
    out = _Out(settings)
    for agent in _in_order(agents):
        lane = _Lane(agent, settings, out)
        for some in _slices(given[agent.source] + out.records.get(agent.source, [])):
            lane.take(some)
    return out.records


class _Out:
    """Published records, with the partitions and offsets they would have."""

    def __init__(self, settings: Settings) -> None:
        self.records: dict[Topic, list[Recorded]] = defaultdict(list)
        self._settings = settings
        self._offsets: dict[tuple[Topic, int], int] = defaultdict(int)

    def add(
        self, topic: Topic, at_ms: int, key: bytes | None, value: bytes | None, headers: Headers, at: int = 0
    ) -> None:
        partition = at if key is None else murmur2_partition(key, PARTITIONS)
        offset = self._offsets[topic, partition]
        self._offsets[topic, partition] += 1
        name = self._settings.name_of(topic)
        self.records[topic].append(Recorded(name, partition, offset, at_ms, key, value, tuple(headers)))


class _Lane:
    """One agent at work, with a state per partition of its source."""

    def __init__(self, agent: Agent, settings: Settings, out: _Out) -> None:
        self._agent = agent
        self._source = settings.name_of(agent.source)
        self._stepper = Stepper(agent, self._source)
        self._envelopes = {topic: Envelope(topic, agent.name) for topic in agent.publishes}
        self._held: dict[int, Held] = {}
        self._out = out

    def take(self, records: Sequence[Recorded]) -> None:
        """Apply records, partition by partition."""
        by_partition: dict[int, list[Recorded]] = defaultdict(list)
        for record in records:
            by_partition[record.partition].append(record)
        for partition, own in by_partition.items():
            held = self._held.setdefault(partition, self._stepper.start())
            self._apply(held, partition, own)

    def _apply(self, held: Held, partition: int, records: Sequence[Recorded]) -> None:
        work = self._stepper.admit(held, records, self._stepper.decode(records, partition))
        result = self._stepper.step(held, work)
        traced = traces(records)
        trace = None if traced is None else [traced[r] for r in work.row.tolist()]
        origins, keys = Binary.of(work.origins), Binary.of(work.keys)
        for topic, output in result.outputs.items():
            made = self._envelopes[topic].encode(output, origins, keys, trace)
            rows = work.row[output.row].tolist()
            for row, key, value, head in zip(rows, made.keys, made.values, made.headers, strict=True):
                self._out.add(topic, records[row].timestamp_ms, key, value, head)
        for one in result.broadcasts:
            head = control_headers(one, work.origins[one.row], self._agent.name, trace[one.row] if trace else ())
            at_ms = records[int(work.row[one.row])].timestamp_ms
            for each in range(one.topic.partitions):
                self._out.add(one.topic, at_ms, None, None, head, each)
        for row, error in _rejected(work, result):
            record = records[row]
            head = reject_headers(record, work.origin[row], error, self._agent.name, self._source, partition)
            topic = LATE if isinstance(error, LateRecord) else DEAD_LETTER
            self._out.add(topic, record.timestamp_ms, record.key, record.value, head)


def _rejected(work: Work, result: Result) -> Iterator[Rejection]:
    """Who did not make it, by place among the records."""
    yield from work.rejected
    for row, error in result.rejected:
        yield Rejection(int(work.row[row]), error)


def _in_order(agents: Sequence[Agent]) -> Iterator[Agent]:
    """Agents, each after those that publish what it reads."""
    left = list(agents)
    while left:
        coming = {topic for agent in left for topic in agent.publishes}
        ready = [agent for agent in left if agent.source not in coming]
        if not ready:
            raise ValueError(f"agents {', '.join(a.name for a in left)} read what they publish")
        yield from ready
        left = [agent for agent in left if agent not in ready]


def _slices(records: Sequence[Recorded]) -> Iterator[list[Recorded]]:
    rest = iter(records)
    while some := list(islice(rest, _SLICE)):
        yield some
