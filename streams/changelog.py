"""Restoring states from a broker: the newest snapshot, then a silent replay up to the committed offset.

A snapshot is published only once its records are committed, so it never reaches beyond the
committed offset; what lies between the two is read from the source again and stepped over without publishing,
because its outputs were confirmed before it was committed. Without a usable snapshot the replay begins
earlier, as far back as the setting allows. Everything here blocks: it runs in a thread of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.error import InfraError, StateError
from schemas.topic import INPUTS
from streams.agent import is_kept
from streams.security import client_config
from streams.settings import Settings
from streams.snapshot import Chain, Content, Id, SnapshotLog
from streams.stepper import Stepper
from streams.topic import admin
from streams.watermark import watermarks
from streams.work import Held

_log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 10.0
_SILENCE_S: Final = 30.0
_GATHER_S: Final = 0.02
_MESSAGES: Final = 4096


class Record(NamedTuple):
    """A record as a step's decoder wants it."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(slots=True)
class Restored:
    """A partition's state, and what it came from.

    Parameters
    ----------
    held
        The state, at the offset that was asked for.
    id, base, size
        The snapshot it came from, where its chain began, and the bytes of the chain; None and 0 when it was rebuilt.
    replayed
        Records stepped over after that.
    """

    held: Held
    id: Id | None = None
    base: Id | None = None
    size: int = 0
    replayed: int = 0


class Changelog:
    """One agent's snapshots on the broker, and its source to replay from.

    Parameters
    ----------
    stepper
        The agent's.
    settings
        The broker, topic names, and how far back to replay.
    topic_ids
        Ids of topics by name, as far as the broker gives any.
    """

    def __init__(self, stepper: Stepper, settings: Settings, topic_ids: Mapping[str, str]) -> None:
        keeps = stepper.agent.keeps
        assert keeps is not None
        self._stepper = stepper
        self._settings = settings
        self.topic = settings.name_of(keeps)
        self._source = settings.name_of(stepper.agent.source)
        self.topic_ids = {name: topic_ids[name] for name in self._related() if name in topic_ids}

    def restore(self, limits: Mapping[int, int]) -> dict[int, Restored]:
        """States of these partitions as they were before the given offsets of the source.

        Raises
        ------
        InfraError
            When the broker does not answer.
        """
        consumer = self._consumer()
        try:
            logs = self._read_snapshots(consumer, limits)
            return {p: self._restore_one(consumer, p, limit, logs[p]) for p, limit in limits.items()}
        except KafkaException as exc:
            raise InfraError(f"cannot restore from {self.topic}: {exc.args[0].str()}") from exc
        finally:
            consumer.close()

    def end(self, partition: int) -> int:
        """Offset after the last snapshot record; 0 when the broker does not say."""
        place = TopicPartition(self.topic, partition)
        try:
            asked = self._admin.list_offsets({place: OffsetSpec.latest()}, request_timeout=_TIMEOUT_S)
            return int(asked[place].result(_TIMEOUT_S).offset)
        except (KafkaException, TimeoutError) as exc:
            _log.info("old snapshots stay in %s: %s", self.topic, exc)
            return 0

    def trim(self, before: Mapping[int, int]) -> None:
        """Delete the snapshots before these offsets; a broker that cannot keeps them."""
        asked = [TopicPartition(self.topic, p, offset) for p, offset in before.items() if offset > 0]
        try:
            for done in self._admin.delete_records(asked, request_timeout=_TIMEOUT_S).values() if asked else ():
                done.result(_TIMEOUT_S)
        except (KafkaException, TimeoutError) as exc:
            _log.info("old snapshots stay in %s: %s", self.topic, exc)

    @cached_property
    def _admin(self) -> AdminClient:
        return admin(self._settings)

    def _related(self) -> list[str]:
        return [self._source, *(self._settings.name_of(topic) for topic in INPUTS)]

    def _consumer(self) -> Consumer:
        return Consumer(
            client_config(self._settings)
            | {
                "group.id": f"{self._settings.app_id}-restore",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "fetch.message.max.bytes": 8 << 20,
                "fetch.max.bytes": 64 << 20,
                "queued.max.messages.kbytes": 262_144,
                "log_level": 3,
            },
            logger=_log,
        )

    def _read_snapshots(self, consumer: Consumer, partitions: Mapping[int, int]) -> dict[int, SnapshotLog]:
        logs = {p: SnapshotLog() for p in partitions}
        for message in _read(consumer, self.topic, dict.fromkeys(partitions, 0), dict.fromkeys(partitions)):
            logs[message.partition()].add(message.value(), message.headers())
        return logs

    def _restore_one(self, consumer: Consumer, partition: int, limit: int, log: SnapshotLog) -> Restored:
        chain = log.newest(self._settings.app_id, limit, self.topic_ids)
        try:
            return self._replayed(consumer, partition, limit, chain, self._stepper.step)
        except (InfraError, KafkaException, MemoryError):
            raise
        except StateError as exc:
            _log.warning("%s/%d: a snapshot is not usable (%s): %s", self.topic, partition, exc.reason, exc)
            return self._restore_one(consumer, partition, limit, SnapshotLog())
        except Exception:  # the step that failed once fails again: this time every record on its own
            return self._replayed(consumer, partition, limit, chain, self._stepper.step_each)

    def _replayed(self, consumer: Consumer, partition: int, limit: int, chain: Chain | None, step: Any) -> Restored:
        found = Restored(self._stepper.start())
        held = found.held
        if chain is None:
            held.next_offset = max(0, limit - self._settings.rebuild_records)
        else:
            _load(held, chain)
            self._stepper.provide(held)
            found.id, found.base, found.size = chain.label.id, chain.base, sum(map(len, chain.contents))
        first = held.next_offset or 0
        for records in _chunks(consumer, self._source, partition, first, limit):
            work = self._stepper.decode(records, partition)
            self._stepper.prepare(work)
            step(held, self._stepper.admit(held, records, work))
            found.replayed += len(records)
        held.next_offset = limit
        return found


