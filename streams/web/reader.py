"""Reads the output topics for the live page, as any subscriber would: in a thread, without a group.

It reads only while somebody looks, begins a little before the end, and never more than a
fixed number of records a second; of what is more, it goes on at the end and says how much
it left out. So what a page costs a worker is bounded, and nothing when nobody looks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from threading import Event, Thread
from time import monotonic
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from schemas.codec import Codec
from schemas.error import DwcpError
from schemas.topic import Topic
from streams.registry import Registry
from streams.security import client_config
from streams.settings import Settings
from streams.web.view import FREQUENT, RARE, Seen, View

_BATCH: Final = 250
_TURN_S: Final = 0.2
_BEHIND_MAX: Final = 2000
_HISTORY: Final = 200
_TAIL_BASE: Final = -2000
"""librdkafka's: an offset of this less n is the n-th before the end."""

_IDLE_S: Final = 60.0
_RETRY_S: Final = 2.0
_CATCH_UP_S: Final = 6.0

_log = logging.getLogger(__name__)


class Reader:
    """Fills a view while somebody looks at it.

    Parameters
    ----------
    settings
        The broker, and the topics' names.
    view
        Where records go.
    """

    def __init__(self, settings: Settings, view: View) -> None:
        self.view = view
        self.missing: list[str] = []
        """Kinds of topics that are not on the broker."""
        self._settings = settings
        self._topics = {settings.name_of(topic): topic for topic in (*FREQUENT, *RARE)}
        self._codecs: dict[str, Codec[Any]] = {}
        self._resume: dict[tuple[str, int], int] = {}
        self._thread: Thread | None = None
        self._stopped = Event()
        self._there = Event()
        self._asked_at = 0.0

    def ask(self) -> None:
        """Somebody looks: read for a minute at least."""
        self._asked_at = monotonic()
        if (self._thread is None or not self._thread.is_alive()) and not self._stopped.is_set():
            self._there.clear()
            self._thread = Thread(target=self._run, name="page", daemon=True)
            self._thread.start()

    async def caught_up(self) -> None:
        """Wait, some seconds at most, until what was on the topics is in the view."""
        self.ask()
        deadline = monotonic() + _CATCH_UP_S
        while not self._there.is_set() and monotonic() < deadline:
            await asyncio.sleep(0.02)

    @property
    def there(self) -> bool:
        """Whether what was on the topics is in the view."""
        return self._there.is_set()

    def stop(self) -> None:
        """Read nothing more."""
        self._stopped.set()

    def _run(self) -> None:
        while self._wanted():
            try:
                self._read()
            except (KafkaException, DwcpError) as exc:
                _log.info("the page cannot be filled: %s", exc)
                self._stopped.wait(_RETRY_S)

    def _wanted(self) -> bool:
        return not self._stopped.is_set() and monotonic() - self._asked_at < _IDLE_S

    def _read(self) -> None:
        consumer = Consumer(client_config(self._settings) | {"group.id": f"{self._settings.app_id}-page"} | _CONFIG)
        try:
            places = self._assign(consumer)
            waiting = {(p.topic, p.partition) for p in places}
            checked = monotonic()
            while self._wanted():
                messages = consumer.consume(_BATCH, _TURN_S)
                waiting -= self._take(messages)
                if not waiting:
                    self._there.set()
                if monotonic() - checked > 1:
                    checked = monotonic()
                    self._skip(consumer, places)
                if len(messages) == _BATCH:
                    self._stopped.wait(_TURN_S)
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> list[TopicPartition]:
        there = consumer.list_topics(timeout=5).topics
        self.missing = sorted(topic.kind for name, topic in self._topics.items() if name not in there)
        places = [
            TopicPartition(name, p, self._resume.get((name, p), _TAIL_BASE - _HISTORY))
            for name in self._topics.keys() - self._topics_missing(there)
            for p in there[name].partitions
        ]
        consumer.assign(places)
        return places

    def _topics_missing(self, there: Any) -> set[str]:
        return {name for name in self._topics if name not in there}

    def _take(self, messages: Iterable[Message]) -> set[tuple[str, int]]:
        """Take records in; the partitions whose end was reached."""
        ended = set()
        by_topic: dict[str, list[Message]] = defaultdict(list)
        for message in messages:
            if message.error() is None:
                by_topic[message.topic()].append(message)
                self._resume[message.topic(), message.partition()] = message.offset() + 1
            else:  # _PARTITION_EOF, or trouble that librdkafka tries again
                ended.add((message.topic(), message.partition()))
        for name, found in by_topic.items():
            topic = self._topics[name]
            self.view.take(topic, self._decoded(topic, [m for m in found if m.value() is not None]))
        return ended

    def _decoded(self, topic: Topic, messages: list[Message]) -> list[tuple[Any, Seen]]:
        codec = self._codec(topic)
        records, rejected = codec.decode([m.value() for m in messages])
        bad = {one.row for one in rejected}
        kept = [m for row, m in enumerate(messages) if row not in bad]
        return [(record, _seen(m)) for record, m in zip(records, kept, strict=True)]

    def _codec(self, topic: Topic) -> Codec[Any]:
        if topic.kind not in self._codecs:
            url = self._settings.schema_registry_url
            registry = Registry(url, self._settings.schema_registry_auth) if url else None
            assert topic.record is not None
            self._codecs[topic.kind] = Codec(topic.record, registry)
        return self._codecs[topic.kind]

    def _skip(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Go on at the end of frequent topics that are too far ahead."""
        frequent = {self._settings.name_of(topic) for topic in FREQUENT}
        for place in places:
            at = self._resume.get((place.topic, place.partition))
            if place.topic not in frequent or at is None:
                continue
            _, end = consumer.get_watermark_offsets(place, cached=True)
            if end - at > _BEHIND_MAX:
                self.view.skipped += end - at
                self._resume.pop((place.topic, place.partition))
                consumer.seek(TopicPartition(place.topic, place.partition, OFFSET_END))


def _seen(message: Message) -> Seen:
    key = (message.key() or b"").decode("utf-8", "replace")
    return Seen(message.topic(), message.partition(), message.offset(), message.timestamp()[1], key, message.value())


_CONFIG: Final[dict[str, Any]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "latest",
    "fetch.wait.max.ms": 200,
    "fetch.max.bytes": 4 << 20,
    "max.partition.fetch.bytes": 131_072,
    "queued.max.messages.kbytes": 1024,
    "queued.min.messages": 100,
    "log_level": 0,
    "error_cb": lambda _: None,
}
