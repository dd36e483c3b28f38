"""Dense slots: one row of a structured array per key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
"""Structured array `[slot]`; its fields hold the arrays of one key side by side in memory."""

Key = bytes | None


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


class SlotTable:
    """Keys to rows of one preallocated structured array that grows by doubling.

    It knows which rows were handed out since they were last taken, so that a snapshot
    carries what may have changed and nothing else.

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
        self._storage: Rows = np.zeros(capacity, dtype)
        self._touched = np.zeros(capacity, np.bool_)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def dtype(self) -> np.dtype[Any]:
        """One key's state."""
        return self._storage.dtype

    @property
    def keys(self) -> list[Key]:
        """Keys by slot."""
        return list(self._slots)

    @property
    def rows(self) -> Rows:
        """The rows in use; a view, valid until the next `index`."""
        return self._storage[: len(self._slots)]

    def index(self, keys: Iterable[Key]) -> NDArray[np.intp]:
        """Slot of every key, in order; new keys get zeroed rows. All of them count as touched."""
        slots = self._slots
        found = np.array([slots.setdefault(key, len(slots)) for key in keys], np.intp)
        if len(slots) > len(self._storage):
            self.reserve(max(len(slots), 2 * len(self._storage)))
        self._touched[found] = True
        return found

    def reserve(self, capacity: int) -> None:
        """Have room for so many keys."""
        if capacity > len(self._storage):
            self._storage = _grown(self._storage, capacity)
            self._touched = _grown(self._touched, capacity)

    def take_touched(self) -> tuple[list[Key], Rows]:
        """Keys and copies of the rows touched since the last call, in slot order."""
        touched = np.flatnonzero(self._touched[: len(self._slots)])
        self._touched[:] = False
        keys = self.keys
        return [keys[slot] for slot in touched.tolist()], self._storage[touched]

    def touch_all(self, touched: bool = True) -> None:
        """Count every row as touched, or none."""
        self._touched[: len(self._slots)] = touched

    def peek(self, keys: Sequence[Key]) -> tuple[list[Key], Rows]:
        """Those of the keys that are there, and copies of their rows; touches nothing."""
        known = [key for key in dict.fromkeys(keys) if key in self._slots]
        return known, self._storage[[self._slots[key] for key in known]]

    def put(self, keys: Sequence[Key], rows: Rows) -> None:
        """Set the rows of these keys."""
        slots = self.index(keys)
        if len(slots) and slots[-1] - slots[0] == len(slots) - 1 and (np.diff(slots) == 1).all():
            self._storage[slots[0] : slots[-1] + 1] = rows
        else:
            self._storage[slots] = rows

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget these keys; the others keep their order, not their slots."""
        gone = self._slots.keys() & keys
        if not gone:
            return
        kept = [(key, slot) for key, slot in self._slots.items() if key not in gone]
        slots = np.array([slot for _, slot in kept], np.intp)
        capacity = max(len(kept), 64)
        self._storage = _grown(self._storage[slots], capacity)
        self._touched = _grown(self._touched[slots], capacity)
        self._slots = {key: slot for slot, (key, _) in enumerate(kept)}


def _grown(array: NDArray[Any], capacity: int) -> NDArray[Any]:
    grown = np.zeros(capacity, array.dtype)
    grown[: len(array)] = array
    return grown
