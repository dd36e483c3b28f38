"""How far a forecast may be off: 95 % intervals from what past forecasts missed."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LEVELS: Final = (0.025, 0.975)
OTHER_SIDE: Final = 0.75
"""The narrower side of an interval is at least this share of the wider one: what went up may come down."""

WIDER: Final = 0.25
"""Intervals are wider by this over the number of horizons between the first origin and now."""

SURPRISE_MAX: Final = 1.5

_INSIDE: Final = 0.95
_NEIGHBOURS: Final = 0.25
_LEAST_KNOWN: Final = 5


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


def widen(residual: NDArray[np.float64], origins: NDArray[np.int64], blocks: int) -> float:
    """By what intervals are multiplied: few horizons fit into the past, and errors grew beyond what was known.

    Parameters
    ----------
    residual
        As in `reach`.
    origins
        Blocks after which the past forecasts were made, `[origin]`, rising.
    blocks
        Of the series.
    """
    horizon = residual.shape[1]
    few = 1.0 + WIDER * horizon / (blocks - int(origins[0]))
    return float(few * min(max(surprise(residual, origins), 1.0), SURPRISE_MAX))


def surprise(residual: NDArray[np.float64], origins: NDArray[np.int64]) -> float:
    """What held 95 % of the errors from each origin, in shares of what held 95 % of those known there; 1 for too few.

    >>> surprise(np.arange(1.0, 9.0).repeat(10).reshape(8, 1, 10), np.arange(8)) > 1.0
    True
    """
    error = np.abs(residual)
    known_from = origins[:, None] + np.arange(error.shape[1]) + 1
    shares = []
    for k in range(2, len(origins)):
        before = error[:k][known_from[:k] <= origins[k]]
        before = before[np.isfinite(before)]
        if len(before) >= _LEAST_KNOWN and (held := float(np.quantile(before, _INSIDE))) > 0.0:
            shares.append((error[k] / held).ravel())
    found = np.concatenate(shares) if shares else np.zeros(0)
    found = found[np.isfinite(found)]
    return float(np.quantile(found, _INSIDE)) if len(found) else 1.0
