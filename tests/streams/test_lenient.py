"""Record batches whose header names are not UTF-8, through aiokafka's own reader."""

from __future__ import annotations

import struct

import pytest
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from streams.lenient import Records

_CRC_AT = 17
_CRC_FROM = 21


def batch(names: list[str], spoil: dict[bytes, bytes], compression: int = 0, base: int = 0) -> bytes:
    """A batch of one record per header name, with some of its bytes replaced and its checksum right."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    for offset, name in enumerate(names):
        builder.append(offset, 1000, b"key", b"value-%d" % offset, [(name, b"x")])
    built = bytearray(builder.build())
    for old, new in spoil.items():
        assert len(old) == len(new)
        built = built.replace(old, new)
    built[:8] = struct.pack(">q", base)
    built[_CRC_AT:_CRC_FROM] = struct.pack(">I", calc_crc32c(bytes(built[_CRC_FROM:])))
    return bytes(built)


def read(data: bytes, first: int = 0) -> list[tuple[int, bytes, str]]:
    records = PartitionRecords(TopicPartition("t", 0), Records(data), None, first, None, None, True, 0)
    return [(r.offset, r.value, r.headers[0][0]) for r in records]


def test_names_that_are_text_are_read_as_ever() -> None:
    assert read(batch(["a", "naïve"], {})) == [(0, b"value-0", "a"), (1, b"value-1", "naïve")]


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_bad_name_is_escaped_and_every_record_comes_once(at: int) -> None:
    names = ["name"] * 5
    names[at] = "oops"
    found = read(batch(names, {b"oops": b"\xff\xfeps"}))
    assert [(offset, value) for offset, value, _ in found] == [(k, b"value-%d" % k) for k in range(5)]
    assert found[at][2] == "\\xff\\xfeps"


def test_batches_after_a_bad_one_are_read() -> None:
    data = batch(["oops"], {b"oops": b"\xff\xff\xff\xff"}) + batch(["fine"], {}, base=1)
    assert [name for _, _, name in read(data)] == ["\\xff\\xff\\xff\\xff", "fine"]


def test_reading_may_begin_amid_a_bad_batch() -> None:
    assert [offset for offset, _, _ in read(batch(["a", "oops", "c"], {b"oops": b"\xff\xffps"}), first=1)] == [1, 2]


def test_a_corrupt_batch_is_still_an_error() -> None:
    data = bytearray(batch(["a", "b"], {}))
    data[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        read(bytes(data))
