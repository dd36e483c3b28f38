"""The order in which one key's records arrive, and what each may still change.

A key's clock is the newest event time it has seen. Only a record ahead of it changes
state; one at it is a repeat, one behind it is answered from the present state, and
one too far behind is rejected.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from schemas.batch import Rejection
from schemas.error import LateRecord

LATENESS_MS: Final = 10 * 60 * 1000
"""How far behind its key's clock a record may be and still be answered: 10 minutes."""

FRESH: Final = 0
DUPLICATE: Final = 1
REORDERED: Final = 2
LATE: Final = 3


@njit(cache=True)
def arrival(started: bool, clock: int, timestamp: int, lateness_ms: int) -> int:
    """Class of one record: `FRESH`, `DUPLICATE`, `REORDERED` or `LATE`."""
    if not started or timestamp > clock:
        return FRESH
    if timestamp == clock:
        return DUPLICATE
    return REORDERED if timestamp >= clock - lateness_ms else LATE


def reject_late(
    kind: NDArray[Any], timestamp: NDArray[np.int64], clock: NDArray[np.int64], lateness_ms: int
) -> list[Rejection]:
    """Rejections of the late rows.

    Parameters
    ----------
    kind
        Arrival class of each row, `[n]`.
    timestamp, clock
        Event time of each row and its key's clock when it arrived, ms, `[n]`.
    lateness_ms
        What was allowed.
    """
    return [
        Rejection(
            int(row),
            LateRecord("late", f"{clock[row] - timestamp[row]} ms behind its key's clock, {lateness_ms} ms allowed"),
        )
        for row in (kind == LATE).nonzero()[0]
    ]
