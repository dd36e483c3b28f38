"""Byte strings side by side in one piece of memory, so that nothing is made or copied per string."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_NONE: Final = -1


@dataclass(frozen=True, slots=True)
class Binary:
    """A column of byte strings: string `i` is `data[at[i] : at[i] + size[i]]`.

    Parameters
    ----------
    data
        All of them, and whatever lies between.
    at, size
        int64 `[n]`, contiguous: where each begins, and its bytes; a size of -1 is None.
    """

    data: bytes
    at: NDArray[np.int64]
    size: NDArray[np.int64]

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> Binary:
        """A column of these strings.

        >>> Binary.of([b"ab", None, b""]).tolist()
        [b'ab', None, b'']
        """
        if None in values:
            size = np.array([_NONE if v is None else len(v) for v in values], np.int64)
            return cls(b"".join(v for v in values if v is not None), _begins(np.maximum(size, 0)), size)
        size = np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]
        return cls(b"".join(values), _begins(size), size)  # type: ignore[arg-type]

    @classmethod
    def lines(cls, text: bytes) -> Binary:
        """A column of the lines of a text, each of which ends with a newline.

        >>> Binary.lines(b"one\\ntwo\\n").tolist()
        [b'one', b'two']
        """
        end = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
        at = np.zeros_like(end)
        at[1:] = end[:-1] + 1
        return cls(text, at, end - at)

    def __len__(self) -> int:
        return len(self.size)

    @property
    def base(self) -> int:
        """Where in memory `data` begins."""
        found: int = np.frombuffer(self.data or b"\0", np.uint8).__array_interface__["data"][0]
        return found

    @property
    def address(self) -> NDArray[np.int64]:
        """Where in memory each begins, int64 `[n]`, as long as `data` is held; 0 for None."""
        found = self.at + self.base
        found[self.size < 0] = 0
        return found

    def take(self, rows: NDArray[np.intp]) -> Binary:
        """The strings of these rows."""
        return Binary(self.data, self.at[rows], self.size[rows])

    def text(self) -> list[str]:
        """The strings, none of them None, decoded as UTF-8."""
        if not self.data.isascii():
            return [self.data[at : at + size].decode() for at, size in self._places()]
        whole = self.data.decode("ascii")
        return [whole[at : at + size] for at, size in self._places()]

    def tolist(self) -> list[bytes | None]:
        """The strings, a copy of each."""
        return [None if size < 0 else self.data[at : at + size] for at, size in self._places()]

    def _places(self) -> Iterable[tuple[int, int]]:
        return zip(self.at.tolist(), self.size.tolist(), strict=True)


def _begins(size: NDArray[np.int64]) -> NDArray[np.int64]:
    at = np.zeros_like(size)
    np.cumsum(size[:-1], out=at[1:])
    return at
