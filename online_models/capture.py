"""What is written of a state as it was at one moment: pieces that are made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from online_models.taken import Key, Taken

PIECE_BYTES: Final = 500_000
"""About what one piece of a capture holds; a snapshot of many keys is many pieces."""


class Piece(Struct, frozen=True):
    """Wire form of a piece of a capture; the first one has what all keys share. Decoded without a copy.

    `total` is how many keys the state had, `shared` holds the arrays that changed.
    """

    layout: str
    total: int
    gone: Sequence[Key]
    keys: Sequence[Key]
    rows: memoryview
    shared: Mapping[str, memoryview]


class Capture:
    """Pieces, each made when it is asked for, and once.

    They are of the moment of the capture, whatever the state does meanwhile; what it changes is kept aside
    for as long as somebody holds the capture.

    Parameters
    ----------
    count
        How many pieces.
    size
        Their bytes, about.
    pieces
        Makes them.
    """

    def __init__(self, count: int, size: int, pieces: Iterator[bytes]) -> None:
        self.size: Final = size
        self._count = count
        self._pieces = pieces

    def __len__(self) -> int:
        """How many pieces there are, those that were made included."""
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


def capture_of(layout: str, total: int, gone: Sequence[Key], taken: Taken, shared: Mapping[str, memoryview]) -> Capture:
    """The capture of a state's rows and shared arrays; see `Piece`."""
    each = max(PIECE_BYTES * len(taken) // max(taken.nbytes, 1), 1)
    count = max(-(-len(taken) // each), 1)
    size = taken.nbytes + sum(map(len, shared.values()))

    def pieces() -> Iterator[bytes]:
        yield _piece(layout, total, gone, taken, each, shared)
        for _ in range(1, count):
            yield _piece(layout, total, (), taken, each, {})

    return Capture(count, size, pieces())


def _piece(
    layout: str, total: int, gone: Sequence[Key], taken: Taken, each: int, shared: Mapping[str, memoryview]
) -> bytes:
    keys, rows = taken.read(each)
    return msgspec.msgpack.encode(Piece(layout, total, gone, keys, rows.view(np.uint8).data, shared))
