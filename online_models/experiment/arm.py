"""Which arm of an experiment a request is in: the FNV-1a hash of its id, modulo 100.

The hash needs no memory and no coordination: Go daemons, workers and analyses agree on
every request's arm, and a larger ramp keeps those that were in the treatment before.

References
----------
G. Fowler, L. C. Noll, K.-P. Vo, D. Eastlake, The FNV Non-Cryptographic Hash Algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

CONTROL: Final = 0
TREATMENT: Final = 1
NEITHER: Final = -1
"""Of what has no request id: it gets the control's model, and is not counted."""

_OFFSET: Final = 2166136261
_PRIME: Final = 16777619


def buckets_of(request_ids: Sequence[str]) -> NDArray[np.int16]:
    """FNV-1a 32 of every id's UTF-8 bytes, modulo 100; -1 of an empty id. `[n]`.

    >>> buckets_of(["", "a", "foobar"]).tolist()  # 0xe40c292c and 0xbf9cf968 are the published hashes
    [-1, 20, 20]
    """
    encoded = [text.encode() for text in request_ids]
    ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
    found: NDArray[np.int16] = _buckets(np.frombuffer(b"".join(encoded), np.uint8), ends)
    return found


def arms_of(request_ids: Sequence[str], ramp_pct: int) -> NDArray[np.int8]:
    """The arm of every request while the treatment has `ramp_pct` % of them: 1, 0, or -1 without an id. `[n]`."""
    bucket = buckets_of(request_ids)
    return np.where(bucket < 0, NEITHER, bucket < ramp_pct).astype(np.int8)


@njit(cache=True)
def _buckets(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.int16]:
    found = np.empty(len(ends), np.int16)
    at = 0
    for row in range(len(ends)):
        value = np.uint32(_OFFSET)
        if at == ends[row]:
            found[row] = -1
            continue
        while at < ends[row]:
            value = np.uint32((value ^ np.uint32(data[at])) * np.uint32(_PRIME))
            at += 1
        found[row] = value % np.uint32(100)
    return found
