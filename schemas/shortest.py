"""Decimal digits of doubles, compiled: the shortest that read back as the same number, and the nearest of those.

Raffaello Giulietti, The Schubfach way to render doubles (2020). Digits are Python's `repr`'s.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from schemas.memory import product_high

_LEAST: Final = -292
_MOST: Final = 324
_LOG2_10: Final = 1_741_647  # times 2^-19
_LOG10_2: Final = 1_262_611  # times 2^-22
_LOG10_3_4: Final = 524_031  # log10(4/3) times 2^22


def _powers() -> NDArray[np.uint64]:
    """Powers of ten from `_LEAST` on, their first 128 bits rounded up, as two words."""
    rows = []
    for exponent in range(_LEAST, _MOST + 1):
        over, under = 10 ** max(exponent, 0), 10 ** max(-exponent, 0)
        shift = 127 - (exponent * _LOG2_10 >> 19)
        power = -(-(over << max(shift, 0)) // (under << max(-shift, 0)))
        rows.append((power >> 64, power & (1 << 64) - 1))
    return np.array(rows, np.uint64)


_POWERS: Final = _powers()


@njit(cache=True, inline="always")
def _scaled(high: int, low: int, factor: int) -> int:
    """A power of ten times a factor, its upper word; the last bit says whether anything was below."""
    rest = uint64(high * factor) + product_high(low, factor)
    upper = product_high(high, factor)
    if rest < uint64(high * factor):
        upper += uint64(1)
    return uint64(upper | uint64(rest > uint64(1)))  # type: ignore[no-any-return]


@njit(cache=True)
def shortest(bits: Any) -> tuple[Any, Any]:
    """Digits as a number, and the power of ten to multiply it with, of a positive finite double.

    Parameters
    ----------
    bits
        Of the double, uint64.
    """
    one, two, four = uint64(1), uint64(2), uint64(4)
    fraction = bits & uint64(0xFFFFFFFFFFFFF)
    biased = np.int64(bits >> uint64(52))
    if biased:
        c, q = fraction | uint64(1 << 52), biased - 1075
        if -53 < q <= 0 and not c & ((one << uint64(-q)) - one):
            return c >> uint64(-q), np.int64(0)
    else:
        c, q = fraction, np.int64(-1074)
    is_closer = fraction == 0 and biased > 1  # the double below is half as far
    odd = c & one
    k = (q * _LOG10_2 - (_LOG10_3_4 if is_closer else 0)) >> 22
    shift = uint64(q + (-k * _LOG2_10 >> 19) + 1)
    high, low = _POWERS[-k - _LEAST, 0], _POWERS[-k - _LEAST, 1]
    lower = _scaled(high, low, ((c << two) - two + uint64(is_closer)) << shift) + odd
    value = _scaled(high, low, (c << two) << shift)
    upper = _scaled(high, low, ((c << two) + two) << shift) - odd
    s = value >> two
    if s >= uint64(10):  # one digit less, if that is still nearer than the neighbours
        tenth = uint64(s // uint64(10))
        below, above = lower <= uint64(40) * tenth, uint64(40) * tenth + uint64(40) <= upper
        if below != above:
            return tenth + uint64(above), k + 1
    below, above = lower <= four * s, four * s + four <= upper
    if below != above:
        return s + uint64(above), k
    middle = four * s + two
    return s + uint64(value > middle or (value == middle and s & one != 0)), k
