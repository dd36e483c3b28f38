"""Records that somebody posts, onto their topic: one at a time, and only said to be there once they are.

The worker's own producer ends the process when a record cannot be delivered, because an
input would be lost. What was posted is still with its sender, so here that is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.error import InfraError
from schemas.header import CONTENT_TYPE, JSON, Header, Headers
from streams.security import client_config
from streams.settings import Settings

_DELIVERY_S: Final = 8.0
_WAITING_MAX: Final = 32


class Place(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int


class Courier:
    """Sends single records; nothing is connected before the first.

    Parameters
    ----------
    settings
        The broker.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "courier")
        self._producer: Producer | None = None
        self._waiting = 0

    async def send(self, topic: str, key: bytes | None, value: bytes, trace: Sequence[Header] = ()) -> Place:
        """Publish, and say where it is once the broker has it.

        Raises
        ------
        InfraError
            When it was not delivered within 8 s, or too many wait already.
        """
        if self._waiting >= _WAITING_MAX:
            raise InfraError("too many posts wait for the broker: try again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._send, topic, key, value, trace)
        finally:
            self._waiting -= 1

    async def closed(self, _: Any = None) -> None:
        """Send nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _send(self, topic: str, key: bytes | None, value: bytes, trace: Sequence[Header]) -> Place:
        if self._producer is None:
            self._producer = Producer(client_config(self._settings) | _CONFIG)
        found: list[tuple[KafkaError | None, Message]] = []
        headers: Headers = [*trace, (CONTENT_TYPE, JSON)]
        try:
            self._producer.produce(topic, value, key, headers=headers, on_delivery=lambda e, m: found.append((e, m)))
        except KafkaException as exc:
            raise InfraError(f"not published to {topic}: {exc.args[0].str()}") from exc
        self._producer.flush(_DELIVERY_S + 1)
        if not found:
            raise InfraError(f"not published to {topic}: no broker answers")
        error, message = found[0]
        if error is not None:
            raise InfraError(f"not published to {topic}: {error.str()}")
        return Place(topic, message.partition(), message.offset())


_CONFIG: Final[dict[str, Any]] = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 0,
    "partitioner": "murmur2_random",
    "message.timeout.ms": int(_DELIVERY_S * 1000),
    "log_level": 0,
    "error_cb": lambda _: None,
}
