"""Sends records that were made beside the stream, as the worker sends its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas import header
from schemas.codec import codec_of
from schemas.topic import Topic
from streams.decision import log_decisions
from streams.message import Messages
from streams.model.announcer import Headers
from streams.settings import Settings
from streams.sink import KafkaSink


def send(
    settings: Settings,
    records: Sequence[tuple[Topic, Any, str]],
    source: str,
    more: Sequence[tuple[str, bytes | None]] = (),
) -> None:
    """Send records, each with its topic and key; they are on the broker when this returns.

    Parameters
    ----------
    source
        Who says so, for the header `ce_source`.
    more
        Headers beside those of `headers_of`.

    Raises
    ------
    InfraError
        When one cannot be delivered.
    """
    if not records:
        return
    sink = KafkaSink(settings.bootstrap)
    sent = []
    for topic, record, key in records:
        assert topic.record is not None
        headers = [*headers_of(topic, record, source), *more]
        body = msgspec.json.encode(record)
        sink.send(settings.name_of(topic), [key.encode()], [body], [record.timestamp], [headers])
        sent.append((topic, codec_of(topic.record), Messages.of([key.encode()], [body], [headers])))
    sink.close()
    for one in sent:
        log_decisions(*one)


def headers_of(topic: Topic, record: Any, source: str) -> Headers:
    """What every record of ours has."""
    return [
        (header.CONTENT_TYPE, header.JSON),
        (header.CE_SPECVERSION, b"1.0"),
        (header.CE_ID, record.id.encode()),
        (header.CE_SOURCE, f"/dwcp-streams/{source}".encode()),
        (header.CE_TYPE, topic.name.encode()),
    ]
