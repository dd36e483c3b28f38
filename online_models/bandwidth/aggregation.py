"""Weights of experts from their regrets, without a learning rate to choose.

ML-Poly (Gaillard, Stoltz and van Erven, A second-order bound with excess losses, 2014): an
expert weighs its positive regret over the sum of its squared regrets, so that one that is
steadily a little better wins over one that is now far better, now far worse. Regrets are
discounted, which makes it follow changes. Nothing depends on the unit of the losses.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def learn_regret(regret: NDArray[Any], square: NDArray[Any], k: int, m: int, gain: float, discount: float) -> None:
    """Take in by how much expert `k` of target `m` would have lost less than the mixture.

    Parameters
    ----------
    regret, square
        Discounted sums of regrets and of their squares, `[experts, targets]`, in place.
    """
    regret[k, m] = discount * regret[k, m] + gain
    square[k, m] = discount * square[k, m] + gain * gain


@njit(cache=True)
def weigh(regret: NDArray[Any], square: NDArray[Any], m: int, out: NDArray[Any]) -> float:
    """Write the weights of target `m`'s experts, which sum to 1.

    Returns
    -------
    1, or 0 when no expert ever did better than the mixture: `out` is then of no use.
    """
    total = 0.0
    for k in range(regret.shape[0]):
        out[k] = regret[k, m] / square[k, m] if regret[k, m] > 0.0 and square[k, m] > 0.0 else 0.0
        total += out[k]
    if not 0.0 < total < 1e300:
        return 0.0
    for k in range(regret.shape[0]):
        out[k] /= total
    return 1.0
