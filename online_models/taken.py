"""Rows as they were at one moment, copied only when they are read, or just before they change.

Copying all that changed since the last snapshot would stop a worker, so a snapshot only notes which rows it wants.
They are read a few at a time while steps go on, and a step first has those that it will change put aside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from online_models.room import Room, Rows, unnamed

Key = bytes | None


class Taken:
    """Some rows of a table, to be read once, in the order of their slots.

    Parameters
    ----------
    room
        Where the table's rows are.
    slots
        Of the wanted rows, ascending.
    keys
        By slot; of this moment, so the table's own must not be given.
    """

    def __init__(self, room: Room, slots: NDArray[np.intp], keys: Sequence[Key]) -> None:
        self._room = room
        self._slots = slots
        self._keys = keys
        self._aside: Rows = np.empty(len(slots), room.array.dtype)  # memory is only used by what is written to it
        self._place = np.full(len(slots), -1, np.int32)
        self._used = self._read = 0

    def __len__(self) -> int:
        """Rows, those that were read included."""
        return len(self._slots)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self._aside.nbytes

    def put_aside(self, slots: NDArray[np.intp]) -> None:
        """Copy those of these rows that are still wanted: they are about to change."""
        if self._read == len(self._slots):
            return
        at = np.searchsorted(self._slots, slots).clip(max=len(self._slots) - 1)
        wanted = (self._slots[at] == slots) & (at >= self._read) & (self._place[at] < 0)
        at = np.unique(at[wanted])
        end = self._used + len(at)
        self._room.array.take(self._slots[at], out=self._aside[self._used : end], mode="clip")
        self._place[at] = np.arange(self._used, end)
        self._used = end

    def read(self, count: int) -> tuple[list[Key], Rows]:
        """The next keys and rows, so many or as there are left."""
        first, self._read = self._read, min(self._read + count, len(self._slots))
        slots, place = self._slots[first : self._read], self._place[first : self._read]
        aside = place >= 0
        rows = self._room.array.take(np.where(aside, 0, slots))  # a row put aside may have left the room
        unnamed(rows)[aside] = unnamed(self._aside).take(place[aside])
        keys = self._keys
        return [keys[slot] for slot in slots.tolist()], rows
