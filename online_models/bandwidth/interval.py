"""90 % intervals that adapt, learning from each forecast once its sample is there.

Quantile tracking (Angelopoulos, Candes and Tibshirani, Conformal PID Control, 2023) on the logarithm of
the radius: over any stretch of n scores the share missed differs from 10 % by at most
the radius' change over it, divided by step times n, whatever the series does. A second, slower
tracker leans the interval to the side on which more is missed.
"""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

MISS_RATE: Final = 0.1
PRIOR_RADIUS: Final = 4.0
"""Of a forecast without any score, in units of the link's spread."""

_STEP: Final = 0.08
_FIRST_STEP: Final = 0.1
_LEAN_STEP: Final = 0.02
_RANGE: Final = (0.01, 1e4)
_LEAN: Final = 1.5


@njit(cache=True)
def track(radius: NDArray[Any], lean: NDArray[Any], m: int, below: bool, above: bool, scored: int, pace: float) -> None:
    """Learn whether a sample fell below or above the interval it was forecast to lie in.

    Parameters
    ----------
    radius, lean
        Of each target; updated in place.
    scored
        Scores before this one: the first hundred move the radius faster.
    pace
        Multiplies the steps, at most 1.
    """
    step = pace * max(_STEP, _FIRST_STEP * (1.0 - scored / 200.0))
    missed = 1.0 if below or above else 0.0
    radius[m] = min(max(radius[m] * math.exp(step * (missed - MISS_RATE)), _RANGE[0]), _RANGE[1])
    if missed:
        side = 1.0 if above else -1.0
        lean[m] = min(max(lean[m] + pace * _LEAN_STEP * side, -_LEAN), _LEAN)


@njit(cache=True)
def reach_below(radius: float, lean: float) -> float:
    """How far the interval reaches below the forecast, in units of the spread."""
    return radius * math.exp(-lean)


@njit(cache=True)
def reach_above(radius: float, lean: float) -> float:
    """How far it reaches above."""
    return radius * math.exp(lean)
