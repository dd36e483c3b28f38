"""Event times: every form that producers send becomes UTC milliseconds since the epoch.

Nanoseconds are rounded to microseconds first, as the JSON decoder does with RFC 3339
text, and cut to milliseconds then: one instant is one number in whatever form it came.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.error import ValidationError

FUTURE_MS: Final = 3_600_000
"""How far an event may be ahead of the broker's time of its record: one hour."""

NO_TIME: Final = -1
"""What a number that is no time becomes; the range check rejects it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_SECONDS, _MILLISECONDS, _MICROSECONDS, _NANOSECONDS = 10**11, 10**14, 10**17, 10**20
_INT64: Final = (1 << 63) - 500
_zone = attrgetter("tzinfo")


def epoch_ms(value: datetime | int | float) -> int:
    """Milliseconds since the epoch of any form of time that producers send.

    RFC 3339 text without an offset is UTC. The unit of a number follows from its
    magnitude: below 1e11 it is seconds (until the year 5138), below 1e14 ms, below
    1e17 us, below 1e20 ns, else it is no time. From March 1973 on these do not overlap.

    >>> epoch_ms(1_700_000_000), epoch_ms(1_700_000_000.5), epoch_ms(1_700_000_000_000_000_000)
    (1700000000000, 1700000000500, 1700000000000)
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return (value - _EPOCH) // _MILLISECOND
    magnitude = abs(value)
    if magnitude < _SECONDS:
        return round(value * 1_000_000) // 1000
    if magnitude < _MILLISECONDS:
        return int(value // 1)
    if magnitude < _MICROSECONDS:
        return int(value // 1000)
    if magnitude < _NANOSECONDS:
        return int((value + 500) // 1000 // 1000)
    return NO_TIME


def epoch_ms_column(column: NDArray[Any]) -> NDArray[np.int64]:
    """`epoch_ms` of a column of objects, `[n]`."""
    values = column.tolist()
    kinds = set(map(type, values))
    if kinds == {datetime} and None not in set(map(_zone, values)):
        # Seconds as a float are exact to a quarter microsecond until 2106, and later times are rejected.
        seconds = np.fromiter(map(datetime.timestamp, values), np.float64, len(values))
        return np.rint(seconds * 1e6).astype(np.int64) // 1000
    if kinds == {int} and max(map(abs, values)) < _INT64:
        return _from_integers(np.array(values, np.int64))
    return np.fromiter(map(epoch_ms, values), np.int64, len(values))


def _from_integers(value: NDArray[np.int64]) -> NDArray[np.int64]:
    magnitude = np.abs(value)
    return np.select(
        [magnitude < _SECONDS, magnitude < _MILLISECONDS, magnitude < _MICROSECONDS],
        [value * 1000, value, value // 1000],
        (value + 500) // 1_000_000,
    )


def reject_future(
    timestamp: NDArray[np.int64], time_ms: NDArray[np.int64] | None, problems: dict[int, ValidationError]
) -> None:
    """Add a problem for each event that the broker has from before it happened.

    Parameters
    ----------
    timestamp
        Event times, ms, `[n]`.
    time_ms
        The broker's times of the records, ms, `[n]`; None, or 0 and less, where they are not known.
    problems
        By row; what a row has already stays.
    """
    if time_ms is None:
        return
    ahead = timestamp - time_ms
    for row in ((ahead > FUTURE_MS) & (time_ms > 0)).nonzero()[0].tolist():
        message = f"timestamp is {ahead[row]} ms ahead of the broker's time of the record, {FUTURE_MS} ms are allowed"
        problems.setdefault(row, ValidationError("future", f"{message}: check the producer's clock"))
