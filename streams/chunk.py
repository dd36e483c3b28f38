"""A chunk: the records of one partition that one poll brought, as one Faust message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import faust
from faust.types import TP, AppT, ConsumerMessage, EventT, Message

from streams.offset import Span


class Chunk:
    """Raw records of one partition, in offset order.

    Parameters
    ----------
    tp
        Topic and partition.
    records
        What aiokafka decoded: objects with `key, value, offset, timestamp, headers`.
    span
        Their offsets, registered with the tracker.
    """

    __slots__ = ("records", "span", "tp")

    def __init__(self, tp: TP, records: Sequence[Any], span: Span) -> None:
        self.tp = tp
        self.records = records
        self.span = span

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"Chunk({self.tp.topic}/{self.tp.partition}, {self.span})"

    @classmethod
    def join(cls, chunks: Sequence[Chunk]) -> Chunk:
        """Consecutive chunks of one partition as one; its span is registered nowhere."""
        if len(chunks) == 1:
            return chunks[0]
        records = [record for chunk in chunks for record in chunk.records]
        return cls(chunks[0].tp, records, Span(chunks[0].span.first, chunks[-1].span.end))

    def message(self, generation_id: int | None) -> ConsumerMessage:
        """The one message that Faust sees; its offset is the first record's."""
        last = self.records[-1]
        return ConsumerMessage(
            self.tp.topic, self.tp.partition, self.span.first, last.timestamp / 1000.0, last.timestamp_type,
            None, None, self, None, 0, 0, self.tp, generation_id=generation_id,
        )  # fmt: skip


class ChunkSchema(faust.Schema):
    """Passes chunks through: decoding is the runner's, in one call per chunk."""

    def compile(self, app: AppT, **_: Any) -> Any:
        """The coroutine function that turns a message into an event."""
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> EventT:
            return create_event(None, message.value, None, message)

        return decode
