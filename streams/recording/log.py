"""Reading topics as they are now: from their beginning to their present end, in one order.

Partitions are merged by timestamp, then topic, partition and offset. A record whose
timestamp lies before its predecessor's in the partition keeps its place behind it,
so the order within a partition is always the broker's, and the whole is the same
however fetches came in.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Final, NamedTuple

from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from schemas.error import ConfigError, InfraError
from schemas.topic import TOPICS
from streams.recording.format import Recorded
from streams.security import client_config
from streams.settings import Settings
from streams.watermark import watermarks

_ANSWER_S: Final = 5.0
_SILENCE_S: Final = 30.0
_POLL_S: Final = 0.02
"""How long to wait for more of what is there; a poll that is not full waits it out."""
_FOLLOW_S: Final = 0.2
_POLL_RECORDS: Final = 2_000
_RECORD_BYTES: Final = 400
"""What a record costs in memory beside its key and value."""

TIMESTAMP_TYPES: Final = {TIMESTAMP_CREATE_TIME: "create", TIMESTAMP_LOG_APPEND_TIME: "logappend"}


class Place(NamedTuple):
    """A partition of a topic; places order by name, then number."""

    topic: str
    partition: int


class Span(NamedTuple):
    """Offsets `[first, end)`."""

    first: int
    end: int


def resolve(names: Sequence[str], settings: Settings) -> list[str]:
    """Topic names of names or kinds: `network.raw` is what the settings call that topic."""
    kinds = {topic.kind: settings.name_of(topic) for topic in TOPICS}
    return list(dict.fromkeys(kinds.get(name, name) for name in names))


class Log:
    """Topics of a broker, to be read from beginning to end; a context manager.

    Parameters
    ----------
    settings
        Where the broker is.
    topics
        Names on the broker.
    since_ms
        Leave out what the broker knows to be older.
    buffer_bytes
        Per partition, what is held while others are waited for.

    Raises
    ------
    ConfigError
        When a topic does not exist.
    InfraError
        When no broker answers.
    """

    def __init__(
        self, settings: Settings, topics: Sequence[str], since_ms: int | None = None, buffer_bytes: int = 4 << 20
    ) -> None:
        self._bootstrap = settings.bootstrap
        self._buffer_bytes = buffer_bytes
        self._consumer = Consumer(
            client_config(settings)
            | {
                "group.id": f"{settings.app_id}-recorder",  # never joined: partitions are assigned
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
                "log_level": 0,
                "error_cb": lambda _: None,
            }
        )
        try:
            self.spans = self._spans(topics, since_ms)
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    @property
    def offsets(self) -> int:
        """How many offsets there are to read; compaction may have left fewer records."""
        return sum(span.end - span.first for span in self.spans.values())

    def read(self, stopped: Callable[[], bool] = lambda: False) -> Iterator[Recorded]:
        """Every record before the ends that were found at the start; ends early when stopped.

        Raises
        ------
        InfraError
            When the broker falls silent or refuses.
        """
        merge = _Merge(self.spans)
        self._assign({place: span.first for place, span in self.spans.items() if span.end > span.first})
        paused: set[Place] = set()
        heard = time.monotonic()
        while merge.open and not stopped():
            messages = self._consumer.consume(_POLL_RECORDS, _POLL_S)
            for message in messages:
                merge.take(message)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENCE_S:
                where = ", ".join(f"{place.topic}/{place.partition}" for place in sorted(merge.open)[:3])
                raise InfraError(f"nothing came from {self._bootstrap} for {_SILENCE_S:g} s while reading {where}")
            yield from merge.ready()
            self._balance(merge, paused)
        if not merge.open:
            yield from merge.ready()

    def follow(self, stopped: Callable[[], bool]) -> Iterator[Recorded | None]:
        """What comes after those ends, as it comes; None while nothing does. Ends when stopped."""
        self._assign({place: span.end for place, span in self.spans.items()})
        while not stopped():
            records = [m for m in self._consumer.consume(_POLL_RECORDS, _FOLLOW_S) if not _at_end(m)]
            yield from map(recorded, records)
            yield None

    def one(self, place: Place, offset: int) -> Recorded | None:
        """The record at an offset; None when there is none.

        Raises
        ------
        InfraError
            When the broker falls silent or refuses.
        """
        span = self.spans.get(place)
        if span is None or not span.first <= offset < span.end:
            return None
        self.spans = {place: Span(offset, offset + 1)}
        return next((record for record in self.read() if record.offset == offset), None)

    def _balance(self, merge: _Merge, paused: set[Place]) -> None:
        """Stop fetching what is far ahead of what is waited for."""
        full = {place for place, held in merge.held_bytes.items() if held > self._buffer_bytes and place in merge.open}
        low = {place for place in paused if merge.held_bytes[place] <= self._buffer_bytes // 2}
        if full - paused:
            self._consumer.pause([TopicPartition(*place) for place in full - paused])
        if low:
            self._consumer.resume([TopicPartition(*place) for place in low])
        paused |= full
        paused -= low

    def _assign(self, first: dict[Place, int]) -> None:
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in first.items()])

    def _spans(self, topics: Sequence[str], since_ms: int | None) -> dict[Place, Span]:
        try:
            known = self._consumer.list_topics(timeout=_ANSWER_S).topics
            places = []
            for name in topics:
                if name not in known or known[name].error is not None:
                    there = ", ".join(sorted(n for n in known if not n.startswith("__"))[:30]) or "none"
                    raise ConfigError("TOPIC", name, f"a topic of {self._bootstrap}, or a kind: {there}")
                places += [Place(name, partition) for partition in sorted(known[name].partitions)]
            spans = {}
            for place in places:
                found = watermarks(self._consumer, TopicPartition(*place), _ANSWER_S)
                if found is None:
                    raise InfraError(f"no broker leads {place.topic}/{place.partition} on {self._bootstrap}")
                spans[place] = Span(*found)
            return spans if since_ms is None else self._since(spans, since_ms)
        except KafkaException as exc:
            answer = f"no Kafka broker answers at {self._bootstrap} ({exc.args[0].str()})"
            raise InfraError(f"{answer}: start one, or set BROKER_URL") from exc

    def _since(self, spans: dict[Place, Span], since_ms: int) -> dict[Place, Span]:
        """Spans without what the broker knows to be older; unchanged where it keeps no index of times."""
        asked = [place for place, span in spans.items() if span.end > span.first]

        def offsets(at_ms: int) -> dict[Place, int]:
            found = self._consumer.offsets_for_times([TopicPartition(*p, at_ms) for p in asked], timeout=_ANSWER_S)
            return {Place(tp.topic, tp.partition): tp.offset for tp in found}

        if not asked:
            return spans
        # The embedded broker answers "none" to every time; a real one knows what came after the epoch.
        indexed = {place for place, offset in offsets(0).items() if offset >= 0}
        later = offsets(since_ms)
        return {
            place: Span(later[place] if later[place] >= 0 else span.end, span.end) if place in indexed else span
            for place, span in spans.items()
        }


class _Merge:
    """Records of several partitions, given in the order of each, taken in one order."""

    def __init__(self, spans: dict[Place, Span]) -> None:
        self._spans = spans
        self.open = {place for place, span in spans.items() if span.end > span.first}
        self.held_bytes = dict.fromkeys(self.open, 0)
        self._held: dict[Place, deque[tuple[int, Recorded]]] = {place: deque() for place in self.open}
        self._reached = dict.fromkeys(self.open, -1)
        self._heads: list[tuple[int, Place, int]] = []
        self._waited_for = set(self.open)

    def take(self, message: Message) -> None:
        """Take a record, or the news that a partition is at its end."""
        place = Place(message.topic(), message.partition())
        if _at_end(message):
            self._finish(place)
            return
        record = recorded(message)
        if place not in self.open or record.offset >= self._spans[place].end:
            self._finish(place)
            return
        reached = self._reached[place] = max(self._reached[place], record.timestamp_ms)
        self._held[place].append((reached, record))
        self.held_bytes[place] += _size(record)
        if place in self._waited_for:
            self._waited_for.discard(place)
            heappush(self._heads, (reached, place, record.offset))
        if record.offset == self._spans[place].end - 1:
            self._finish(place)

    def ready(self) -> Iterator[Recorded]:
        """What no record still to come can precede."""
        while self._heads and not self._waited_for:
            _, place, _ = heappop(self._heads)
            held = self._held[place]
            _, record = held.popleft()
            self.held_bytes[place] -= _size(record)
            if held:
                heappush(self._heads, (held[0][0], place, held[0][1].offset))
            elif place in self.open:
                self._waited_for.add(place)
            yield record

    def _finish(self, place: Place) -> None:
        self.open.discard(place)
        self._waited_for.discard(place)


def recorded(message: Message) -> Recorded:
    """A message as a record."""
    kind, at = message.timestamp()
    return Recorded(
        message.topic(), message.partition(), message.offset(), at, message.key(), message.value(),
        tuple(message.headers() or ()), TIMESTAMP_TYPES.get(kind, "unknown"),
    )  # fmt: skip


def _at_end(message: Message) -> bool:
    """Whether it says that a partition is at its end instead of being a record.

    Raises
    ------
    InfraError
        When it is an error.
    """
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    raise InfraError(f"cannot read {message.topic()}/{message.partition()}: {error.str()}")


def _size(record: Recorded) -> int:
    return _RECORD_BYTES + len(record.key or b"") + len(record.value or b"")
