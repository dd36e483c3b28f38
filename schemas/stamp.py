"""Ids and times of outputs, and the headers that carry them, made in one compiled pass.

The id of an output is `<origin>:<kind>`, with `:<k>` for the k-th further record of the same input and topic, or with
a suffix after a dot where the output gives one. It is the same on every replay, so consumers can drop repeats by it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from schemas.binary import Binary
from schemas.digit import put_digits
from schemas.memory import address_of, copy

TIME_BYTES: Final = 24
_FIRST_MS: Final = -62_135_596_800_000
_LAST_MS: Final = 253_402_300_799_999
"""Years 1 to 9999: four digits."""

_DAY_MS: Final = 86_400_000
_NUMBER_BYTES: Final = 20
_NO_SUFFIX: Final = Binary.of([])


class Stamped(NamedTuple):
    """Ids, headers, and the memory that these point to.

    Parameters
    ----------
    ids
        Of each record.
    cells
        int64 `[n, c, 3]`, see `streams.message.CELLS`: the headers of each.
    held
        What `cells` has addresses of.
    """

    ids: Binary
    cells: NDArray[np.int64]
    held: Any


def stamp(
    cells: NDArray[np.int64],
    origin: Binary,
    row: NDArray[np.intp],
    kind: bytes,
    time_ms: NDArray[np.int64],
    suffix: Binary | None = None,
) -> Stamped:
    """Ids and headers of records that derive from these rows.

    Parameters
    ----------
    cells
        int64 `[c, 3]`, headers of a record, whose first three become its origin, its id and its time (RFC 3339).
    origin
        Of each row.
    row
        int `[n]`, not decreasing: the row of each record.
    kind
        What they are.
    time_ms
        int64 `[n]`, of each record.
    suffix
        Of each record, or None where they have none.

    >>> made = stamp(np.zeros((3, 3), np.int64), Binary.of([b"t/0/7"]), np.zeros(2, int), b"f", np.zeros(2, np.int64))
    >>> made.ids.tolist()
    [b't/0/7:f', b't/0/7:f:1']
    """
    n = len(row)
    ends = _NO_SUFFIX if suffix is None else suffix
    sizes = origin.size[row]
    text = np.empty(int(sizes.sum()) + len(ends.data) + n * (len(kind) + 2 + _NUMBER_BYTES + TIME_BYTES), np.uint8)
    at = np.empty(n + 1, np.int64)
    made = np.empty((n, *cells.shape), np.int64)
    name = np.frombuffer(b":" + kind, np.uint8)
    is_plain = _stamp(
        text, at, made, cells, row, address_of(name), len(name), origin.base, origin.at, sizes,
        ends.base, ends.at, ends.size, time_ms,
    )  # fmt: skip
    ids = Binary(text[: at[n]].tobytes(), at[:n], np.diff(at))
    held: list[Any] = [text]
    if not is_plain:
        dates = np.datetime_as_string(np.asarray(time_ms, "datetime64[ms]"), timezone="UTC")
        times = Binary.of([one.encode() for one in dates.tolist()])
        made[:, 2, 1], made[:, 2, 2] = times.address, times.size
        held.append(times)
    return Stamped(ids, made, held)


def warm() -> None:
    """Compile it."""
    stamp(np.zeros((3, 3), np.int64), Binary.of([]), np.zeros(0, np.intp), b"", np.zeros(0, np.int64))


@njit(cache=True, nogil=True)
def _stamp(
    text: NDArray[np.uint8], begins: NDArray[np.int64], made: NDArray[np.int64], cells: NDArray[np.int64],
    row: NDArray[np.intp], name: int, name_size: int, origin: int, origin_at: NDArray[np.int64],
    origin_size: NDArray[np.int64], suffix: int, suffix_at: NDArray[np.int64], suffix_size: NDArray[np.int64],
    time_ms: NDArray[np.int64],
) -> bool:  # fmt: skip
    """Ids first, then times; `begins` says where each id begins and the last ends. False where a time is no date."""
    n = len(row)
    base = text.ctypes.data
    at, further = 0, 0
    for i in range(n):
        made[i] = cells
        begins[i] = at
        copy(base + at, origin + origin_at[row[i]], origin_size[i])
        made[i, 0, 1] = made[i, 1, 1] = base + at
        made[i, 0, 2] = origin_size[i]
        at += origin_size[i]
        copy(base + at, name, name_size)
        at += name_size
        further = further + 1 if i and row[i] == row[i - 1] else 0
        if len(suffix_size):
            text[at] = ord(".")
            copy(base + at + 1, suffix + suffix_at[i], suffix_size[i])
            at += suffix_size[i] + 1
        elif further:
            text[at] = ord(":")
            at = put_digits(base + at + 1, uint64(further)) - base
        made[i, 1, 2] = at - begins[i]
    begins[n] = at
    is_plain = True
    for i in range(n):
        is_plain &= _FIRST_MS <= time_ms[i] <= _LAST_MS
        _write_time(text, at, time_ms[i] if is_plain else 0)
        made[i, 2, 1], made[i, 2, 2] = base + at, TIME_BYTES
        at += TIME_BYTES
    return is_plain


@njit(cache=True)
def _write_time(text: NDArray[np.uint8], at: int, time_ms: int) -> None:
    """A time as `2023-11-14T22:13:20.500Z`; Howard Hinnant's `civil_from_days` makes the date."""
    day, ms = time_ms // _DAY_MS, time_ms % _DAY_MS
    era, of_era = (day + 719_468) // 146_097, (day + 719_468) % 146_097  # days since 1 March of the year 0
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * of_year + 2) // 153
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    _write(text, at, 4, 400 * era + year_of_era + (month <= 2))
    _write(text, at + 5, 2, month)
    _write(text, at + 8, 2, of_year - (153 * month_from_march + 2) // 5 + 1)
    _write(text, at + 11, 2, ms // 3_600_000)
    _write(text, at + 14, 2, ms // 60_000 % 60)
    _write(text, at + 17, 2, ms // 1_000 % 60)
    _write(text, at + 20, 3, ms % 1_000)
    text[at + 4] = text[at + 7] = ord("-")
    text[at + 10], text[at + 23] = ord("T"), ord("Z")
    text[at + 13] = text[at + 16] = ord(":")
    text[at + 19] = ord(".")


@njit(cache=True)
def _write(text: NDArray[np.uint8], at: int, width: int, value: int) -> None:
    for place in range(at + width - 1, at - 1, -1):
        text[place] = ord("0") + value % 10
        value //= 10
