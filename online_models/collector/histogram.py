"""How a metric's values spread over a window: a histogram that follows the greatest value.

Each bin is 15 % wider than the one below it. The highest bin is that of the greatest value so far; what lies more
than a factor of 76 below it shares the lowest bin. Quantiles near the top are then right to a
few percent, in any order of the values, and windows add up to longer ones.
The idea is DDSketch's with the lowest bins collapsed: Masson, Rim and Lee, VLDB 12(12), 2019.
"""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

BINS: Final = 32
GROWTH: Final = 1.15
TINY: Final = 1e-9
"""What is not above this is 0 to the histogram."""

_LOG: Final = math.log(GROWTH)


@njit(cache=True)
def bin_of(x: float) -> int:
    """The bin of a value above `TINY`: bin `b` holds `(GROWTH**b, GROWTH**(b + 1)]`, to rounding."""
    return math.floor(math.log(x) / _LOG)


@njit(cache=True)
def add_value(bins: NDArray[Any], top: NDArray[Any], j: int, x: float) -> None:
    """Count a value.

    Parameters
    ----------
    bins
        Counts by metric, the lowest bin first, `[metric, BINS]`; zeros in the beginning.
    top
        Which bin each metric's last one is, `[metric]`; of no meaning while its counts are 0.
    j
        Which metric.
    """
    if x > TINY:
        add_count(bins, top, j, bin_of(x), 1)


@njit(cache=True)
def add_count(bins: NDArray[Any], top: NDArray[Any], j: int, at: int, many: int) -> None:
    """Count `many` values of bin `at`."""
    row = bins[j]
    if row.max() == 0:
        top[j] = at
    elif at > top[j]:
        _raise_top(row, at - top[j])
        top[j] = at
    row[max(BINS - 1 - (top[j] - at), 0)] += many


@njit(cache=True)
def _raise_top(row: NDArray[Any], by: int) -> None:
    lowest = row[: min(by, BINS - 1) + 1].sum()
    for k in range(BINS):
        row[k] = row[k + by] if k + by < BINS else 0
    row[0] = lowest


@njit(cache=True)
def quantile_of(row: NDArray[Any], top: int, count: int, q: float, greatest: float) -> float:
    """A quantile, from a metric's counts.

    Parameters
    ----------
    row
        Its counts, `[BINS]`.
    top
        Which bin the last one is.
    count
        Values in all; those not in the counts are 0.
    q
        Which quantile, 0..1.
    greatest
        The greatest value.
    """
    above = (1.0 - q) * (count - 1)
    for k in range(BINS - 1, -1, -1):
        if row[k] > above:
            low = math.exp(_LOG * (top - (BINS - 1 - k)))
            high = min(low * GROWTH, greatest)
            return float(high - (high - min(low, greatest)) * above / row[k])
        above -= row[k]
    return 0.0
