"""One line per record, whatever its bytes; what kcat writes is read too."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.recording.format import Recorded, decode, encode

DATA = st.none() | st.binary(max_size=30) | st.text(max_size=10).map(str.encode)
RECORDS = st.builds(
    Recorded,
    st.text(min_size=1, max_size=10),
    st.integers(0, 100),
    st.integers(0, 1 << 40),
    st.integers(-1, 1 << 45),
    DATA,
    DATA,
    st.lists(st.tuples(st.text(max_size=5), DATA), max_size=4).map(tuple),
    st.sampled_from(["create", "logappend", "unknown"]),
)


@given(st.lists(RECORDS, max_size=5))
def test_any_record_survives_and_its_line_is_the_same_again(records: list[Recorded]) -> None:
    lines = encode(records)
    again = [decode(line) for line in lines.splitlines(keepends=True)]
    assert again == records
    assert encode(again) == lines


def test_text_is_readable_and_the_fields_are_kcats() -> None:
    line = json.loads(encode([Recorded("t", 1, 2, 3, b"k", b'{"a":1}', (("h", b"v"), ("n", None)))]))
    assert line == {
        "topic": "t", "partition": 1, "offset": 2, "tstype": "create", "ts": 3,
        "key": "k", "payload": '{"a":1}', "headers": ["h", "v", "n", None],
    }  # fmt: skip


def test_a_line_of_kcat_is_a_record() -> None:
    line = b'{"topic":"t","partition":1,"offset":2,"tstype":"create","ts":3,"broker":0,"key":null,"payload":"x"}'
    assert decode(line) == Recorded("t", 1, 2, 3, None, b"x")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "truncated"),
        (b"{}", "topic"),
        (b'{"topic":"t","partition":0,"offset":0,"tstype":"create","ts":0,"key":null,"payl', "truncated"),
        (b'{"topic":"t","partition":0,"offset":0,"tstype":null,"ts":0,"key":null,"payload":"!","payload_encoding":"base64"}',
         "base64|Only"),
        (b'{"topic":"t","partition":0,"offset":0,"tstype":null,"ts":0,"key":"a","payload":null,"key_encoding":"hex"}',
         "there is base64"),
        (b'{"topic":"t","partition":0,"offset":0,"tstype":null,"ts":0,"key":null,"payload":null,"headers":["a"]}',
         "the last value is missing"),
    ],
)  # fmt: skip
def test_what_is_no_record_says_why(line: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        decode(line)
