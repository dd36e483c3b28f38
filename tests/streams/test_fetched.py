"""Records come from the parser as they are, and wrapped where aiokafka's own form is asked."""

from __future__ import annotations

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import ConsumerRecord, TopicPartition

from streams import fetched, transport  # noqa: F401  (its import installs)

PLACE = TopicPartition("t", 3)
GIVEN = [(b"k", b"v", [("h", b"1"), ("h", None)]), (None, b"", []), (b"k", None, [("a", b"")])]


def batch(first: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 3, 0, -1, -1, 0, 1 << 20)
    for i, (key, value, headers) in enumerate(GIVEN):
        builder.append(i, 1_700_000_000_000 + i, key, value, headers)
    return first.to_bytes(8, "big") + bytes(builder.build())[8:]


def read(kind: type[fetcher.PartitionRecords], start: int) -> fetcher.PartitionRecords:
    return kind(PLACE, fetcher.MemoryRecords(batch(10) + batch(20)), [], start, None, None, True, 0)


stock = fetcher.PartitionRecords.__mro__[1]


@pytest.mark.parametrize("start", [10, 11, 13, 21])
def test_wrapped_records_are_those_of_aiokafka(start: int) -> None:
    ours = read(fetched.PartitionRecords, start)
    own = [fetched.wrapped(*PLACE, record) for record in ours]
    theirs = read(stock, start)
    assert own == list(theirs)
    assert {type(record) for record in own} == {ConsumerRecord}
    assert ours.next_fetch_offset == theirs.next_fetch_offset == 23


def test_clients_read_this_way() -> None:
    assert fetcher.PartitionRecords is fetched.PartitionRecords
    (first, *_) = read(fetcher.PartitionRecords, 10)
    assert not isinstance(first, ConsumerRecord)
    assert (first.key, first.value, first.offset, first.timestamp, list(first.headers)) == (
        b"k", b"v", 10, 1_700_000_000_000, [("h", b"1"), ("h", None)]
    )  # fmt: skip
