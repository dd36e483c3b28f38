"""JSON numbers to float64, rounded to the nearest: Eisel and Lemire's way, which takes a multiplication or two.

D. Lemire, Number Parsing at a Gigabyte per Second, Software: Practice and Experience 51(8), 2021. What it
does not settle, and what is rare (more than 19 digits, exponents beyond 64, minus zero), is left to the caller.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from schemas.memory import byte_at, float_of, leading_zeros, product_high, signed, word_at

_REACH: Final = 64
"""Powers of ten that are known, to either side."""

_DIGITS: Final = 19
"""So many always fit a word."""


def _power_of_five(exponent: int) -> tuple[int, int]:
    """128 leading bits of 5 to the power: cut for a positive one, rounded up for a negative one."""
    power = 5 ** abs(exponent)
    # The quotient of a negative one has 128 bits: no power but 5^0 divides one of two.
    cut = power << 128 >> power.bit_length()
    found = cut if exponent >= 0 else (1 << (power.bit_length() + 127)) // power + 1
    assert found.bit_length() == 128
    return found >> 64, found & ((1 << 64) - 1)


_FIVE: Final = np.array([_power_of_five(e) for e in range(-_REACH, _REACH + 1)], np.uint64)
_TEN: Final = np.array([float(10**e) for e in range(23)])
"""Exact."""

_EXACT: Final = np.uint64(1 << 53)
_ONE: Final = np.uint64(1)
_THREE: Final = np.uint64(3)
_10: Final = np.uint64(10)
_HUNDRED_MILLION: Final = np.uint64(100_000_000)
_HIDDEN: Final = np.uint64(1 << 52)
_BEYOND: Final = np.uint64(0x1FF)
_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)

_ZEROS: Final = np.uint64(0x3030303030303030)
_SIXES: Final = np.uint64(0x4646464646464646)
_TOPS: Final = np.uint64(0x8080808080808080)


@njit(cache=True)
def _digits(at: int, value: np.uint64) -> tuple[int, np.uint64]:
    """Past the digits from `at` on; `value` with them behind it, modulo 2^64."""
    while True:
        word = word_at(at)
        digit = word - _ZEROS
        if ((word + _SIXES) | digit) & _TOPS:
            break
        # Neighbours to pairs, pairs to fours, fours to eight: the first digit is the lowest byte.
        digit = digit * _10 + (digit >> np.uint64(8))
        upper = (digit & np.uint64(0x000000FF000000FF)) * np.uint64(0x000F424000000064)
        lower = ((digit >> np.uint64(16)) & np.uint64(0x000000FF000000FF)) * np.uint64(0x0000271000000001)
        value = value * _HUNDRED_MILLION + ((upper + lower) >> np.uint64(32))
        at += 8
    while True:
        one = byte_at(at) - 48
        if one < 0 or one > 9:
            return at, value
        value = value * _10 + np.uint64(one)
        at += 1


@njit(cache=True)
def scan_number(at: int) -> tuple[int, bool, np.uint64, int, bool]:
    """A number by JSON's grammar.

    Returns
    -------
    at
        Past it; -1 when none begins here, or its digits are too many.
    negative, digits, exponent
        It is `digits * 10 ** exponent`.
    whole
        It was written without a point and an exponent.
    """
    nothing = (-1, False, np.uint64(0), 0, False)
    negative = byte_at(at) == 45
    first = at + 1 if negative else at
    at, digits = _digits(first, np.uint64(0))
    count = at - first
    leads = byte_at(first) == 48
    if count == 0 or (leads and count > 1):
        return nothing
    exponent = 0
    whole = True
    if byte_at(at) == 46:
        point = at + 1
        at, digits = _digits(point, digits)
        exponent = point - at
        if exponent == 0:
            return nothing
        count -= exponent
        whole = False
        if count > _DIGITS and leads:
            count -= 1
            while byte_at(point) == 48:
                point += 1
                count -= 1
    if count > _DIGITS:
        return nothing
    if byte_at(at) | 32 == 101:
        at += 1
        sign = byte_at(at)
        if sign in (43, 45):
            at += 1
        end, power = _digits(at, np.uint64(0))
        if end == at or end - at > 4:
            return nothing
        exponent += -signed(power) if sign == 45 else signed(power)
        at = end
        whole = False
    return at, negative, digits, exponent, whole


@njit(cache=True)
def nearest(negative: bool, digits: np.uint64, exponent: int) -> tuple[bool, float]:
    """The float64 nearest to `digits * 10 ** exponent`, and whether it is known."""
    if digits == np.uint64(0):
        return not negative, 0.0
    if digits <= _EXACT and -22 <= exponent <= 22:  # both are exact, and one operation rounds once
        exact = np.float64(digits)
        exact = exact / _TEN[-exponent] if exponent < 0 else exact * _TEN[exponent]
        return True, -exact if negative else exact
    if exponent < -_REACH or exponent > _REACH:
        return False, 0.0
    zeros = leading_zeros(digits)
    digits <<= np.uint64(zeros)
    five = _FIVE[exponent + _REACH]
    high, low = product_high(digits, five[0]), digits * five[0]
    if high & _BEYOND == _BEYOND:  # the power's second word may carry into the bits that count
        more = product_high(digits, five[1])
        low += more
        if low < more:
            high += _ONE
        if low == _ALL:
            return False, 0.0
    top = high >> np.uint64(63)
    shift = top + np.uint64(9)
    value = high >> shift
    power = ((217706 * exponent) >> 16) + 63 + signed(top) - zeros + 1023
    # Halfway between two: only where the product is exact can it be, and then the even one is nearest.
    if low <= _ONE and -4 <= exponent <= 23 and value & _THREE == _ONE and value << shift == high:
        value -= _ONE
    value = (value + (value & _ONE)) >> _ONE
    if value >= _HIDDEN << _ONE:
        value = _HIDDEN
        power += 1
    found = float_of(signed((value & ~_HIDDEN) | (np.uint64(power) << np.uint64(52))))
    return True, -found if negative else found
