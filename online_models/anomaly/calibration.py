"""Alarm thresholds from a budget of false alarms instead of a magic constant.

Each method's statistic has one threshold per partition. It falls steadily, by an amount
that one alarm in the budgeted time makes up for, and rises with every blip: an
excursion of one or two records that barely crosses it. At rest, blips come at the
budgeted rate. Noise makes blips; what lasts, or exceeds the threshold by half or more, is
taken for real and does not move it, so that faults cannot drag it up behind them.
"""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

FALSE_ALARMS_PER_NODE_DAY: Final = 1.0
"""Budget of all methods together, unless a state is told another."""

START: Final = 4.5
RANGE: Final = (3.0, 9.0)
"""A threshold's bounds, in deviations: the domain's three-sigma rule, and where severity is critical."""

N_METHODS: Final = 3

EXCURSION: Final = (("length", "u1", (N_METHODS,)), ("peak", "f8", (N_METHODS,)))
"""Fields of a node's state kept here, by method: records above in this excursion, and the highest."""

_BLIP: Final = 2
_OVER: Final = 0.6
"""An excursion is over when the statistic is well below the threshold, not when it dips under it."""


_NEAR: Final = 1.5
_STEP: Final = 0.1
_DAY_MS: Final = 86_400_000.0
_LONGEST_STEP_MS: Final = 60_000.0


@njit(cache=True)
def calibrate(
    threshold: NDArray[Any], method: int, statistic: float, node: Any, elapsed_ms: float, alarms_per_day: float
) -> None:
    """Move one method's threshold after one record.

    Parameters
    ----------
    threshold
        In deviations, `[method]`; updated.
    method
        Which one.
    statistic
        The record's, in deviations.
    node
        A record with the fields of `EXCURSION`; updated.
    elapsed_ms
        Since the node's previous record.
    alarms_per_day
        The method's budget per node.
    """
    rate = alarms_per_day * min(elapsed_ms, _LONGEST_STEP_MS) / _DAY_MS
    blip = 0.0
    if statistic > threshold[method]:
        node.length[method] = min(node.length[method] + 1, _BLIP + 1)
        node.peak[method] = max(node.peak[method], statistic)
    elif statistic < _OVER * threshold[method]:
        if 0 < node.length[method] <= _BLIP and node.peak[method] < _NEAR * threshold[method]:
            blip = 1.0
        node.length[method] = 0
        node.peak[method] = 0.0
    moved = threshold[method] * math.exp(_STEP * (blip - rate))
    threshold[method] = min(max(moved, RANGE[0]), RANGE[1])