def _load(held: Held, chain: Chain) -> None:
    assert is_kept(held.state)
    for content in chain.contents:
        try:
            one = msgspec.msgpack.decode(content, type=Content)
        except msgspec.DecodeError as exc:
            raise StateError("damaged", f"a snapshot does not decode: {exc}") from exc
        held.state.load(one.piece)
        if one.newest_origin is not None:
            held.newest_origin = {name.encode(): offset for name, offset in one.newest_origin.items()}
    held.next_offset = chain.label.next_offset


def _chunks(consumer: Consumer, topic: str, partition: int, first: int, limit: int) -> Iterator[list[Record]]:
    """Records `[first, limit)` of one partition, a few thousand at a time."""
    records: list[Record] = []
    if first >= limit:
        return
    for m in _read(consumer, topic, {partition: first}, {partition: limit}):
        records.append(Record(m.key(), m.value(), m.offset(), m.timestamp()[1], m.headers() or ()))
        if len(records) == _MESSAGES:
            yield records
            records = []
    if records:
        yield records


def _read(consumer: Consumer, topic: str, first: Mapping[int, int], limit: Mapping[int, int | None]) -> Iterator[Any]:
    """Records of some partitions from their first offsets up to their limits, or to their present ends.

    Raises
    ------
    InfraError
        When nothing comes for half a minute.
    """
    open_: dict[int, int] = {}
    for p, offset in first.items():
        found = watermarks(consumer, TopicPartition(topic, p), _TIMEOUT_S)
        if found is None:
            raise InfraError(f"no broker leads {topic}/{p}")
        low, high = found
        wanted = limit[p]
        end = high if wanted is None else min(high, wanted)
        if max(offset, low) < end:
            open_[p] = end
    consumer.assign([TopicPartition(topic, p, first[p]) for p in open_])
    heard = monotonic()
    while open_:
        messages = consumer.consume(_MESSAGES, _GATHER_S)
        if messages:
            heard = monotonic()
        elif monotonic() - heard > _SILENCE_S:
            raise InfraError(f"nothing was read from {topic} for {_SILENCE_S:g} s, {len(open_)} partitions to go")
        for message in messages:
            p = message.partition()
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                open_.pop(p, None)  # what is missing before the end are markers of transactions
            elif p in open_:
                if message.offset() < open_[p]:
                    yield message
                if message.offset() + 1 >= open_[p]:
                    del open_[p]
    consumer.unassign()


def topic_ids(client: AdminClient, topics: Sequence[str]) -> dict[str, str]:
    """Ids of topics by name; none where the broker gives none."""
    try:
        if client.list_topics(timeout=_TIMEOUT_S).cluster_id.startswith("mock"):
            return {}  # librdkafka's mock cluster does not answer the question, not even with a refusal
        found = client.describe_topics(TopicCollection(list(topics)), request_timeout=_TIMEOUT_S)
        return {name: str(done.result(_TIMEOUT_S).topic_id) for name, done in found.items()}
    except (KafkaException, TimeoutError, AttributeError) as exc:
        _log.info("the broker gives no topic ids: %s", exc)
        return {}
