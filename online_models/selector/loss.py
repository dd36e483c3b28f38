"""What either choice is expected to lose, given how both sides' utilities may turn out."""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

_STEP: Final = math.sqrt(3.0)
_MIDDLE: Final = 2.0 / 3.0
_SIDE: Final = 1.0 / 6.0
"""Places, in deviations, and weights of three points that stand for a normal distribution (Gauss and Hermite)."""

_FARTHEST: Final = 30.0


@njit(cache=True)
def add_normal(mean: float, deviation: float, weight: float, value: NDArray[Any], share: NDArray[Any], at: int) -> int:
    """Append a normal distribution's three points; returns where the next one goes."""
    for k in range(3):
        value[at + k] = mean + (k - 1) * _STEP * deviation
        share[at + k] = weight * (_MIDDLE if k == 1 else _SIDE)
    return at + 3


@njit(cache=True)
def expected_losses(ahead: NDArray[Any], weight: NDArray[Any], n: int, deviation: float, loss: NDArray[Any]) -> float:
    """Expected share of the better utility that taking HDE, and AMST, loses.

    Parameters
    ----------
    ahead
        Possible logarithms of HDE's utility over AMST's, the first `n` count.
    weight
        How probable each is; they need not sum to 1.
    deviation
        Of normal noise around each.
    loss
        Set, `[2]`: of taking HDE, of taking AMST.

    Returns
    -------
    Probability that AMST is the better side.
    """
    up = math.exp(_STEP * deviation)
    down = 1.0 / up
    total, hde, amst, better = 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        ratio = math.exp(min(max(ahead[k], -_FARTHEST), _FARTHEST))
        inverse = 1.0 / ratio
        total += weight[k]
        for point in range(3):
            share = weight[k] * (_MIDDLE if point == 0 else _SIDE)
            there = ratio if point == 0 else (ratio * up if point == 1 else ratio * down)
            if there < 1.0:
                hde += share * (1.0 - there)
                better += share
            else:
                amst += share * (1.0 - (inverse if point == 0 else (inverse * down if point == 1 else inverse * up)))
    loss[0], loss[1] = hde / total, amst / total
    return better / total
