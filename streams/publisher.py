"""Publishing batches: a Faust producer that also owns a librdkafka one.

Faust's per-record sends keep going through aiokafka. Batches go through librdkafka
(idempotent, compressed, murmur2 of the key), which takes a batch in one call. Both are flushed
together, and Faust flushes before every commit: outputs are on the broker before their
inputs are committed.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from faust.transport.drivers.aiokafka import Producer

from schemas.error import InfraError
from streams.fatal import die
from streams.librdkafka import ANY_PARTITION, Librdkafka
from streams.message import Messages
from streams.security import client_config
from streams.settings import Settings
from streams.snapshot import PART_BYTES

_log = logging.getLogger(__name__)


class Publish(Protocol):
    """Hands records to a producer; see `Publisher.publish`."""

    async def __call__(self, topic: str, messages: Messages, *, partition: int = ANY_PARTITION) -> None:
        """Return once all are in the producer's queue."""
        ...


_FULL_WAIT_S = 0.005
_ACKNOWLEDGED_POLL_S = 0.002
_SLICE = 2000


class Publisher(Producer):
    """Faust's producer, and `publish` for batches."""

    _librdkafka: Librdkafka | None = None
    _failure: str = ""

    async def on_start(self) -> None:
        """Connect both producers."""
        await super().on_start()
        self._librdkafka = Librdkafka(producer_config(self.app.settings), self._not_delivered, _log)
        self._flushing = asyncio.Lock()

    async def on_stop(self) -> None:
        """Deliver what is pending and disconnect."""
        await self.flush()
        await super().on_stop()
        if self._librdkafka is not None:
            self._librdkafka.close()
            self._librdkafka = None

    async def publish(self, topic: str, messages: Messages, *, partition: int = ANY_PARTITION) -> None:
        """Hand records to the producer; returns once all are in its queue.

        They go to the given partition, or where murmur2 of each key says.

        Waits, without blocking the loop, while the queue is full: that is the back-pressure that
        stops fetching when outputs are slow. Delivery is awaited by `flush`; a record that
        cannot be delivered ends the process with exit code 70.
        """
        librdkafka = self._connected()
        row = 0
        while row < len(messages):
            end = min(row + _SLICE, len(messages))
            try:
                row = librdkafka.produce(topic, messages, row, end, partition)
            except InfraError as exc:
                die(InfraError(f"cannot publish to {topic}: {exc}"))
            librdkafka.poll()
            self._check()
            if row < len(messages):
                await asyncio.sleep(0 if row == end else _FULL_WAIT_S)

    async def flush(self) -> None:
        """Wait until everything handed over before is on the broker; others go on publishing."""
        await super().flush()
        if self._librdkafka is not None:
            async with self._flushing:
                await self._acknowledged()  # a flush may have been cancelled
                self._librdkafka.cut()
                await self._acknowledged()

    async def _acknowledged(self) -> None:
        librdkafka = self._connected()
        while librdkafka.unacknowledged:
            await asyncio.sleep(_ACKNOWLEDGED_POLL_S)
            librdkafka.poll()
            self._check()

    def _not_delivered(self, topic: str, reason: str) -> None:
        self._failure = self._failure or f"an output to {topic} was not delivered: {reason}"

    def _check(self) -> None:
        if self._failure:
            die(InfraError(self._failure))

    def _connected(self) -> Librdkafka:
        if self._librdkafka is None:
            raise InfraError("the publisher is not started")
        return self._librdkafka


def producer_config(settings: Settings) -> dict[str, Any]:
    """Configuration of the librdkafka producer, all of it on purpose."""
    return client_config(settings) | {
        "client.id": f"{settings.app_id}-publisher",
        "enable.idempotence": True,
        "compression.type": settings.compression,
        "linger.ms": settings.linger_ms,
        "partitioner": "murmur2_random",
        "delivery.report.only.error": True,
        "delivery.timeout.ms": int(settings.delivery_timeout_s * 1000),
        # Dead letters carry their input and its reasons, so they may be larger than any output.
        "message.max.bytes": max(max_record_bytes(settings.output_max_bytes), 2 * PART_BYTES),
        "queue.buffering.max.messages": 200_000,
        "queue.buffering.max.kbytes": 262_144,
        "log_level": 4,
    }


def max_record_bytes(output_max_bytes: int) -> int:
    """Largest record that the reject topics must hold, in bytes."""
    return 2 * output_max_bytes + 65_536
