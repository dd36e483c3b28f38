"""A bank of exponential smoothers with damped slope and a season, run side by side.

Their states after every block are kept, and with them each one's loss so far: a forecast
from any past block picks its smoother by what was known then, without fitting anew.
The recursions are those of ETS(A,Ad,A) in Hyndman et al., Forecasting with Exponential Smoothing, 2008.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

BANK: Final = np.array(
    [(alpha, beta, phi) for alpha in (0.03, 0.1, 0.25, 0.5) for beta, phi in ((0.0, 0.0), (0.03, 0.97), (0.1, 0.9))]
)
"""Smoothing of level and slope, and damping, by smoother."""

States = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
"""Level, slope, seasonal parts and losses, see `run_bank`."""

SEASON_GAIN: Final = 0.08
_MEMORY: Final = 0.98


@njit(cache=True)
def run_bank(z: NDArray[Any], season: int, bank: NDArray[Any], gain: float, memory: float) -> States:
    """Smooth a series.

    Parameters
    ----------
    z
        Values by block, `[n]`, at least `season` of them; states start from the first season alone.
    season
        Blocks after which it repeats.
    bank
        Parameters, `[k, 3]`.

    Returns
    -------
    tuple
        After the first `i` blocks: level and slope `[n + 1, k]`, seasonal part by phase `[n + 1, k, season]`, and
        the mean absolute one-step error, discounted, `[n + 1, k]`.
    """
    n, many = len(z), len(bank)
    level, slope = np.zeros((n + 1, many)), np.zeros((n + 1, many))
    part, loss = np.zeros((n + 1, many, season)), np.zeros((n + 1, many))
    start = z[:season].mean()
    for k in range(many):
        level[0, k] = start
        for j in range(season):
            part[0, k, j] = z[j] - start
        for i in range(n):
            alpha, beta, phi = bank[k, 0], bank[k, 1], bank[k, 2]
            early = 1.0 / (i + 2.0)
            alpha = max(alpha, early)
            j = i % season
            ahead = level[i, k] + phi * slope[i, k]
            error = z[i] - ahead - part[i, k, j]
            level[i + 1, k] = ahead + alpha * error
            slope[i + 1, k] = phi * slope[i, k] + beta * alpha * error
            for other in range(season):
                part[i + 1, k, other] = part[i, k, other]
            if season > 1:
                part[i + 1, k, j] += gain * (1.0 - alpha) * error
            loss[i + 1, k] = memory * loss[i, k] + abs(error)
    return level, slope, part, loss


def smooth(z: NDArray[np.float64], season: int) -> States:
    """`run_bank` with what is used here."""
    found: States = run_bank(z, season, BANK, SEASON_GAIN, _MEMORY)
    return found


def damped_sums(phi: NDArray[np.float64] | float, horizon: int) -> NDArray[np.float64]:
    """How many slopes a forecast adds: phi + phi**2 + ..., `[horizon]`.

    >>> damped_sums(0.5, 3).tolist()
    [0.5, 0.75, 0.875]
    """
    return np.cumsum(np.power(phi, np.arange(1, horizon + 1)))
