"""JSON values, compiled: each writes one to an address and returns where it ends.

Numbers are written as msgspec writes them: the fewest digits that read back as the same double, with an
exponent where plain digits would be long. Up to `SLACK` bytes beyond the end may be written.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from schemas.digit import TENS, count_digits, put_digits, put_sixteen
from schemas.memory import bits_of, byte_at, float_at, put_byte, put_word, word_at
from schemas.shortest import shortest

SLACK: Final = 24
_PLAIN_UNTIL: Final = 16
_PLAIN_FROM: Final = -5
"""Powers of ten of the first digit between which a number is written without an exponent."""

_DIGITS: Final = 17
"""Of a double at most."""


def _word(text: str) -> int:
    return int.from_bytes(text.encode().ljust(8, b"\0"), "little")


def _escaped() -> NDArray[np.uint8]:
    """What follows the backslash of each byte that wants one; `u` where its code follows."""
    table = np.zeros(256, np.uint8)
    table[:32] = ord("u")
    for byte, letter in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True):
        table[ord(byte)] = ord(letter)
    return table


_TRUE: Final = _word("true")
_FALSE: Final = _word("false")
_NULL: Final = _word("null")
_ZERO: Final = _word("0.0")
_SMALL: Final = _word("0.000000")
_CODE: Final = _word("\\u00")
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_ESCAPED: Final = _escaped()
_ONES: Final = 0x0101010101010101
_HIGHEST: Final = 0x8080808080808080


@njit(cache=True)
def write_floats(at: int, place: int, width: int) -> int:
    """An array of doubles."""
    put_byte(at, ord("["))
    at += 1
    for i in range(width):
        if i:
            put_byte(at, ord(","))
            at += 1
        at = write_float(at, float_at(place + 8 * i))
    put_byte(at, ord("]"))
    return at + 1


@njit(cache=True)
def write_text(at: int, place: int, size: int) -> int:
    """Text in quotes, UTF-8 as it is."""
    put_byte(at, ord('"'))
    at += 1
    end = place + size
    while place < end:
        if place + 8 <= end:
            word = word_at(place)
            if not _wants_escape(word):
                put_word(at, word)
                at += 8
                place += 8
                continue
        byte = byte_at(place)
        place += 1
        short = _ESCAPED[byte]
        if short == 0:
            put_byte(at, byte)
            at += 1
        elif short == ord("u"):
            put_word(at, uint64(_CODE))
            put_byte(at + 4, _HEX[byte >> 4])
            put_byte(at + 5, _HEX[byte & 15])
            at += 6
        else:
            put_byte(at, ord("\\"))
            put_byte(at + 1, short)
            at += 2
    put_byte(at, ord('"'))
    return at + 1


@njit(cache=True, inline="always")
def _wants_escape(word: Any) -> bool:
    """Whether one of eight bytes is a quote, a backslash or below a space, or stands after such a one."""
    quote, backslash = word ^ uint64(ord('"') * _ONES), word ^ uint64(ord("\\") * _ONES)
    found = (quote - uint64(_ONES)) & ~quote
    found |= (backslash - uint64(_ONES)) & ~backslash
    found |= (word - uint64(ord(" ") * _ONES)) & ~word
    return (found & uint64(_HIGHEST)) != uint64(0)


@njit(cache=True)
def write_bool(at: int, value: bool) -> int:
    """True or false."""
    if value:
        put_word(at, uint64(_TRUE))
        return at + 4
    put_word(at, uint64(_FALSE))
    return at + 5


@njit(cache=True)
def write_int(at: int, value: int) -> int:
    """A whole number."""
    magnitude = uint64(value)
    if value < 0:
        put_byte(at, ord("-"))
        at += 1
        magnitude = uint64(0) - magnitude
    return put_digits(at, magnitude)


@njit(cache=True)
def write_float(at: int, value: float) -> int:
    """A double; null for what is no number."""
    bits = bits_of(value)
    magnitude = bits & uint64((1 << 63) - 1)
    if magnitude >= uint64(0x7FF << 52):
        put_word(at, uint64(_NULL))
        return at + 4
    if bits != magnitude:
        put_byte(at, ord("-"))
        at += 1
    if magnitude == 0:
        put_word(at, uint64(_ZERO))
        return at + 3
    digits, exponent = shortest(magnitude)
    size = count_digits(digits)
    exponent += size - 1
    digits *= TENS[_DIGITS - size]
    before = exponent + 1  # digits before the point
    if 0 < before <= _PLAIN_UNTIL:
        size = _put_seventeen(at, digits)
        first, rest = word_at(at + before), word_at(at + before + 8)
        put_byte(at + before, ord("."))
        put_word(at + before + 1, first)
        put_word(at + before + 9, rest)
        return at + max(size, before + 1) + 1
    if before <= 0 and exponent >= _PLAIN_FROM:
        put_word(at, uint64(_SMALL))
        at += 2 - before
        return at + _put_seventeen(at, digits)
    size = _put_seventeen(at + 1, digits)
    put_byte(at, byte_at(at + 1))
    if size > 1:
        put_byte(at + 1, ord("."))
        at += size
    put_byte(at + 1, ord("e"))
    return write_int(at + 2, exponent)


@njit(cache=True, inline="always")
def _put_seventeen(at: int, digits: Any) -> int:
    """Write seventeen digits; returns how many of them there are without the last zeros."""
    first = uint64(digits // TENS[_DIGITS - 1])
    put_byte(at, ord("0") + np.int64(first))
    return _DIGITS - put_sixteen(at + 1, digits - first * TENS[_DIGITS - 1])
