"""The compiled reader takes only what msgspec takes, and finds the same values in it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from schemas import json_reader
from schemas.batch import Rejection
from schemas.codec import Codec, codec_of
from schemas.json_reader import JsonReader
from schemas.network import NetworkSample
from schemas.topic import INPUTS, KEYED
from tests.schemas.fuzz import good_datum, mutations

RECORDS = [topic.record for topic in (*INPUTS, *KEYED) if topic.record is not None]
ODD = (
    b"null", b"true", b"false", b"0", b"-0", b"-0.0", b"0.0", b"1", b"3", b"-1", b"1.0", b"01", b"1.", b".5", b"+1",
    b"1e2", b"1E+2", b"1e-2", b"1e", b"1e400", b"-1e400", b"5e-324", b"2.2250738585072014e-308", b"1e22", b"1e23",
    b"NaN", b"Infinity", b"nul", b"truee", b"9007199254740993", b"9007199254740992", b"9223372036854775807",
    b"9223372036854775808", b"18446744073709551616", b"-9223372036854775808", b"0.30000000000000004", b"1" * 40,
    b"0." + b"0" * 40 + b"1", b"7.450580596923828125e-9", b'""', b'"x"', b'"wan"', b'"WAN"', b'"quic"', b'"HDE"',
    b'"' + b"x" * 256 + b'"', b'"' + b"x" * 257 + b'"', b'"a\\u0062"', b'"a\\"', b'"\\ud800"', "\"Zürich\"".encode(),
    b'"\xff"', b'"\x01"', b'"\x7f"', b'"1.5"', b'"2026-01-01T00:00:00Z"', b'"2026-01-01T00:00:00"', b'"0.5',
    b'"2026-01-01 00:00:00.123456789+02:00"', b'"2026-13-01T00:00:00Z"', b"[]", b"[1]", b"{}", b'{"rtt":"ns"}',
    b'{"rtt":1}', b'{"rtt":{}}', b'{"rtt":"ns"', b'{"a":"}"}', b'{"a" "b"}', b"", b" ", b"1,", b'"x" "y"',
)  # fmt: skip


def same(codec: Codec[Any], values: Sequence[bytes | None]) -> None:
    """Read values in both ways, and compare."""
    records, rejected = codec.decode(values)
    expected = codec.columns(records)
    columns, found = codec.read(values)
    assert said(found) == said(rejected)
    assert list(columns) == list(expected)
    for name, column in expected.items():
        assert columns[name].dtype == column.dtype, name
        if column.dtype == np.object_:
            assert [(type(v), v) for v in columns[name].tolist()] == [(type(v), v) for v in column.tolist()], name
        else:
            np.testing.assert_array_equal(columns[name], column, name)
            np.testing.assert_array_equal(np.signbit(columns[name]), np.signbit(column), name)


def said(rejected: Sequence[Rejection]) -> list[tuple[int, type, str]]:
    """Rejections without addresses of Python objects, which fastavro puts into some."""
    return [(r.row, type(r.error), re.sub(" at 0x[0-9a-f]+", "", str(r.error))) for r in rejected]


def texts(record: type[Struct], seed: int, count: int) -> Iterator[bytes]:
    """Records with odd values, in any order, with spaces, names that are not ours, and pieces missing or double."""
    random_ = random.Random(seed)
    good = {name.encode(): msgspec.json.encode(value) for name, value in good_datum(record).items()}
    for _ in range(count):
        fields = list(good.items())
        if random_.random() < 0.5:
            random_.shuffle(fields)
        for _ in range(random_.randint(0, 3)):
            at = random_.randrange(len(fields))
            match random_.randrange(6):
                case 0 | 1:
                    fields[at] = fields[at][0], random_.choice(ODD)
                case 2:
                    del fields[at]
                case 3:
                    fields.insert(at, (random_.choice(fields)[0], random_.choice(ODD)))
                case 4:
                    fields.insert(
                        at, (random_.choice((b"new", b"", b"n\\u0065w", b"\xc3\xa9", b"\xff")), random_.choice(ODD))
                    )
                case 5:
                    fields[at] = fields[at][0], b" \n\r\t"[: random_.randint(0, 4)] + fields[at][1] + b" "
        space = random_.choice((b"", b"", b" "))
        yield space + b"{" + (b"," + space).join(b'"%b":%b' % field for field in fields) + b"}" + space


@pytest.mark.parametrize("record", RECORDS)
def test_a_plain_record_is_read_here(record: type[Struct]) -> None:
    reader = JsonReader.of(record)
    assert reader is not None
    value = msgspec.json.encode(good_datum(record))
    _, left = reader.read([value, b"{", value, b"", b'{"x":1}', value])
    assert left.tolist() == [1, 3, 4]


@pytest.mark.parametrize("record", RECORDS)
def test_no_values_are_columns_without_rows(record: type[Struct]) -> None:
    same(Codec(record), [])
    same(Codec(record), [None, b""])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("record", RECORDS)
def test_records_with_odd_values_are_what_msgspec_says(record: type[Struct], seed: int) -> None:
    values = list(texts(record, seed, 2000))
    codec: Codec[Any] = Codec(record)
    for at in range(0, len(values), 40):
        same(codec, values[at : at + 40])


@pytest.mark.parametrize("record", RECORDS)
def test_each_odd_value_in_each_field_is_what_msgspec_says(record: type[Struct]) -> None:
    good = {name: msgspec.json.encode(value) for name, value in good_datum(record).items()}
    same(
        Codec(record),
        [
            b"{" + b",".join(b'"%b":%b' % (n.encode(), odd if n == name else v) for n, v in good.items()) + b"}"
            for name in good
            for odd in ODD
        ],
    )


@pytest.mark.parametrize("seed", range(2))
def test_mutated_bytes_of_any_format_are_what_msgspec_says(seed: int) -> None:
    codecs: list[Codec[Any]] = [Codec(record) for record in RECORDS]
    pieces: list[list[bytes | None]] = [[] for _ in RECORDS]
    for data in mutations(6000, seed):
        if data and data[0] < len(pieces):
            pieces[data[0]].append(data[1:])
    for codec, values in zip(codecs, pieces, strict=True):
        assert len(values) > 100
        same(codec, [*values, None, b""])


@settings(deadline=None)  # the scan may have to be compiled
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    st.sampled_from(["%r", "%.16e", "%.17g", "%.25e"]),
)
def test_every_number_is_the_nearest_one(numbers: list[float], form: str) -> None:
    class Number(Struct):
        number: float | None

    same(Codec(Number), [b'{"number":%b}' % (form % number).encode() for number in numbers])


def test_numbers_halfway_between_two_go_to_the_even_one() -> None:
    class Number(Struct):
        number: float

    random_ = random.Random(1)
    halves = [(2 * random_.randrange(1 << 52, 1 << 53) + 1) << random_.randrange(9) for _ in range(2000)]
    values = [b'{"number":%d}' % n for n in halves] + [b'{"number":%d.5}' % (n >> 3) for n in halves]
    same(Codec(Number), values)
    reader = JsonReader.of(Number)
    assert reader is not None
    assert not len(reader.read([b'{"number":%d.5}' % ((1 << 53) - 1)])[1])


def test_broken_records_do_not_complete_each_other() -> None:
    good = msgspec.json.encode(good_datum(NetworkSample))
    for cut in range(len(good)):
        same(codec_of(NetworkSample), [good[:cut], good[cut:], good])


def test_texts_keep_their_meaning_when_the_table_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_reader, "_TOKENS", 30)
    good = good_datum(NetworkSample)
    codec: Codec[Any] = Codec(NetworkSample)
    for first in range(0, 400, 7):
        same(
            codec,
            [msgspec.json.encode(good | {"node_id": f"node-{k % 97}", "region": ""}) for k in range(first, first + 9)],
        )


def test_a_text_means_what_its_field_says() -> None:
    class Two(Struct):
        a: str | int
        b: str
        c: str | None = None

    same(Codec(Two), [b'{"a":"1","b":"1"}', b'{"a":1,"b":"1","c":"1"}', b'{"a":1,"b":1}', b'{"a":"","b":"","c":null}'])


def test_a_record_type_that_says_more_is_left_to_msgspec() -> None:
    class Strict(Struct, forbid_unknown_fields=True):
        a: float

    class Tagged(Struct, tag="x"):
        a: float

    for record in (Strict, Tagged):
        assert JsonReader.of(record) is None
        same(Codec(record), [b'{"a":1}', b'{"a":1,"b":2}', b'{"type":"x","a":1}'])
