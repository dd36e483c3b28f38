"""Arrays that grow where they stand, and rows as mere bytes."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
"""Structured array `[slot]`; its fields hold the arrays of one key side by side in memory."""

_HUGE: Final = 8 << 20
"""From so many bytes on, an array asks for huge pages: rows met in no order miss the small ones' addresses, too."""


def unnamed(rows: Rows) -> Rows:
    """The same memory without fields: numpy copies picked rows field by field, and such ones ten times faster.

    >>> unnamed(np.zeros(3, [("clock", "i8"), ("ring", "f4", (2,))])).dtype
    dtype('V16')
    """
    return rows.view(np.dtype((np.void, rows.dtype.itemsize)))


class Room:
    """A zeroed array that grows where it stands: the system moves its pages, or adds some, and copies nothing.

    Copying a million links would stop a worker for a second. Where the array is still looked at, or the
    system cannot, it is copied after all.

    Parameters
    ----------
    dtype
        Of an element.
    capacity
        Elements to start with.

    Attributes
    ----------
    array
        `[capacity]`; replaced by `resize`.
    """

    def __init__(self, dtype: np.dtype[Any], capacity: int) -> None:
        self._map = _mapped(dtype, capacity)
        self.array: NDArray[Any] = np.frombuffer(self._map, dtype, capacity)

    def resize(self, capacity: int) -> None:
        """Have room for so many; what is new is zero."""
        dtype, count = self.array.dtype, min(len(self.array), capacity)
        kept = self.array
        self.array = np.empty(0, dtype)
        size = capacity * dtype.itemsize
        try:
            del kept  # a map that is looked at cannot be moved
            self._map.resize(size)
            _ask_huge(self._map)
        except (BufferError, OSError, SystemError, ValueError):
            old, self._map = self._map, _mapped(dtype, capacity)
            moved = count * dtype.itemsize
            self._map[:moved] = memoryview(old)[:moved]
        self.array = np.frombuffer(self._map, dtype, capacity)


def _mapped(dtype: np.dtype[Any], capacity: int) -> mmap.mmap:
    found = mmap.mmap(-1, max(capacity * dtype.itemsize, 1), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    _ask_huge(found)
    return found


def _ask_huge(room: mmap.mmap) -> None:
    """Ask for huge pages where the array is large and the system has them; what it was told, it keeps when it grows."""
    if len(room) >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            room.madvise(mmap.MADV_HUGEPAGE)
