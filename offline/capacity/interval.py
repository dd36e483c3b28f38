"""How far a forecast may be off: 95 % intervals from what past forecasts missed."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LEVELS: Final = (0.025, 0.975)
OTHER_SIDE: Final = 0.75
"""The narrower side of an interval is at least this share of the wider one: what went up may come down."""

HELD: Final = 0.95
"""Share of the past errors that both sides together hold: skewed ones would otherwise get a side that none needs."""

APART: Final = 1.0
"""An interval reaches farther by this times the mean distance of the methods' forecasts from the blend, each by its
merit: where they are at odds, what the past missed says too little."""

SWING: Final = 0.5
"""And by this times the median deviation of the last values from their median: loads change for good by a share of what
they swing, however regularly, and few histories have such a change among the errors."""

RECENT_BLOCKS: Final = 60
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
    below, above = np.maximum(below, OTHER_SIDE * above), np.maximum(above, OTHER_SIDE * below)
    both = growth * _needed(residual, below, above)
    return both * below, both * above


def _needed(residual: NDArray[np.float64], below: NDArray[np.float64], above: NDArray[np.float64]) -> float:
    """What share of both sides holds 95 % of the residuals, at most 1."""
    side = np.maximum(np.where(residual < 0.0, below[:, None], above[:, None]), 1e-300)
    known = np.isfinite(residual)
    return min(float(np.quantile(np.abs(residual[known]) / side[known], HELD)), 1.0) if known.any() else 1.0


def swing(value: NDArray[np.float64]) -> float:
    """Median absolute deviation of what is known, 0 where nothing is; the day's and the week's course count.

    >>> swing(np.array([1.0, 2.0, 3.0, np.nan]))
    1.0
    """
    known = value[np.isfinite(value)]
    return float(np.median(np.abs(known - np.median(known)))) if len(known) else 0.0
