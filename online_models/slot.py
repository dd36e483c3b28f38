"""Dense slots: one row of a structured array per key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from online_models.room import Room, Rows, unnamed
from online_models.taken import Key, Taken

LINE: Final = 64
"""Bytes that a processor fetches from memory at once."""


def row_dtype(*fields: tuple[Any, ...]) -> np.dtype[Any]:
    """Aligned structured type without hidden bytes, which copies would leave undefined.

    Fields are put in order of their alignment, and what is missing to a full word at the
    end is a field of its own.

    >>> row_dtype(("flag", "u1"), ("clock", "i8"), ("ring", "f4", (3,))).names
    ('clock', 'ring', 'flag', 'padding')
    """
    ordered = sorted(fields, key=lambda field: -np.dtype(field[1]).alignment)
    size = np.dtype([*ordered]).itemsize
    if size % 8:
        ordered.append(("padding", "u1", (-size % 8,)))
    found = np.dtype([*ordered], align=True)
    assert found.itemsize == np.dtype([*ordered]).itemsize
    return found


def lined_dtype(*groups: Sequence[tuple[Any, ...]]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """As `row_dtype`, but what one pass touches stands together: each group of fields fills whole cache lines.

    Returns
    -------
    The type, and the lines of each group.

    >>> row, lines = lined_dtype([("flag", "u1"), ("clock", "i8")], [("ring", "f4", (30,))])
    >>> row.names, row.itemsize, lines
    (('clock', 'flag', 'padding_0', 'ring', 'padding_1'), 192, (1, 2))
    """
    fields, lines = [], []
    for k, group in enumerate(groups):
        ordered = sorted(group, key=lambda field: -np.dtype(field[1]).alignment)
        size = np.dtype(ordered).itemsize
        if size % LINE:
            ordered.append((f"padding_{k}", "u1", (-size % LINE,)))
        fields += ordered
        lines.append(-(-size // LINE))
    found = np.dtype(fields, align=True)
    assert found.itemsize == LINE * sum(lines)
    return found, tuple(lines)


class SlotTable:
    """Keys to rows of one preallocated structured array that grows by doubling.

    It knows which rows were handed out since they were last taken, so that a snapshot
    carries what may have changed and nothing else, and which are due to be taken all the same.

    Parameters
    ----------
    dtype
        One key's state. Fields may be arrays, e.g. `("window", "f8", (10, 4))`.
    capacity
        Rows to start with.

    Examples
    --------
    >>> table = SlotTable(np.dtype([("clock", "i8")]), capacity=1)
    >>> table.index([b"a:b", b"c:d", b"a:b"]).tolist()
    [0, 1, 0]
    >>> len(table.rows)
    2
    """

    def __init__(self, dtype: np.dtype[Any], capacity: int = 64) -> None:
        self._slots: dict[Key, int] = {}
        self._keys: list[Key] = []
        self._room = Room(dtype, capacity)
        self._touched = Room(np.dtype(np.bool_), capacity)
        self._due: int | None = None
        self._taken: WeakSet[Taken] = WeakSet()

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def dtype(self) -> np.dtype[Any]:
        """One key's state."""
        return self._room.array.dtype

    @property
    def keys(self) -> Sequence[Key]:
        """Keys by slot; valid until the next `index` or `drop`."""
        return self._keys

    @property
    def rows(self) -> Rows:
        """The rows in use; a view, valid until the next `index` or `drop`."""
        return self._room.array[: len(self._keys)]

    def index(self, keys: Iterable[Key]) -> NDArray[np.intp]:
        """Slot of every key, in order; new keys get zeroed rows. All of them count as touched from now on."""
        slots = self._slots
        found = np.array([slots.setdefault(key, len(slots)) for key in keys], np.intp)
        new = len(slots) - len(self._keys)
        if new:
            self._keys += reversed(list(islice(reversed(slots), new)))
            if len(slots) > len(self._room.array):
                self.reserve(max(len(slots), 2 * len(self._room.array)))
        self._touch(found)
        return found

    def _touch(self, slots: NDArray[np.intp]) -> None:
        """These rows are about to change."""
        self._touched.array[slots] = True
        for taken in self._taken:
            taken.put_aside(slots)

    def reserve(self, capacity: int) -> None:
        """Have room for so many keys."""
        if capacity > len(self._room.array):
            self._room.resize(capacity)
            self._touched.resize(capacity)

    def renew(self) -> None:
        """Every row is due to be taken once more, touched or not."""
        self._due = 0

    @property
    def renewed(self) -> bool:
        """No row is due."""
        return self._due is None

    def take(self, due: int | None = 0) -> Taken:
        """The rows touched since the last call, as they are now, in slot order.

        Parameters
        ----------
        due
            How many of the rows that are due to take as well; None: all.
        """
        n = len(self._keys)
        flags = self._touched.array[:n]
        if self._due is not None:
            end = n if due is None else self._due + due
            flags[self._due : end] = True
            self._due = end if end < n else None
        touched = np.flatnonzero(flags)
        flags[:] = False
        taken = Taken(self._room, touched, self._keys.copy())
        self._taken.add(taken)
        return taken

    def touch_all(self) -> None:
        """Every row is about to change."""
        self._touch(np.arange(len(self._keys)))

    def settle(self) -> None:
        """Count no row as touched."""
        self._touched.array[: len(self._keys)] = False

    def peek(self, keys: Sequence[Key]) -> tuple[list[Key], Rows]:
        """Those of the keys that are there, and copies of their rows; touches nothing."""
        known = [key for key in dict.fromkeys(keys) if key in self._slots]
        return known, self._room.array.take([self._slots[key] for key in known])

    def put(self, keys: Sequence[Key], rows: Rows) -> None:
        """Set the rows of these keys."""
        slots = self.index(keys)
        if len(slots) and slots[-1] - slots[0] == len(slots) - 1 and (np.diff(slots) == 1).all():
            unnamed(self._room.array)[slots[0] : slots[-1] + 1] = unnamed(rows)
        else:
            unnamed(self._room.array)[slots] = unnamed(rows)

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget these keys; the last ones take their places, so that the others need not move."""
        gone = self._slots.keys() & keys
        if not gone:
            return
        slots, names, rows, touched = self._slots, self._keys, unnamed(self._room.array), self._touched.array
        n = len(names)
        left = sorted((slots.pop(key) for key in gone), reverse=True)
        for taken in self._taken:
            taken.put_aside(np.array([*left, *range(n - len(left), n)]))
        for slot in left:
            last = names.pop()
            if slot < len(names):
                names[slot], slots[last] = last, slot
                rows[slot] = rows[len(names)]
                touched[slot] = True  # what is due may lie behind it
        rows[len(names) : n].view(np.uint8)[:] = 0
        touched[len(names) : n] = False
        if self._due is not None and self._due >= len(names):
            self._due = None
        del rows, touched
        if len(names) < len(self._room.array) // 4:
            capacity = max(2 * len(names), 64)
            self._room.resize(capacity)
            self._touched.resize(capacity)
