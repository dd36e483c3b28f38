"""Flat JSON records to columns, in one compiled loop.

A row is read here only when it is understood completely: known names in any order, each once; numbers,
texts without escapes, `true`, `false` and `null`. Any other is given back to who decodes it properly.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from schemas.json_number import nearest, scan_number
from schemas.memory import bits_of, byte_at, float_of, int_at, put_int, signed, word_at
from schemas.token_table import SEED, find, hash_string, hash_text, is_token, number_of, size_of

FLOAT, WHOLE, INTEGER, BOOLEAN, TOKEN = range(5)
"""What a field's cells are: float64 of any number, or of a whole one; int64; truth; a token's number."""

CELL, NULL, REQUIRED, DEFAULT, KIND, LOW, HIGH = range(7)
"""Of a field: what its cells are, whether null is allowed (or, of tokens, a flat object) and a value must be, the
cell where there is none, the kind of its tokens, and the least and the greatest number allowed, by their bits."""

FIELD_WORDS: Final = 8

FIELDS, FIELD, FOLLOWER, SEEN, TABLE, ROW = range(6)
"""What `scan` works with: fields and where they lie; where lie the field that came behind each, that behind the last
one being the first, and the last row that had each; the table, its head's address; rows read so far."""

KEY: Final = 0
"""Kind of the tokens that are fields' names; a table's first ones are these, in order. Texts of a field are of its
own kind, and what was written without quotes is of the kind behind."""

PADDING: Final = 96
"""Zeros behind the last value, so that words may be read and everything but a string ends there."""

_NAN: Final = 0x7FF8000000000000
_EXACT: Final = 1 << 53
_NULL: Final = np.uint64(0x6C6C756E)
_TRUE: Final = np.uint64(0x65757274)
_FALS: Final = np.uint64(0x736C6166)
_FOUR: Final = np.uint64(0xFFFFFFFF)


@njit(cache=True)
def _skip(at: int) -> int:
    """Past white space."""
    while True:
        byte = byte_at(at)
        if byte > 32 or not (byte == 32 or byte == 10 or byte == 13 or byte == 9):
            return at
        at += 1


@njit(cache=True)
def _skip_scalar(at: int) -> int:
    """Past a number, true, false or null; -1 when it is none."""
    word = word_at(at) & _FOUR
    if word in (_NULL, _TRUE):
        return at + 4
    if word == _FALS and byte_at(at + 4) == 101:
        return at + 5
    return scan_number(at)[0]


@njit(cache=True)
def _skip_object(at: int, end: int) -> int:
    """Past the brace that ends a flat object, whatever is in it; -1 without one."""
    at += 1
    while at < end:
        byte = byte_at(at)
        if byte == 125:
            return at + 1
        if byte == 34:
            _, at = hash_string(at + 1, end, 0)
            if at < 0:
                return -1
        elif byte == 123 or byte == 91 or byte == 93:
            return -1
        at += 1
    return -1


@njit(cache=True)
def _is_plain(at: int, end: int) -> bool:
    """Whether text is printable ASCII."""
    while at < end:
        if byte_at(at) < 32 or byte_at(at) > 127:
            return False
        at += 1
    return True


@njit(cache=True)
def _skip_unknown(at: int, end: int) -> int:
    """Past the value of a field that is not ours; -1 when it is not plain."""
    if byte_at(at) == 34:
        _, quote = hash_string(at + 1, end, 0)
        return quote + 1 if quote >= 0 and _is_plain(at + 1, quote) else -1
    number = scan_number(at)
    if number[0] < 0:
        return _skip_scalar(at)
    return number[0] if nearest(*number[1:4])[0] else -1


@njit(cache=True)
def _read_number(at: int, cell: int, low: float, high: float) -> tuple[int, int]:
    """Past a number, and its cell; -1 when it is not one, or not within the limits."""
    at, negative, digits, exponent, whole = scan_number(at)
    if at < 0:
        return -1, 0
    if cell != FLOAT:
        if not whole or digits > np.uint64(_EXACT) or (negative and digits == np.uint64(0)):
            return -1, 0
        integer = -signed(digits) if negative else signed(digits)
        if not low <= integer <= high:
            return -1, 0
        return at, integer if cell == INTEGER else signed(bits_of(np.float64(integer)))
    known, value = nearest(negative, digits, exponent)
    if not (known and low <= value <= high):
        return -1, 0
    return at, signed(bits_of(value))


@njit(cache=True)
def _read_token(at: int, end: int, kind: int, flat: bool, table: int) -> tuple[int, int]:
    """Past a string, a scalar or, where one may be, a flat object, and its token's number; -1 when it is none."""
    if byte_at(at) == 34:
        hash_, quote = hash_string(at + 1, end, int_at(table, SEED))
        if quote < 0:
            return -1, 0
        found = number_of(at + 1, quote - at - 1, hash_, kind, table)
        return (quote + 1 if found >= 0 else -1), found
    after = _skip_object(at, end) if flat and byte_at(at) == 123 else _skip_scalar(at)
    if after < 0 or after > end:
        return -1, 0
    found = number_of(at, after - at, hash_text(at, after - at, int_at(table, SEED)), kind + 1, table)
    return (after if found >= 0 else -1), found


