"""A chunk: the records of one partition that one poll brought, as one Faust message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Sequence
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
        return cls(chunks[0].tp, records_of(chunks), Span(chunks[0].span.first, chunks[-1].span.end))

    def message(self, generation_id: int | None) -> ConsumerMessage:
        """The one message that Faust sees; its offset is the first record's."""
        last = self.records[-1]
        return ConsumerMessage(
            self.tp.topic, self.tp.partition, self.span.first, last.timestamp / 1000.0, last.timestamp_type,
            None, None, self, None, 0, 0, self.tp, generation_id=generation_id,
        )  # fmt: skip


def records_of(chunks: Sequence[Chunk]) -> Sequence[Any]:
    """Records of all chunks."""
    return chunks[0].records if len(chunks) == 1 else [record for chunk in chunks for record in chunk.records]


async def fill(waiting: asyncio.Queue[Chunk | None], chunks: AsyncIterable[Chunk]) -> None:
    """Move chunks into the queue as they come; None at their end."""
    async for chunk in chunks:
        await waiting.put(chunk)
    await waiting.put(None)


def by_partition(chunks: Sequence[Chunk], max_records: int) -> list[list[Chunk]]:
    """Chunks by partition, in order, no more than `max_records` together unless one alone is larger."""
    groups: list[list[Chunk]] = []
    newest: dict[TP, list[Chunk]] = {}
    for chunk in chunks:
        group = newest.get(chunk.tp)
        if group is None or sum(map(len, group)) + len(chunk) > max_records:
            group = newest[chunk.tp] = []
            groups.append(group)
        group.append(chunk)
    return groups


def packs(groups: Sequence[Sequence[Chunk]], max_records: int) -> list[list[Chunk]]:
    """Groups of different partitions put together, in order, as `by_partition` does with chunks of one."""
    found: list[list[Chunk]] = []
    room = 0
    for group in groups:
        size = sum(map(len, group))
        if size > room or any(chunk.tp == group[0].tp for chunk in found[-1]):
            found.append([])
            room = max_records
        found[-1] += group
        room -= size
    return found


class ChunkSchema(faust.Schema):
    """Passes chunks through: decoding is the runner's, in one call per chunk."""

    def compile(self, app: AppT, **_: Any) -> Any:
        """The coroutine function that turns a message into an event."""
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> EventT:
            return create_event(None, message.value, None, message)

        return decode
