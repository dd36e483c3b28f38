from __future__ import annotations

import random

import numpy as np
import pytest

from online_models.room import Room
from online_models.slot import SlotTable
from online_models.taken import Taken


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


def _taken(table: SlotTable, due: int | None = 0) -> list[bytes | None]:
    taken = table.take(due)
    return taken.read(len(taken))[0]


def test_touched_rows_are_taken_once() -> None:
    table = _table(a=1, b=2, c=3)
    assert _taken(table) == [b"a", b"b", b"c"]
    table.index([b"c", b"a"])
    keys, rows = table.take().read(9)
    assert (keys, rows["value"].tolist()) == ([b"a", b"c"], [1, 3])
    assert _taken(table) == []


def test_taken_rows_are_copies() -> None:
    table = _table(a=1)
    rows = table.take().read(1)[1]
    table.rows["value"] = 9
    assert rows["value"].tolist() == [1]


@pytest.mark.parametrize("read", [0, 1, 2, 3])
@pytest.mark.parametrize("change", ["index", "put", "drop", "touch_all", "grow"])
def test_rows_are_read_as_they_were_when_they_were_taken(change: str, read: int) -> None:
    table = _table(a=1, b=2, c=3)
    taken = table.take()
    found = [taken.read(read)]
    if change == "put":
        table.put([b"b", b"d"], np.array([(9,), (8,)], table.dtype))
    elif change == "drop":
        table.drop([b"a", b"c"])
    elif change == "touch_all":
        table.touch_all()
        table.rows["value"] = 9
    else:
        slots = table.index([b"c", b"c", b"a"] + [b"%d" % k for k in range(100 * (change == "grow"))])
        table.rows["value"][slots] = 9
    found += [taken.read(1) for _ in range(read, 3)]
    assert [key for keys, _ in found for key in keys] == [b"a", b"b", b"c"]
    assert [value for _, rows in found for value in rows["value"].tolist()] == [1, 2, 3]
    assert taken.read(1)[0] == []


def test_nothing_is_put_aside_for_what_nobody_holds() -> None:
    table = _table(a=1)
    table.take()
    held = table.take()
    assert list(table._taken) == [held]


def test_dropped_keys_start_afresh_and_the_others_keep_their_rows() -> None:
    table = _table(a=1, b=2, c=3)
    table.drop([b"b", b"never"])
    assert dict(zip(table.keys, table.rows["value"].tolist(), strict=True)) == {b"a": 1, b"c": 3}
    slots = table.index([b"b", b"c"])
    assert table.rows["value"][slots].tolist() == [0, 3]


def test_peek_copies_what_is_there_and_touches_nothing() -> None:
    table = _table(a=1, b=2)
    table.take()
    keys, rows = table.peek([b"b", b"x", b"b"])
    assert (keys, rows["value"].tolist()) == ([b"b"], [2])
    assert _taken(table) == []


def test_what_is_due_is_taken_in_turn_with_what_was_touched() -> None:
    table = _table(a=1, b=2, c=3, d=4, e=5)
    table.take()
    assert table.renewed
    table.renew()
    table.index([b"e"])
    assert _taken(table, 2) == [b"a", b"b", b"e"]
    assert not table.renewed
    assert _taken(table, 2) == [b"c", b"d"]
    assert _taken(table, None) == [b"e"]
    assert table.renewed
    assert _taken(table, 2) == []


def test_what_takes_the_place_of_a_dropped_row_is_not_forgotten_when_due() -> None:
    table = _table(a=1, b=2, c=3, d=4)
    table.take()
    table.renew()
    assert _taken(table, 2) == [b"a", b"b"]
    table.drop([b"a"])
    taken = dict.fromkeys(_taken(table, 9))
    assert {b"c", b"d"} <= taken.keys()
    assert table.renewed


@pytest.mark.parametrize("watched", [False, True])
def test_a_room_keeps_what_is_in_it_and_adds_zeros(watched: bool) -> None:
    room = Room(np.dtype([("value", "i8"), ("ring", "f4", (300,))]), 3)
    room.array["value"] = [1, 2, 3]
    view = room.array[:2] if watched else None
    room.resize(5000)
    assert room.array["value"].tolist() == [1, 2, 3] + [0] * 4997
    room.array["value"] = range(5000)
    room.resize(7)
    assert room.array["value"].tolist() == list(range(7))
    assert view is None or view["value"].tolist() == [1, 2]


@pytest.mark.parametrize("seed", range(3))
def test_a_table_is_a_dictionary(seed: int) -> None:
    chance = random.Random(seed)
    table, known, written = _table(), dict[bytes, int](), dict[bytes, int]()
    held: list[tuple[Taken, dict[bytes, int]]] = []
    for step in range(400):
        keys = [b"%d" % chance.randrange(300) for _ in range(chance.randrange(1, 40))]
        if chance.random() < 0.3:
            table.drop(keys)
            known = {key: value for key, value in known.items() if key not in keys}
        else:
            new = np.array([(step,)] * len(keys), table.dtype)
            table.put(keys, new)
            known |= dict.fromkeys(keys, step)
        if chance.random() < 0.1:
            table.renew()
        if chance.random() < 0.3:
            held.append((table.take(chance.choice([None, 5, 50])), dict(known)))
        if held and chance.random() < 0.3:
            taken, then = held.pop(0)
            for _ in range(0, len(taken), 7):
                names, rows = taken.read(7)
                written |= dict(zip(names, rows["value"].tolist(), strict=True))  # type: ignore[arg-type]
            assert {key: written[key] for key in then} == then
        assert dict(zip(table.keys, table.rows["value"].tolist(), strict=True)) == known
