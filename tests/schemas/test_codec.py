"""The codec isolates bad records and loses no value on the way."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import Codec, codec_of
from schemas.feedback import AnomalyFeedback
from schemas.network import NetworkSample
from schemas.topic import TOPICS

codec = codec_of(NetworkSample)
GOOD = msgspec.json.encode(
    NetworkSample(
        timestamp=1, node_id="a", peer_id="b", rtt_ms=1.5, jitter_ms=0.5, throughput_mbps=9.0, packet_loss=0.1
    )
)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"{", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"null", "schema"),
        (b"[]", "schema"),
        (GOOD[:-1], "malformed"),
        (GOOD + b"," + GOOD, "malformed"),
        (GOOD.replace(b"1.5", b"NaN"), "malformed"),
        (GOOD.replace(b"1.5", b"1e999"), "schema"),
        (GOOD.replace(b"1.5", b'"1.5"'), "schema"),
        (GOOD.replace(b'"rtt_ms":1.5,', b""), "schema"),
        (GOOD[:-1] + b',"x":' + b"[" * 100_000, "malformed"),
    ],
)
def test_a_bad_record_is_rejected_alone(value: bytes | None, reason: str) -> None:
    records, rejected = codec.decode([GOOD, value, GOOD])
    assert len(records) == 2
    ((row, error),) = rejected
    assert (row, error.reason) == (1, reason)
    assert str(error)


def test_two_broken_records_do_not_complete_each_other() -> None:
    half = len(GOOD) // 2
    _, rejected = codec.decode([GOOD[:half], GOOD[half:]])
    assert [r.row for r in rejected] == [0, 1]


def test_unknown_fields_are_skipped() -> None:
    records, rejected = codec.decode([GOOD[:-1] + b',"new_field":[1,{}]}'])
    assert not rejected
    assert records[0].rtt_ms == 1.5


@settings(deadline=None)  # the writer may have to be compiled
@given(
    st.lists(
        st.builds(
            NetworkSample,
            timestamp=st.integers(0, 4_102_444_800_000),
            node_id=st.text(min_size=1, max_size=20),
            peer_id=st.text(min_size=1, max_size=20),
            rtt_ms=st.floats(0, 3.6e6),
            jitter_ms=st.floats(0, 3.6e6),
            throughput_mbps=st.floats(0, 1e7),
            packet_loss=st.floats(0, 1),
            bytes_tx=st.integers(0, 1 << 50),
            region=st.text(max_size=20),
        ),
        max_size=20,
    )
)
def test_columns_round_trip(records: list[NetworkSample]) -> None:
    columns = codec.columns(records)
    assert all(len(c) == len(records) for c in columns.values())
    again, rejected = codec.decode(codec.encode(columns))
    assert not rejected
    assert again == records


class _Row(msgspec.Struct):
    name: str
    count: int | None
    value: float | None
    pair: list[float]


def test_missing_numbers_are_nan_in_columns_and_null_on_the_wire() -> None:
    rows = Codec(_Row)
    records = [_Row("x", 1, 2.0, [1.0, 2.0]), _Row("y", None, None, [3.0, 4.0])]
    columns = rows.columns(records)
    assert math.isnan(columns["count"][1])
    assert math.isnan(columns["value"][1])
    wire = rows.encode({**columns, "pair": np.array([[1.0, 2.0], [3.0, 4.0]])})
    assert wire == [
        b'{"name":"x","count":1,"value":2.0,"pair":[1.0,2.0]}',
        b'{"name":"y","count":null,"value":null,"pair":[3.0,4.0]}',
    ]


def test_encoding_names_the_missing_column() -> None:
    with pytest.raises(KeyError, match="count"):
        Codec(_Row).encode({"name": ["x"]})


@pytest.mark.parametrize("topic", [t for t in TOPICS if t.record], ids=lambda t: t.name)
def test_every_topic_has_a_codec_for_its_record(topic: object) -> None:
    assert codec_of(topic.record).fields  # type: ignore[attr-defined]


def test_fields_with_a_default_may_be_left_out() -> None:
    codec = codec_of(AnomalyFeedback)
    written = codec.encode({"false_positive": np.array([True, False]), "node_id": ["n", "m"]})
    assert codec.decode(written)[0] == [AnomalyFeedback(True, node_id="n"), AnomalyFeedback(False, node_id="m")]
    with pytest.raises(KeyError, match="false_positive"):
        codec.encode({"node_id": ["n"]})
