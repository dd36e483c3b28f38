"""Names of the Kafka headers, and the origin they carry.

CloudEvents 1.0 Kafka binding, binary mode, plus ours. The origin of a record is
the raw record it derives from; it survives every hop, and `origin:kind` is the
deterministic id by which consumers drop repeats.
"""

from __future__ import annotations

from typing import Final

Header = tuple[str, bytes | None]
Headers = list[Header]
"""Of one record, in order."""

CONTENT_TYPE: Final = "content-type"
CE_SPECVERSION: Final = "ce_specversion"
CE_ID: Final = "ce_id"
CE_SOURCE: Final = "ce_source"
CE_TYPE: Final = "ce_type"
CE_TIME: Final = "ce_time"
ORIGIN: Final = "dwcp-origin"

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
"""W3C trace context, handed on as it came."""

ERROR_REASON: Final = "dwcp-error-reason"
ERROR_STAGE: Final = "dwcp-error-stage"
ERROR_MESSAGE: Final = "dwcp-error-message"
ERROR_TOPIC: Final = "dwcp-error-topic"
ERROR_PARTITION: Final = "dwcp-error-partition"
ERROR_OFFSET: Final = "dwcp-error-offset"
ERROR: Final = (ERROR_REASON, ERROR_STAGE, ERROR_MESSAGE, ERROR_TOPIC, ERROR_PARTITION, ERROR_OFFSET)

REPLAYED_FROM: Final = "dwcp-replayed-from"
"""On a replayed dead letter: which one. It is no redelivery, though its origin is not new."""

CONTROL: Final = "dwcp-control"
CONTROL_BODY: Final = "dwcp-control-body"
"""On a record without a value in a keyed topic: what takes effect here (`schemas.batch.Control`), and its JSON."""

SNAPSHOT: Final = "dwcp-snapshot"

JSON: Final = b"application/json"
AVRO: Final = b"application/avro"
"""Both framings: readers tell them apart by the first bytes."""


def origin_of(topic: str, partition: int, offset: int) -> bytes:
    """Origin of a record read from a raw topic.

    >>> origin_of("dwcp.network.raw.v1", 3, 42)
    b'dwcp.network.raw.v1/3/42'
    """
    return b"%s/%d/%d" % (topic.encode(), partition, offset)


def event_headers(topic: str, source: str, content_type: bytes = JSON) -> Headers:
    """CloudEvents headers that every record of a topic and a source has alike; `ce_id` comes beside them.

    >>> dict(event_headers("dwcp.network.forecast.v1", "network"))["ce_source"]
    b'/dwcp-streams/network'
    """
    return [
        (CONTENT_TYPE, content_type),
        (CE_SPECVERSION, b"1.0"),
        (CE_SOURCE, f"/dwcp-streams/{source}".encode()),
        (CE_TYPE, topic.encode()),
    ]
