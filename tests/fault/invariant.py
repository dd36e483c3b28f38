"""What must hold of the logs after any fault, checked by one function on what is on the broker.

Every keyed record is stepped over again, in one process and in two different cuts, and what comes out
must be what the workers published and kept, byte for byte, however often they died.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from agents import compression, ingest, network, system
from schemas.binary import Binary
from schemas.header import CE_ID, ERROR_OFFSET, ERROR_PARTITION, ERROR_REASON, ERROR_TOPIC, ORIGIN
from schemas.topic import DEAD_LETTER, INPUTS, KEYED, LATE, OCCASIONAL, OUTPUTS, Topic
from streams.agent import Agent
from streams.changelog import Changelog, Record
from streams.envelope import Envelope
from streams.settings import Settings
from streams.stepper import Stepper

KEPT = (network.agent, compression.agent, system.agent)


@dataclass
class Logs:
    """Everything on the broker: records by topic and partition, in order, and what the group has committed."""

    records: dict[Topic, dict[int, list[Record]]] = field(default_factory=dict)
    committed: dict[Topic, dict[int, int]] = field(default_factory=dict)

    def of(self, topic: Topic) -> list[tuple[int, Record]]:
        return [(p, r) for p, records in self.records[topic].items() for r in records]


@dataclass
class Verdict:
    """What was found, for people to read."""

    inputs: int = 0
    outputs: int = 0
    repeats: int = 0
    dead_letters: int = 0
    late: int = 0

    def __str__(self) -> str:
        return (
            f"{self.inputs:,} inputs, {self.outputs:,} outputs ({self.repeats:,} of them repeats), "
            f"{self.dead_letters:,} dead letters, {self.late:,} late: nothing lost, no difference"
        )


def read_logs(settings: Settings) -> Logs:
    """Read every topic to its present end."""
    logs = Logs()
    consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": settings.app_id, "log_level": 0})
    for topic in (*INPUTS, *KEYED, *OUTPUTS, *OCCASIONAL, DEAD_LETTER, LATE):
        logs.records[topic] = read_partitions(settings, topic)
        if topic in INPUTS + KEYED:
            name = settings.name_of(topic)
            found = consumer.committed([TopicPartition(name, p) for p in logs.records[topic]], timeout=10)
            logs.committed[topic] = {tp.partition: tp.offset for tp in found}
    consumer.close()
    return logs


def read_partitions(settings: Settings, topic: Topic) -> dict[int, list[Record]]:
    """Records of a topic by partition, to its present end."""
    consumer = Consumer(
        {"bootstrap.servers": settings.bootstrap, "group.id": "check", "enable.auto.commit": False,
         "fetch.wait.max.ms": 10, "enable.partition.eof": True, "auto.offset.reset": "earliest", "log_level": 0}
    )  # fmt: skip
    name = settings.name_of(topic)
    records: dict[int, list[Record]] = {p: [] for p in consumer.list_topics(name, timeout=10).topics[name].partitions}
    consumer.assign([TopicPartition(name, p, 0) for p in records])
    still = set(records)
    while still:
        for m in consumer.consume(10_000, 0.05):
            if m.error() is None:
                record = Record(m.key(), m.value(), m.offset(), m.timestamp()[1], m.headers() or ())
                records[m.partition()].append(record)
            else:
                assert m.error().code() == KafkaError._PARTITION_EOF, m.error()
                still.discard(m.partition())
    consumer.close()
    return records


def assert_invariants(settings: Settings, kept: Sequence[Agent] = KEPT) -> Verdict:
    """Nothing is lost, doubled, reordered or different; see the parts.

    Parameters
    ----------
    settings
        The broker and the names of its topics.
    kept
        The agents that ran besides ingest.
    """
    logs = read_logs(settings)
    verdict = Verdict(inputs=sum(len(logs.of(topic)) for topic in INPUTS))
    _everything_is_committed(logs)
    _one_value_per_id(logs, verdict)
    rejected = _rejects(logs, settings, verdict)
    for agent in (*ingest.agents, *kept):
        _agent_is_its_replay(agent, logs, settings, rejected)
    for agent in kept:
        _state_is_its_replay(agent, logs, settings)
    for topic in KEYED:
        _keys_keep_their_order(logs, topic)
    return verdict


def _everything_is_committed(logs: Logs) -> None:
    for topic, committed in logs.committed.items():
        for p, records in logs.records[topic].items():
            if records:
                assert committed[p] == records[-1].offset + 1, f"{topic.name}/{p} is committed to its end"


def _one_value_per_id(logs: Logs, verdict: Verdict) -> None:
    for topic in (*KEYED, *OUTPUTS):
        values: dict[bytes, tuple[Any, Any, int]] = {}
        for p, record in logs.of(topic):
            one = (record.key, record.value, p)
            assert values.setdefault(_header(record, CE_ID), one) == one, (
                f"{topic.name} repeats an id with another value"
            )
            verdict.outputs += 1
        verdict.repeats += len(logs.of(topic)) - len(values)


def _rejects(logs: Logs, settings: Settings, verdict: Verdict) -> dict[tuple[str, int, int], str]:
    """Reason by where the rejected record was read; each keeps its bytes."""
    source = {settings.name_of(topic): topic for topic in (*INPUTS, *KEYED)}
    reasons: dict[tuple[str, int, int], str] = {}
    for topic in (DEAD_LETTER, LATE):
        for _, record in logs.of(topic):
            name, p = _header(record, ERROR_TOPIC).decode(), int(_header(record, ERROR_PARTITION))
            offset = int(_header(record, ERROR_OFFSET))
            read = next(r for r in logs.records[source[name]][p] if r.offset == offset)
            if record.value is not None:  # too large to be kept: the headers say where it is
                assert (read.key, read.value) == (record.key, record.value), "rejects keep their bytes"
            reason = _header(record, ERROR_REASON).decode()
            assert reasons.setdefault((name, p, offset), reason) == reason
    verdict.dead_letters = sum(reason != "late" for reason in reasons.values())
    verdict.late = len(reasons) - verdict.dead_letters
    return reasons


def _agent_is_its_replay(
    agent: Agent, logs: Logs, settings: Settings, rejected: dict[tuple[str, int, int], str]
) -> None:
    """What the agent published is what stepping over its source yields, in whatever cut; so are its rejects."""
    name = settings.name_of(agent.source)
    published = {
        t: {_header(r, CE_ID): r.value for _, r in logs.of(t) if _came_from(r, agent)} for t in agent.publishes
    }
    expected: dict[Topic, dict[bytes, bytes]] = {topic: {} for topic in agent.publishes}
    refused: dict[tuple[str, int, int], str] = {}
    for p, records in logs.records[agent.source].items():
        one = replay(agent, name, p, records, 1000)
        assert one == replay(agent, name, p, records, 77), f"{agent.name}/{p}: two replays differ"
        for topic, outputs in one[0].items():
            expected[topic] |= outputs
        refused |= {(name, p, offset): reason for offset, reason in one[1].items()}
    oversized = {at for at, reason in rejected.items() if reason == "oversized"}
    for topic in agent.publishes:
        missing = expected[topic].keys() - published[topic].keys()
        assert len(missing) <= len(oversized), f"{topic.name}: {sorted(missing)[:3]} of {len(missing)} were lost"
        assert not published[topic].keys() - expected[topic].keys(), f"{topic.name} has ids that no input explains"
        wrong = [i for i, value in published[topic].items() if expected[topic][i] != value]
        assert not wrong, f"{topic.name}: {wrong[:3]} differ from the replay"
    mine = {at: reason for at, reason in rejected.items() if at[0] == name and at not in oversized}
    assert mine == refused, f"rejects of {agent.name}"


def replay(
    agent: Agent, name: str, partition: int, records: Sequence[Record], cut: int
) -> tuple[dict[Topic, dict[bytes, bytes]], dict[int, str], str]:
    """Outputs by topic and id, reasons by offset, and the digest of the state: one partition from its beginning."""
    stepper = Stepper(agent, name)
    held = stepper.start()
    outputs: dict[Topic, dict[bytes, bytes]] = {}
    reasons: dict[int, str] = {}
    for at in range(0, len(records), cut):
        piece = records[at : at + cut]
        work = stepper.admit(held, piece, stepper.decode(piece, partition))
        result = stepper.step_each(held, work) if _is_poison(piece) else stepper.step(held, work)
        origins, keys = Binary.of(work.origins), Binary.of(work.keys)
        for topic, output in result.outputs.items():
            made = Envelope(topic, agent.name).encode(output, origins, keys)
            ids = [dict(h)[CE_ID] for h in made.headers]
            outputs.setdefault(topic, {}).update(zip(ids, made.values, strict=True))  # type: ignore[arg-type]
        reasons |= {piece[r.row].offset: r.error.reason for r in work.rejected}
        reasons |= {piece[int(work.row[r.row])].offset: r.error.reason for r in result.rejected}
    digest = held.state.digest() if agent.keeps else ""  # type: ignore[attr-defined]
    return outputs, reasons, digest


def _state_is_its_replay(agent: Agent, logs: Logs, settings: Settings) -> None:
    name = settings.name_of(agent.source)
    ends = {p: records[-1].offset + 1 for p, records in logs.records[agent.source].items() if records}
    for p, restored in Changelog(Stepper(agent, name), settings, {}).restore(ends).items():
        assert restored.id is not None, f"{agent.name}/{p} has a snapshot"
        digest = replay(agent, name, p, logs.records[agent.source][p], 500)[2]
        assert restored.held.state.digest() == digest, f"the state of {agent.name}/{p} is not its replay"  # type: ignore[attr-defined]


def _keys_keep_their_order(logs: Logs, topic: Topic) -> None:
    """First deliveries of one key from one raw partition come in its order, and on one partition."""
    newest: dict[tuple[bytes | None, bytes], int] = defaultdict(lambda: -1)
    home: dict[bytes | None, int] = {}
    seen: set[bytes] = set()
    for p, record in logs.of(topic):
        if record.key is None:
            continue  # a control, which every partition has
        origin = _header(record, ORIGIN)
        assert home.setdefault(record.key, p) == p, f"{record.key!r} is on two partitions"
        if origin in seen:
            continue
        seen.add(origin)
        source, _, offset = origin.rpartition(b"/")
        assert int(offset) > newest[record.key, source], f"{record.key!r} is out of order"
        newest[record.key, source] = int(offset)


def _came_from(record: Record, agent: Agent) -> bool:
    return _header(record, "ce_source") == f"/dwcp-streams/{agent.name}".encode()


def _is_poison(records: Sequence[Record]) -> bool:
    return any(b"poison" in (r.value or b"") for r in records)


def _header(record: Record, name: str) -> bytes:
    return next(value for key, value in record.headers if key == name and value is not None)
