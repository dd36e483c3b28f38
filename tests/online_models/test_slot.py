from __future__ import annotations

import numpy as np
import pytest

from online_models.slot import SlotTable


@pytest.mark.parametrize("capacity", [1, 3, 64])
def test_keys_keep_their_slot_and_rows_their_values_while_growing(capacity: int) -> None:
    table = SlotTable(np.dtype([("value", "i8"), ("ring", "f8", (3,))]), capacity)
    for k in range(100):
        at = table.index([b"%d" % k])
        table.rows[at[0]]["value"] = k
    assert table.index([b"%d" % k for k in range(100)]).tolist() == list(range(100))
    assert table.rows["value"].tolist() == list(range(100))
    assert len(table) == 100


def test_new_rows_are_zero_and_missing_keys_share_one() -> None:
    table = SlotTable(np.dtype([("ring", "f8", (3,))]), 1)
    assert table.index([None, b"a", None, b""]).tolist() == [0, 1, 0, 2]
    assert not table.rows["ring"].any()


def _table(**values: int) -> SlotTable:
    table = SlotTable(np.dtype([("value", "i8")]), 1)
    table.put([name.encode() for name in values], np.array([(v,) for v in values.values()], table.dtype))
    return table


def test_touched_rows_are_taken_once() -> None:
    table = _table(a=1, b=2, c=3)
    assert table.take_touched()[0] == [b"a", b"b", b"c"]
    table.index([b"c", b"a"])
    keys, rows = table.take_touched()
    assert (keys, rows["value"].tolist()) == ([b"a", b"c"], [1, 3])
    assert table.take_touched()[0] == []


def test_taken_rows_are_copies() -> None:
    table = _table(a=1)
    rows = table.take_touched()[1]
    table.rows["value"] = 9
    assert rows["value"].tolist() == [1]


def test_dropped_keys_start_afresh_and_the_others_keep_their_rows() -> None:
    table = _table(a=1, b=2, c=3)
    table.drop([b"b", b"never"])
    assert table.keys == [b"a", b"c"]
    assert table.rows["value"].tolist() == [1, 3]
    slots = table.index([b"b", b"c"])
    assert table.rows["value"][slots].tolist() == [0, 3]


def test_peek_copies_what_is_there_and_touches_nothing() -> None:
    table = _table(a=1, b=2)
    table.take_touched()
    keys, rows = table.peek([b"b", b"x", b"b"])
    assert (keys, rows["value"].tolist()) == ([b"b"], [2])
    assert table.take_touched()[0] == []
