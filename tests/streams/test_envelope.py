"""Ids, keys and headers are the same on every replay, and rejects keep what they came with."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from schemas import header
from schemas.batch import Output
from schemas.binary import Binary
from schemas.error import LateRecord, ValidationError
from schemas.topic import DEAD_LETTER, DRIFT_ALERT, SYSTEM_KEYED
from streams.envelope import Envelope, reject_headers

ORIGINS = [b"raw/0/%d" % i for i in range(4)]


def alerts(rows: list[int]) -> Output:
    m = len(rows)
    columns = {
        "timestamp": np.arange(m) + 1_700_000_000_000, "model": ["m"] * m, "feature": ["f"] * m,
        "statistic": ["adwin"] * m, "value": np.zeros(m), "threshold": np.ones(m), "window": np.full(m, 9),
        "reference_version": ["1"] * m,
    }  # fmt: skip
    return Output(np.array(rows, np.intp), columns)


def test_encode_fills_id_key_and_headers() -> None:
    made = Envelope(DRIFT_ALERT, "network").encode(
        alerts([1, 1, 2]), Binary.of(ORIGINS), Binary.of([b"a", b"b", None, b"d"])
    )
    keys, values, headers = made.keys, made.values, made.headers
    assert keys == [b"b", b"b", None]
    ids = [msgspec.json.decode(v)["id"] for v in values]
    assert ids == ["raw/0/1:drift.alert", "raw/0/1:drift.alert:1", "raw/0/2:drift.alert"]
    first = dict(headers[0])
    assert headers[0][0] == (header.ORIGIN, b"raw/0/1"), "first, where it is found fastest"
    assert first[header.CE_ID] == b"raw/0/1:drift.alert"
    assert first[header.CE_TYPE] == b"dwcp.drift.alert.v1"
    assert first[header.CE_SOURCE] == b"/dwcp-streams/network"
    assert first[header.CE_TIME] == b"2023-11-14T22:13:20.000Z"
    assert first[header.CE_SPECVERSION] == b"1.0"
    assert first[header.CONTENT_TYPE] == header.JSON


def test_an_origin_may_be_anything() -> None:
    origins = [b"two\nlines", "\N{SNOWMAN}".encode(), b"raw/0/2"]
    made = Envelope(DRIFT_ALERT, "a").encode(alerts([0, 1, 2]), Binary.of(origins), Binary.of([None] * 3))
    ids = [origin + b":drift.alert" for origin in origins]
    assert [dict(own)[header.CE_ID] for own in made.headers] == ids
    assert [dict(own)[header.ORIGIN] for own in made.headers] == origins
    assert [msgspec.json.decode(value)["id"].encode() for value in made.values] == ids


def test_own_keys_of_an_output_win() -> None:
    output = alerts([0, 1])._replace(key=[b"x", b"y"])
    assert Envelope(DRIFT_ALERT, "a").encode(output, Binary.of(ORIGINS), Binary.of([b"a"] * 4)).keys == [b"x", b"y"]


def test_rejects_have_no_envelope() -> None:
    with pytest.raises(TypeError, match="rejects only"):
        Envelope(DEAD_LETTER, "a")


class Record(msgspec.Struct):
    headers: tuple[tuple[str, bytes | None], ...]
    offset: int = 5


@pytest.mark.parametrize("own", [(), (("traceparent", b"00-x"), ("empty", None), ("same", b"1"), ("same", b"2"))])
def test_reject_headers_keep_the_record_s_own_in_front(own: tuple[tuple[str, bytes | None], ...]) -> None:
    headers = reject_headers(Record(own), b"raw/0/5", ValidationError("range", "x" * 9999), "system", "t", 3)
    assert tuple(headers[: len(own)]) == own
    added = dict(headers[len(own) :])
    assert added.pop(header.ERROR_MESSAGE) == b"x" * 500
    assert added == {
        header.ORIGIN: b"raw/0/5", header.ERROR_REASON: b"range", header.ERROR_STAGE: b"system",
        header.ERROR_TOPIC: b"t", header.ERROR_PARTITION: b"3", header.ERROR_OFFSET: b"5",
    }  # fmt: skip


def test_reject_headers_replace_those_of_an_earlier_rejection() -> None:
    earlier = ((header.ORIGIN, b"raw/9/9"), (header.ERROR_REASON, b"schema"), ("kept", b"1"))
    headers = reject_headers(Record(earlier), b"raw/0/5", LateRecord("late", "é"), "s", "t", 3)
    assert [value for name, value in headers if name == header.ORIGIN] == [b"raw/0/5"]
    assert [value for name, value in headers if name == header.ERROR_REASON] == [b"late"]
    assert dict(headers)[header.ERROR_MESSAGE] == "é".encode()
    assert headers[0] == ("kept", b"1")


def test_records_without_an_id_field_have_an_id_header() -> None:
    record = SYSTEM_KEYED.record
    assert record is not None
    zeros = {f: np.zeros(1) for f in record.__struct_fields__}
    columns = zeros | {"timestamp": np.array([0]), "node_id": ["n"]}
    output = Output(np.array([2], np.intp), columns, [b"n"])
    made = Envelope(SYSTEM_KEYED, "system-ingest").encode(output, Binary.of(ORIGINS), Binary.of([None] * 4))
    assert "id" not in msgspec.json.decode(made.values[0])
    assert dict(made.headers[0])[header.CE_ID] == b"raw/0/2:system.keyed"
