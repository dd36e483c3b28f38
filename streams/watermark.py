"""Where a partition begins and ends, asked again while its leader is only being chosen."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

_PASSING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
"""What a broker says of a topic that was just made, or whose leader is moving."""

_PAUSE_S: Final = 0.2


def watermarks(consumer: Consumer, place: TopicPartition, timeout_s: float) -> tuple[int, int] | None:
    """First offset, and the one after the last; None when no broker leads the partition.

    Raises
    ------
    KafkaException
        When no broker answers, or a leader is not there after the timeout.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            found: tuple[int, int] | None = consumer.get_watermark_offsets(place, timeout=timeout_s)
            return found
        except KafkaException as exc:
            if exc.args[0].code() not in _PASSING or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S)
