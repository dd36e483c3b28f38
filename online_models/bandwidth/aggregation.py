"""Weights of experts from their regrets, without a learning rate to choose.

ML-Poly (Gaillard, Stoltz and van Erven, A second-order bound with excess losses, 2014): an
expert weighs its positive regret over the sum of its squared regrets, so that one that is
steadily a little better wins over one that is now far better, now far worse. Regrets are
discounted, which makes it follow changes. Nothing depends on the unit of the losses.

A link's sums are kept in 16 bits (`short_float`), rounded by turns so that they neither stand still nor drift.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

from online_models.bandwidth.short_float import lengthen, shorten, turn_of


@njit(cache=True)
def learn_regrets(regret: NDArray[Any], square: NDArray[Any], gain: NDArray[Any], discount: float) -> None:
    """Take in by how much each expert would have lost less than the mixture.

    Parameters
    ----------
    regret, square
        Discounted sums of regrets and of their squares, `[experts]`, in place.
    gain
        `[experts]`.
    """
    for k in range(gain.shape[0]):
        regret[k] = discount * regret[k] + gain[k]
        square[k] = discount * square[k] + gain[k] * gain[k]


@njit(cache=True)
def learn_short(regret: NDArray[Any], square: NDArray[Any], gain: NDArray[Any], discount: float, turn: int) -> None:
    """As `learn_regrets`, of sums in 16 bits; `turn` is the lesson's number."""
    for k in range(gain.shape[0]):
        rounding = turn_of(turn, k)
        regret[k] = shorten(discount * lengthen(regret[k]) + gain[k], rounding)
        square[k] = shorten(discount * lengthen(square[k]) + gain[k] * gain[k], rounding)


@njit(cache=True, error_model="numpy")
def weigh(regret: NDArray[Any], square: NDArray[Any], out: NDArray[Any]) -> float:
    """Write the experts' weights, which sum to 1, `[experts]`.

    Returns
    -------
    1, or 0 when no expert ever did better than the mixture: `out` is then of no use.
    """
    for k in range(regret.shape[0]):
        out[k] = regret[k] / square[k] if regret[k] > 0.0 and square[k] > 0.0 else 0.0
    return float(_share_out(out, regret.shape[0]))


@njit(cache=True, error_model="numpy")
def weigh_short(regret: NDArray[Any], square: NDArray[Any], out: NDArray[Any]) -> float:
    """As `weigh`, of sums in 16 bits."""
    for k in range(regret.shape[0]):
        mine, size = lengthen(regret[k]), lengthen(square[k])
        out[k] = mine / size if mine > 0.0 and size > 0.0 else 0.0
    return float(_share_out(out, regret.shape[0]))


@njit(cache=True, error_model="numpy")
def _share_out(out: NDArray[Any], n: int) -> float:
    total = 0.0
    for k in range(n):
        total += out[k]
    if not 0.0 < total < 1e300:
        return 0.0
    each = 1.0 / total
    for k in range(n):
        out[k] *= each
    return 1.0
