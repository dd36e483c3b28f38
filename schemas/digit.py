"""Decimal digits as text, eight at a time.

Paul Khuong, How to print integers really fast (2017): two numbers of four digits, then four of two, then
eight digits are divided at once within a word, whose lowest byte is the first digit.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit, uint64

from schemas.memory import leading_zeros, put_word

TENS: Final = 10 ** np.arange(20, dtype=np.uint64)
_LOG10_2: Final = 1233  # times 2^-12
_ZEROS: Final = 0x3030303030303030
_EIGHT: Final = 10**8


@njit(cache=True, inline="always")
def count_digits(value: Any) -> int:
    """How many digits a positive uint64 has."""
    below = (64 - leading_zeros(value)) * _LOG10_2 >> 12
    return below + np.int64(value >= TENS[below])


@njit(cache=True, inline="always")
def _digits_of_eight(value: Any) -> Any:
    """Digits of a uint64 below 10^8, a byte each."""
    top = uint64(value // uint64(10_000))
    both = top | ((value - top * uint64(10_000)) << uint64(32))
    tops = ((both * uint64(10_486)) >> uint64(20)) & uint64(0x7F_0000_007F)
    pairs = ((both - uint64(100) * tops) << uint64(16)) + tops
    tens = ((pairs * uint64(103)) >> uint64(10)) & uint64(0x000F_000F_000F_000F)
    return tens + ((pairs - uint64(10) * tens) << uint64(8))


@njit(cache=True, inline="always")
def put_sixteen(place: int, value: Any) -> int:
    """Write the sixteen digits of a uint64 below 10^16 to an address; returns how many of them are the last zeros."""
    top = uint64(value // uint64(_EIGHT))
    high, low = _digits_of_eight(top), _digits_of_eight(value - top * uint64(_EIGHT))
    put_word(place, high | uint64(_ZEROS))
    put_word(place + 8, low | uint64(_ZEROS))
    return leading_zeros(low) >> 3 if low else 8 + (leading_zeros(high) >> 3)


@njit(cache=True)
def put_digits(place: int, value: Any) -> int:
    """Write a uint64 to an address and up to 16 bytes beyond its digits; returns where these end."""
    if value >= TENS[16]:
        top = uint64(value // TENS[16])
        place = put_digits(place, top)
        put_sixteen(place, value - top * TENS[16])
        return place + 16
    size = count_digits(value) if value else 1
    put_sixteen(place, value * TENS[16 - size])
    return place + size
