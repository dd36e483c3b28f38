"""Whether records wait that a worker does not read, as a client of its own sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.security import client_config
from streams.settings import Settings

_TIMEOUT_S: Final = 5.0

Place = tuple[str, int]


def first_waiting(settings: Settings, floors: Mapping[Place, int]) -> str | None:
    """The first partition that has a record at or after its floor, in words; None when there is none, or no broker.

    A partition may end beyond its last record, where transactions were; so one is read.

    Parameters
    ----------
    settings
        The broker.
    floors
        Committed offset by topic and partition.
    """
    consumer = Consumer(
        client_config(settings)
        | {"group.id": f"{settings.app_id}-watch", "enable.auto.commit": False,
         "isolation.level": "read_committed", "auto.offset.reset": "earliest", "log_level": 0}
    )  # fmt: skip
    try:
        for (topic, partition), floor in floors.items():
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_S)
            if end <= floor:
                continue
            consumer.assign([TopicPartition(topic, partition, floor)])
            found = consumer.consume(1, _TIMEOUT_S)
            if found and found[0].error() is None:
                return f"{topic}/{partition} at offset {found[0].offset()}"
        return None
    except KafkaException:
        return None
    finally:
        consumer.close()
