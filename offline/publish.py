"""Sends records that were made beside the stream, as the worker sends its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from schemas import header
from schemas.codec import codec_of
from schemas.header import Header
from schemas.topic import Topic
from streams.decision import log_decisions
from streams.message import Messages
from streams.model.announcer import Message
from streams.settings import Settings
from streams.sink import KafkaSink


class Statement(NamedTuple):
    """A record, where it goes, and its key."""

    topic: Topic
    record: Any
    key: str


def message_of(settings: Settings, said: Statement, source: str, more: Sequence[Header] = ()) -> Message:
    """A statement as it is written.

    Parameters
    ----------
    source
        Who says so, for the header `ce_source`.
    more
        Headers beside those that every record has.
    """
    topic, record, key = said
    headers = [(header.CE_ID, record.id.encode()), *header.event_headers(topic.name, source), *more]
    body = msgspec.json.encode(record)
    return Message(settings.name_of(topic), key.encode(), body, record.timestamp, headers)


def log_written(topic: Topic, message: Message) -> None:
    """A line for a record that is on the broker now, as for a decision of a worker."""
    assert topic.record is not None
    written = Messages.of([message.key], [message.value], [message.headers])
    log_decisions(topic, codec_of(topic.record), written)


def send(settings: Settings, statements: Sequence[Statement], source: str, more: Sequence[Header] = ()) -> None:
    """Send statements; they are on the broker when this returns.

    Parameters
    ----------
    source, more
        As `message_of`.

    Raises
    ------
    InfraError
        When one cannot be delivered.
    """
    if not statements:
        return
    messages = [message_of(settings, one, source, more) for one in statements]
    sink = KafkaSink(settings.bootstrap)
    for one in messages:
        sink.send(one.topic, [one.key], [one.value], [one.timestamp_ms], [one.headers])
    sink.close()
    for said, one in zip(statements, messages, strict=True):
        log_written(said.topic, one)
