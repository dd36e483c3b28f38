"""How far a forecast may be off: 95 % intervals from what past forecasts missed."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LEVELS: Final = (0.025, 0.975)
OTHER_SIDE: Final = 0.75
"""The narrower side of an interval is at least this share of the wider one: what went up may come down."""

APART: Final = 2.0
"""An interval reaches farther by this times the mean distance of the methods' forecasts from the blend, each by its
merit: where they are at odds, what the past missed says too little. Simulated paths are moved by as much."""

_NEIGHBOURS: Final = 0.25


def reach(residual: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far the 95 % interval reaches below and above a forecast, `[block]` each.

    Parameters
    ----------
    residual
        Actual less forecast, `[origin, block, step]`, NaN where unknown.
    """
    many = residual.shape[1]
    around = max(1, round(_NEIGHBOURS * many))
    below, above = np.zeros(many), np.zeros(many)
    for block in range(many):
        near = residual[:, max(0, block - around) : block + around + 1]
        near = near[np.isfinite(near)]
        if len(near):
            low, high = np.quantile(near, LEVELS)
            below[block], above[block] = max(-low, 0.0), max(high, 0.0)
    below, above = np.maximum.accumulate(below), np.maximum.accumulate(above)
    seen = max(int(np.isfinite(residual).any(axis=(0, 2)).sum()), 1)
    growth = np.sqrt(np.maximum((np.arange(many) + 1) / seen, 1.0))
    return growth * np.maximum(below, OTHER_SIDE * above), growth * np.maximum(above, OTHER_SIDE * below)