@njit(cache=True)
def _read_value(at: int, end: int, field: int, table: int) -> tuple[int, int]:
    """Past a field's value, and its cell; -1 when it is not plainly what the field is."""
    cell = int_at(field, CELL)
    if cell == TOKEN:
        return _read_token(at, end, int_at(field, KIND), int_at(field, NULL) != 0, table)
    if cell <= INTEGER and byte_at(at) != 110:
        return _read_number(at, cell, float_of(int_at(field, LOW)), float_of(int_at(field, HIGH)))
    four = word_at(at) & _FOUR
    if four == _NULL and cell <= WHOLE and int_at(field, NULL):
        return at + 4, _NAN
    if cell == BOOLEAN:
        if four == _TRUE:
            return at + 4, 1
        if four == _FALS and byte_at(at + 4) == 101:
            return at + 5, 0
    return -1, 0


@njit(cache=True)
def _read_name(at: int, end: int, guess: int, table: int) -> tuple[int, int]:
    """Past a name and its colon, and which field it is: -1 for none of ours; -1 past when it is not plain."""
    if byte_at(at) != 34:
        return -1, -1
    at += 1
    name = guess
    size = size_of(guess, table)
    if byte_at(at + size) == 34 and is_token(at, guess, table):
        at += size + 1
    else:
        hash_, quote = hash_string(at, end, int_at(table, SEED))
        if quote < 0:
            return -1, -1
        name, _ = find(at, quote - at, hash_, KEY, table)
        if name < 0 and not _is_plain(at, quote):
            return -1, -1
        at = quote + 1
    at = _skip(at)
    if byte_at(at) != 58:
        return -1, -1
    return _skip(at + 1), name


@njit(cache=True)
def _read_record(at: int, end: int, row: int, cells: int, stride: int, plan: int) -> bool:
    """Read a row's cells, which lie a stride apart; False when any of it is not plain."""
    fields, field, follower = int_at(plan, FIELDS), int_at(plan, FIELD), int_at(plan, FOLLOWER)
    seen, table = int_at(plan, SEEN), int_at(plan, TABLE)
    at = _skip(at)
    if byte_at(at) != 123:
        return False
    at = _skip(at + 1)
    filled = 0
    last = fields
    more = byte_at(at) != 125
    if not more:
        at += 1
    while more:
        at, name = _read_name(at, end, int_at(follower, last), table)
        if at < 0:
            return False
        if name < 0:
            at = _skip_unknown(at, end)
        else:
            if int_at(seen, name) == row:
                return False
            put_int(seen, name, row)
            put_int(follower, last, name)
            filled += 1
            last = name
            at, value = _read_value(at, end, field + 8 * FIELD_WORDS * name, table)
            put_int(cells, stride * name, value)
        if at < 0:
            return False
        at = _skip(at)
        byte = byte_at(at)
        if byte != 44 and byte != 125:
            return False
        more = byte == 44
        at = _skip(at + 1) if more else at + 1
    return (at == end or _skip(at) == end) and (filled == fields or _fill(row, cells, stride, plan))


@njit(cache=True)
def _fill(row: int, cells: int, stride: int, plan: int) -> bool:
    """Put defaults where no value was sent; False where one must be."""
    for name in range(int_at(plan, FIELDS)):
        if int_at(int_at(plan, SEEN), name) != row:
            field = int_at(plan, FIELD) + 8 * FIELD_WORDS * name
            if int_at(field, REQUIRED):
                return False
            put_int(cells, stride * name, int_at(field, DEFAULT))
    return True


@njit(cache=True)
def scan(
    data: NDArray[np.uint8], size: NDArray[np.int64], cells: NDArray[np.int64], left: NDArray[np.int64],
    plan: NDArray[np.int64],
) -> int:  # fmt: skip
    """Read rows.

    Parameters
    ----------
    data
        The values one behind the other, and `PADDING` zeros.
    size
        Bytes of each, `[n]`.
    cells
        Filled: `[field, n]`, float64 by their bits. Of rows that are left, tokens are 0 and the rest is anything.
    left
        Filled: rows that were not read, `[n]`.
    plan
        See `FIELDS`; the table has room for every token of these rows.

    Returns
    -------
    int
        How many were not.
    """
    at, plan_at, cells_at = np.int64(data.ctypes.data), np.int64(plan.ctypes.data), np.int64(cells.ctypes.data)
    lefts = 0
    for row in range(len(size)):
        end = at + size[row]
        plan[ROW] += 1
        if not _read_record(at, end, plan[ROW], cells_at + 8 * row, len(size), plan_at):
            left[lefts] = row
            lefts += 1
            for name in range(plan[FIELDS]):
                if int_at(plan[FIELD] + 8 * FIELD_WORDS * name, CELL) == TOKEN:
                    cells[name, row] = 0
        at = end
    return lefts
