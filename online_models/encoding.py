"""Stable integer codes of categorical columns.

Closed sets are coded by their position in `schemas.field`. Regions and zones are open
sets: code 0 means unknown (empty), the others fall into 63 buckets by FNV-1a, so that a
code never depends on which values were seen before.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.batch import Column

BUCKETS: Final = 64


def fnv1a_32(text: str) -> int:
    """FNV-1a, 32 bit (Fowler, Noll, Vo; RFC 9923), of the UTF-8 bytes.

    >>> hex(fnv1a_32("a"))
    '0xe40c292c'
    """
    state = 0x811C9DC5
    for byte in text.encode():
        state = (state ^ byte) * 0x01000193 & 0xFFFFFFFF
    return state


@lru_cache(maxsize=4096)
def bucket(text: str) -> int:
    """Bucket of an open set's value: 0 when empty, else 1..63."""
    return 1 + fnv1a_32(text) % (BUCKETS - 1) if text else 0


def bucket_codes(column: Column) -> NDArray[np.int64]:
    """Buckets of a column of text, `[n]`."""
    return np.array(list(map(bucket, column.tolist())), np.int64)


class Category:
    """Codes of a closed set.

    >>> Category(("tcp", "udp")).codes(np.array(["udp", "tcp"], object)).tolist()
    [1, 0]
    """

    def __init__(self, members: Sequence[str]) -> None:
        self._code = {member: code for code, member in enumerate(members)}

    def codes(self, column: Column) -> NDArray[np.int64]:
        """Positions of the members in the set, `[n]`.

        Raises
        ------
        KeyError
            On a value outside the set; the codec lets none through.
        """
        return np.array(list(map(self._code.__getitem__, column.tolist())), np.int64)
