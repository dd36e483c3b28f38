"""Messages are the records they were made of, whichever of them are taken."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.message import Messages

HEADERS = st.lists(st.tuples(st.text("abc", min_size=1, max_size=9), st.none() | st.binary(max_size=9)), max_size=5)
RECORDS = st.lists(st.tuples(st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=30), HEADERS))


def messages(records: list) -> Messages:
    return Messages.of([k for k, _, _ in records], [v for _, v, _ in records], [h for _, _, h in records])


def records_of(made: Messages) -> list:
    return list(zip(made.keys, made.values, made.headers, strict=True))


@given(RECORDS)
def test_records_come_back(records: list) -> None:
    made = messages(records)
    assert len(made) == len(records)
    assert records_of(made) == records


@given(RECORDS.filter(bool), st.data())
def test_rows_keep_their_headers(records: list, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(records) - 1)))
    assert records_of(messages(records).take(np.array(rows, np.intp))) == [records[r] for r in rows]
