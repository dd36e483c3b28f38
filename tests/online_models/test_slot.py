from __future__ import annotations

import numpy as np
import pytest

from online_models.recent import RecentSet
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


def test_recent_set_forgets_only_after_its_capacity() -> None:
    recent = RecentSet(capacity=10)
    assert not recent.add_many(range(10)).any()
    assert recent.add_many(range(10)).all()
    assert not recent.add_many(range(10, 20)).any()
    assert recent.add_many(range(10, 20)).all()
    assert not recent.add_many([0]).any()
