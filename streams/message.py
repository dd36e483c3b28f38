"""Records ready for a producer: where in memory each key, value and header lies.

A compiled loop hands them over (`streams.librdkafka`); Python makes nothing per record. Lists of
byte strings are made of them only where somebody looks: in logs, replays and tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import string_at
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.binary import Binary
from schemas.header import Headers

CELLS: Final = 3
"""What is known of a header: address of its name, which ends with a zero, address of its value, bytes of its value."""


class Messages:
    """Keys, values and headers of records.

    Parameters
    ----------
    key, value
        Of each.
    header
        int64 `[m, 3]`, see `CELLS`: headers of all records, one after the other.
    end
        int64 `[n]`: how many headers all records up to this one have.
    held
        Memory that the addresses in `header` point to.
    """

    def __init__(
        self, key: Binary, value: Binary, header: NDArray[np.int64], end: NDArray[np.int64], held: Any
    ) -> None:
        self.key = key
        self.value = value
        self.header = header
        self.end = end
        self._held = held

    @classmethod
    def of(cls, keys: Sequence[bytes | None], values: Sequence[bytes | None], headers: Sequence[Headers]) -> Messages:
        """Messages of these records, lists of equal length."""
        cells, held = header_cells(headers)
        end = np.fromiter(accumulate(map(len, headers)), np.int64, len(headers))
        return cls(Binary.of(keys), Binary.of(values), cells, end, held)

    def __len__(self) -> int:
        return len(self.value)

    def take(self, rows: NDArray[np.intp]) -> Messages:
        """Those of these rows."""
        count = np.diff(self.end, prepend=0)[rows]
        first = (self.end[rows] - count).repeat(count)
        within = np.arange(count.sum()) - (count.cumsum() - count).repeat(count)
        return Messages(
            self.key.take(rows), self.value.take(rows), self.header[first + within], count.cumsum(), self._held
        )

    @property
    def keys(self) -> list[bytes | None]:
        """Key of each."""
        return self.key.tolist()

    @property
    def values(self) -> list[bytes | None]:
        """Value of each."""
        return self.value.tolist()

    @property
    def headers(self) -> list[Headers]:
        """Headers of each."""
        pairs = [
            (string_at(name).decode(), None if size < 0 else string_at(at, size))
            for name, at, size in self.header.tolist()
        ]
        return [pairs[first:end] for first, end in pairwise([0, *self.end.tolist()])]


def header_cells(headers: Sequence[Headers]) -> tuple[NDArray[np.int64], Any]:
    """Cells of the headers of several records, one after the other, and the memory that they point to."""
    flat = [one for own in headers for one in own]
    names = Binary.of([name.encode() + b"\0" for name, _ in flat])
    values = Binary.of([value for _, value in flat])
    cells = np.empty((len(flat), CELLS), np.int64)
    cells[:, 0], cells[:, 1], cells[:, 2] = names.address, values.address, values.size
    return cells, (names, values)
