"""Dense slots: one row of a structured array per key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
"""Structured array `[slot]`; its fields hold the arrays of one key side by side in memory."""


class SlotTable:
    """Keys to rows of one preallocated structured array that grows by doubling.

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
        self._slots: dict[bytes | None, int] = {}
        self._storage: Rows = np.zeros(capacity, dtype)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def rows(self) -> Rows:
        """The rows in use; a view, valid until the next `index`."""
        return self._storage[: len(self._slots)]

    def index(self, keys: Iterable[bytes | None]) -> NDArray[np.intp]:
        """Slot of every key, in order; new keys get zeroed rows."""
        slots = self._slots
        found = np.array([slots.setdefault(key, len(slots)) for key in keys], np.intp)
        if len(slots) > len(self._storage):
            grown = np.zeros(max(len(slots), 2 * len(self._storage)), self._storage.dtype)
            grown[: len(self._storage)] = self._storage
            self._storage = grown
        return found
