"""A plain producer for tools that feed topics from outside the worker.

Agents publish through `streams.publisher`, joined with Faust's commits. This one is
for the simulator and for replay: batches in, delivery checked, errors said clearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.error import ConfigError, InfraError
from streams.settings import Settings

_ANSWER_S: Final = 5.0
_DELIVERY_MS: Final = 30_000
_POLL_S: Final = 0.05
_POLL_EVERY: Final = 2_000


class KafkaSink:
    """Sends records to a broker, keys hashed by CRC32 as librdkafka's producers do.

    Parameters
    ----------
    broker_url
        `kafka://host:port`, several separated by commas.

    Raises
    ------
    ConfigError
        When the URL is not one.
    InfraError
        When no broker answers within 5 s, a topic is missing, or a record is not delivered.
    """

    def __init__(self, broker_url: str) -> None:
        try:
            self._bootstrap = Settings.from_environment({"BROKER_URL": broker_url}).bootstrap
        except ConfigError as exc:
            raise ConfigError("--to", broker_url, exc.allowed) from None
        self._failure: KafkaError | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "compression.type": "lz4",
                "linger.ms": 10,
                "batch.num.messages": 10_000,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 262_144,
                "message.timeout.ms": _DELIVERY_MS,
                "enable.idempotence": True,
                "partitioner": "consistent_random",
                "delivery.report.only.error": True,
                "on_delivery": self._on_delivery,
                "error_cb": lambda _: None,
                "log_level": 0,
            }
        )
        self._topics = self._known_topics()

    def send(
        self, topic_name: str, keys: Sequence[bytes | None], values: Sequence[bytes], timestamps_ms: Sequence[int]
    ) -> None:
        """Hand over records of one topic; waits only while the producer's queue is full.

        Parameters
        ----------
        topic_name
            Must exist on the broker.
        keys, values, timestamps_ms
            Of equal length; times in ms since the epoch.
        """
        if topic_name not in self._topics:
            raise InfraError(f"topic {topic_name} does not exist on {self._bootstrap}: run `dwcp topics apply` first")
        produce, poll = self._producer.produce, self._producer.poll
        for number, (key, value, at) in enumerate(zip(keys, values, timestamps_ms, strict=True), 1):
            while True:
                try:
                    produce(topic_name, value, key, timestamp=at)
                    break
                except BufferError:
                    poll(_POLL_S)
                    self._check()
            if number % _POLL_EVERY == 0:
                poll(0)
        poll(0)
        self._check()

    def close(self) -> None:
        """Return when every record was delivered."""
        left = self._producer.flush(_DELIVERY_MS / 1000 + 5)
        self._check()
        if left:
            raise InfraError(f"{left} records were not delivered to {self._bootstrap} within {_DELIVERY_MS // 1000} s")

    def _on_delivery(self, error: KafkaError | None, _: Any) -> None:
        self._failure = self._failure or error

    def _check(self) -> None:
        if self._failure is not None:
            # Nothing that is still waiting can help: do not wait for it on the way out.
            self._producer.purge()
            raise InfraError(f"a record was not delivered to {self._bootstrap}: {self._failure.str()}")

    def _known_topics(self) -> set[str]:
        try:
            return set(self._producer.list_topics(timeout=_ANSWER_S).topics)
        except KafkaException as exc:
            answer = f"no broker answers at {self._bootstrap} ({exc.args[0].str()})"
            raise InfraError(f"{answer}: start one, or correct the address") from exc
