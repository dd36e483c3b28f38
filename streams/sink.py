"""A plain producer for tools that feed topics from outside the worker.

Agents publish through `streams.publisher`, joined with Faust's commits. This one is
for the simulator and for replay: batches in, delivery checked, errors said clearly.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.error import ConfigError, InfraError
from streams.security import client_config
from streams.settings import Settings

_ANSWER_S: Final = 5.0
_DELIVERY_S: Final = 30
_POLL_S: Final = 0.05
_POLL_EVERY: Final = 2_000
_PURGE_S: Final = 5.0

ANY_PARTITION: Final = -1
"""Let the key decide."""

Headers = Sequence[tuple[str, bytes | None]]


class KafkaSink:
    """Sends records to a broker, keys hashed by CRC32 as librdkafka's producers do.

    Parameters
    ----------
    broker_url
        `kafka://host:port`, several separated by commas; `DWCP_KAFKA_*` of the environment let it in.
    delivery_s
        How long a record may wait for the broker.

    Raises
    ------
    ConfigError
        When the URL is not one.
    InfraError
        When no broker answers within 5 s, a topic is missing, or a record is not delivered.
    """

    def __init__(self, broker_url: str, delivery_s: int = _DELIVERY_S) -> None:
        try:
            secured = {name: value for name, value in os.environ.items() if name.startswith("DWCP_KAFKA_")}
            settings = Settings.from_environment({**secured, "BROKER_URL": broker_url})
        except ConfigError as exc:
            if exc.variable != "BROKER_URL":
                raise
            raise ConfigError("--to", broker_url, exc.allowed) from None
        self._bootstrap = settings.bootstrap
        self._delivery_s = delivery_s
        self._failure: KafkaError | None = None
        self._sent = self._failed = 0
        self._producer = Producer(
            client_config(settings)
            | {
                "compression.type": "lz4",
                "linger.ms": 10,
                "batch.num.messages": 10_000,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 262_144,
                "message.timeout.ms": 1000 * delivery_s,
                "enable.idempotence": True,
                "partitioner": "consistent_random",
                "delivery.report.only.error": True,
                # What was read from a topic must fit back into it; the broker's own limit still holds.
                "message.max.bytes": 64 << 20,
                "on_delivery": self._on_delivery,
                "error_cb": lambda _: None,
                "log_level": 0,
            }
        )
        self._topics = self._known_topics()

    def send(
        self,
        topic_name: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        timestamps_ms: Sequence[int],
        headers: Sequence[Headers] | None = None,
        partitions: Sequence[int] | None = None,
    ) -> None:
        """Hand over records of one topic; waits only while the producer's queue is full.

        Parameters
        ----------
        topic_name
            Must exist on the broker.
        keys, values, timestamps_ms
            Of equal length; times in ms since the epoch, 0 for now.
        headers, partitions
            Of the same length; by default none, and what the key says.
        """
        self.partitions_of(topic_name)
        produce, poll = self._producer.produce, self._producer.poll
        heads: Sequence[Headers | None] = headers or [None] * len(values)
        places = partitions or [ANY_PARTITION] * len(values)
        rows = zip(keys, values, timestamps_ms, heads, places, strict=True)
        for number, (key, value, at, head, partition) in enumerate(rows, 1):
            while True:
                try:
                    produce(topic_name, value, key, partition, timestamp=at, headers=head)
                    break
                except BufferError:
                    poll(_POLL_S)
                    self._check()
                except KafkaException as exc:
                    raise InfraError(f"cannot send a record to {topic_name}: {exc.args[0].str()}") from exc
            self._sent += 1
            if number % _POLL_EVERY == 0:
                poll(0)
        poll(0)
        self._check()

    def partitions_of(self, topic_name: str) -> int:
        """How many partitions a topic has.

        Raises
        ------
        InfraError
            When it does not exist.
        """
        found = self._topics.get(topic_name)
        if found is None:
            raise InfraError(f"topic {topic_name} does not exist on {self._bootstrap}: run `dwcp topics apply` first")
        return found

    @property
    def delivered(self) -> int:
        """How many records the broker has confirmed."""
        return self._sent - self._failed - len(self._producer)

    def flush(self) -> None:
        """Return when every record handed over was delivered."""
        left = self._producer.flush(self._delivery_s + 5)
        self._check()
        if left:
            raise InfraError(f"{left} records were not delivered to {self._bootstrap} within {self._delivery_s} s")

    def close(self) -> None:
        """Return when every record was delivered."""
        self.flush()

    def _on_delivery(self, error: KafkaError | None, _: Any) -> None:
        self._failure = self._failure or error
        self._failed += error is not None

    def _check(self) -> None:
        if self._failure is not None:
            # Nothing that is still waiting can help: do not wait for it on the way out.
            self._producer.purge()
            self._producer.flush(_PURGE_S)
            raise InfraError(f"a record was not delivered to {self._bootstrap}: {self._failure.str()}")

    def _known_topics(self) -> dict[str, int]:
        try:
            found = self._producer.list_topics(timeout=_ANSWER_S).topics
            return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}
        except KafkaException as exc:
            answer = f"no broker answers at {self._bootstrap} ({exc.args[0].str()})"
            raise InfraError(f"{answer}: start one, or correct the address") from exc
