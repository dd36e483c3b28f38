"""JSON values, compiled: each writes one into a buffer and returns where it ends.

Numbers are written as msgspec writes them: the fewest digits that read back as the same double, with an
exponent where plain digits would be long.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from schemas.memory import bits_of, byte_at, float_at
from schemas.shortest import shortest

_PLAIN_UNTIL: Final = 16
_PLAIN_FROM: Final = -5
"""Powers of ten of the first digit between which a number is written without an exponent."""


def _letters(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def _escaped() -> NDArray[np.uint8]:
    """What follows the backslash of each byte that wants one; `u` where its code follows."""
    table = np.zeros(256, np.uint8)
    table[:32] = ord("u")
    for byte, letter in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True):
        table[ord(byte)] = ord(letter)
    return table


_TENS: Final = 10 ** np.arange(1, 20, dtype=np.uint64)
_PAIRS: Final = _letters("".join(f"{i:02}" for i in range(100)))
_TRUE: Final = _letters("true")
_FALSE: Final = _letters("false")
_NULL: Final = _letters("null")
_ZERO: Final = _letters("0.0")
_HEX: Final = _letters("0123456789abcdef")
_ESCAPED: Final = _escaped()


@njit(cache=True)
def write_floats(out: NDArray[np.uint8], at: int, place: int, width: int) -> int:
    """An array of doubles."""
    out[at] = ord("[")
    at += 1
    for i in range(width):
        if i:
            out[at] = ord(",")
            at += 1
        at = write_float(out, at, float_at(place + 8 * i))
    out[at] = ord("]")
    return at + 1


@njit(cache=True)
def write_text(out: NDArray[np.uint8], at: int, place: int, size: int) -> int:
    """Text in quotes, UTF-8 as it is."""
    out[at] = ord('"')
    at += 1
    for i in range(size):
        byte = byte_at(place + i)
        short = _ESCAPED[byte]
        if short == 0:
            out[at] = byte
            at += 1
            continue
        out[at], out[at + 1] = ord("\\"), short
        at += 2
        if short == ord("u"):
            out[at], out[at + 1] = ord("0"), ord("0")
            out[at + 2], out[at + 3] = _HEX[byte >> 4], _HEX[byte & 15]
            at += 4
    out[at] = ord('"')
    return at + 1


@njit(cache=True)
def write_bool(out: NDArray[np.uint8], at: int, value: bool) -> int:
    """True or false."""
    return _write_word(out, at, _TRUE if value else _FALSE)  # type: ignore[no-any-return]


@njit(cache=True)
def _write_word(out: NDArray[np.uint8], at: int, word: NDArray[np.uint8]) -> int:
    for i in range(len(word)):
        out[at + i] = word[i]
    return at + len(word)


@njit(cache=True)
def write_int(out: NDArray[np.uint8], at: int, value: int) -> int:
    """A whole number."""
    magnitude = uint64(value)
    if value < 0:
        out[at] = ord("-")
        at += 1
        magnitude = uint64(0) - magnitude
    size: int = _count_digits(magnitude)
    _write_digits(out, at, magnitude, size)
    return at + size


@njit(cache=True)
def write_float(out: NDArray[np.uint8], at: int, value: float) -> int:
    """A double; null for what is no number."""
    bits = bits_of(value)
    magnitude = bits & uint64((1 << 63) - 1)
    if magnitude >= uint64(0x7FF << 52):
        return _write_word(out, at, _NULL)  # type: ignore[no-any-return]
    if bits != magnitude:
        out[at] = ord("-")
        at += 1
    if magnitude == 0:
        return _write_word(out, at, _ZERO)  # type: ignore[no-any-return]
    digits, exponent = shortest(magnitude)
    while digits % uint64(10) == 0:
        digits = uint64(digits // uint64(10))
        exponent += 1
    size = _count_digits(digits)
    if _PLAIN_FROM <= size + exponent - 1 < _PLAIN_UNTIL:
        return _write_plain(out, at, digits, size, exponent)  # type: ignore[no-any-return]
    return _write_scientific(out, at, digits, size, exponent)  # type: ignore[no-any-return]


@njit(cache=True)
def _write_plain(out: NDArray[np.uint8], at: int, digits: int, size: int, exponent: int) -> int:
    before = size + exponent  # digits before the point
    if before <= 0:
        for i in range(2 - before):
            out[at + i] = ord("0")
        out[at + 1] = ord(".")
        at += 2 - before
        _write_digits(out, at, digits, size)
        return at + size
    if exponent < 0:
        _write_digits(out, at + 1, digits, size)
        for i in range(before):
            out[at + i] = out[at + i + 1]
        out[at + before] = ord(".")
        return at + size + 1
    _write_digits(out, at, digits, size)
    at += size
    for _ in range(exponent):
        out[at] = ord("0")
        at += 1
    out[at], out[at + 1] = ord("."), ord("0")
    return at + 2


@njit(cache=True)
def _write_scientific(out: NDArray[np.uint8], at: int, digits: int, size: int, exponent: int) -> int:
    _write_digits(out, at + 1, digits, size)
    out[at] = out[at + 1]
    if size > 1:
        out[at + 1] = ord(".")
        at += size + 1
    else:
        at += 1
    out[at] = ord("e")
    return write_int(out, at + 1, size + exponent - 1)  # type: ignore[no-any-return]


@njit(cache=True)
def _count_digits(value: int) -> int:
    size = 1
    for power in _TENS:
        if value < power:
            break
        size += 1
    return size


@njit(cache=True)
def _write_digits(out: NDArray[np.uint8], at: int, value: int, size: int) -> None:
    last = at + size
    while value >= uint64(100):
        rest = value
        value = uint64(value // uint64(100))
        pair = np.int64(rest - value * uint64(100))
        last -= 2
        out[last], out[last + 1] = _PAIRS[2 * pair], _PAIRS[2 * pair + 1]
    if value >= uint64(10):
        out[at], out[at + 1] = _PAIRS[2 * np.int64(value)], _PAIRS[2 * np.int64(value) + 1]
    else:
        out[at] = np.uint8(value) + ord("0")
