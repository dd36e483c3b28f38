"""Alarm thresholds from a budget of false alarms instead of a magic constant.

Each method's statistic has one threshold per partition. It falls steadily, by an amount
that one alarm in the budgeted time makes up for, and rises with every alarm that barely
crosses it: at rest, near alarms come at the budgeted rate. What exceeds it by half or
more is taken for real and does not raise it; an episode counts once, however long it
lasts, so that faults cannot drag the threshold up behind them.
"""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

FALSE_ALARMS_PER_NODE_DAY: Final = 0.5
"""Budget of each method."""

START: Final = 5.0
RANGE: Final = (3.0, 20.0)
"""A threshold's bounds, in deviations; the lower one is the domain's three-sigma rule."""

_NEAR: Final = 1.5
_STEP: Final = 0.1
_DAY_MS: Final = 86_400_000.0
_LONGEST_STEP_MS: Final = 60_000.0


@njit(cache=True)
def calibrate(threshold: NDArray[Any], method: int, statistic: float, above: NDArray[Any], elapsed_ms: float) -> None:
    """Move one method's threshold after one record.

    Parameters
    ----------
    threshold
        In deviations, `[method]`; updated.
    method
        Which one.
    statistic
        The record's, in deviations.
    above
        Whether the node was above at its previous record, `[method]`; updated.
    elapsed_ms
        Since the node's previous record.
    """
    exceeds = statistic > threshold[method]
    rate = FALSE_ALARMS_PER_NODE_DAY * min(elapsed_ms, _LONGEST_STEP_MS) / _DAY_MS
    onset = 1.0 if exceeds and not above[method] and statistic < _NEAR * threshold[method] else 0.0
    above[method] = exceeds
    moved = threshold[method] * math.exp(_STEP * (onset - rate))
    threshold[method] = min(max(moved, RANGE[0]), RANGE[1])
