"""Numbers in 16 bits: the upper half of a single-precision float, eight significant bits at any magnitude.

Waiting forecasts keep their differences to the sample they were made from so. What is published
was rounded before, so that a score is of what was published.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

TOWARDS_ZERO: Final = 0
NEAREST: Final = 0x7FFF
AWAY_FROM_ZERO: Final = 0xFFFF

_GREATEST: Final = 1e38


@njit(cache=True)
def shorten(value: float, rounding: int) -> int:
    """The 16 bits of a value, rounded as asked; beyond 1e38 it is 1e38.

    >>> lengthen(shorten(0.1, TOWARDS_ZERO)), lengthen(shorten(-0.1, AWAY_FROM_ZERO)), lengthen(shorten(3.0, NEAREST))
    (0.099609375, -0.10009765625, 3.0)
    """
    bits = np.float32(min(max(value, -_GREATEST), _GREATEST)).view(np.uint32)
    return (int(bits) + rounding) >> 16


@njit(cache=True)
def turn_of(turn: int, which: int) -> int:
    """A rounding for `shorten`, by turns evenly between `TOWARDS_ZERO` and `AWAY_FROM_ZERO`.

    Sums that are rounded after every step neither stand still nor drift so. `which` tells apart what is rounded at
    one turn.
    """
    return (turn * 2_654_435_761 + which * 1_013_904_223) >> 8 & 0xFFFF


@njit(cache=True)
def lengthen(short: int) -> float:
    """The value of 16 bits."""
    return float(np.uint32(np.uint32(short) << np.uint32(16)).view(np.float32))


@njit(cache=True)
def rounded(value: float, rounding: int) -> float:
    """A value as it comes back from 16 bits."""
    return float(lengthen(shorten(value, rounding)))
