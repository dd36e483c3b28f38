"""Two ways a metric misbehaves without leaving its level: it becomes restless, or it stops moving.

Restless: the short average of absolute deviations against its own usual course.
Still: a run of equal values longer than half as much again as any before, scored by the
probability of so many repeats and put on the scale of a normal deviation.

And what a metric does now and then is its habit: a first time is a surprise, a tenth is not.
"""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit

_SHORT: Final = 1.0 / 12.0
_LONG: Final = 1.0 / 500.0
_CLIP: Final = 4.0
_LEAST_SPREAD: Final = 0.05
_SETTLED: Final = 20.0
_FREE_NATS: Final = 3.0
_LONGER: Final = 1.5
_USUAL_ACTIVITY: Final = 0.8
_USUAL_SPREAD: Final = 0.3
_HABIT: Final = 0.5
_HABIT_MS: Final = 14 * 86_400_000.0


@njit(cache=True)
def start_activity(metric: Any) -> None:
    """Begin anew with the activity of normal noise."""
    metric.activity = _USUAL_ACTIVITY
    metric.calm = _USUAL_ACTIVITY
    metric.calm_spread = _USUAL_SPREAD


@njit(cache=True)
def restlessness(metric: Any, deviation: float) -> float:
    """How far the activity of a metric is above its usual, in its own spreads; learns from it.

    Parameters
    ----------
    metric
        A record of `expectation.METRIC`.
    deviation
        This value's, as `expectation.deviation_of` gives it.
    """
    metric.activity += _SHORT * (min(abs(deviation), _CLIP) - metric.activity)
    above = metric.activity - metric.calm
    found = above / max(metric.calm_spread, _LEAST_SPREAD) if metric.age > _SETTLED else 0.0
    weight = max(_LONG, 1.0 / max(metric.age, 1.0))
    reach = 3.0 * metric.calm_spread if metric.age > _SETTLED else 9.0
    metric.calm += weight * min(above, reach)
    metric.calm_spread += weight * (min(abs(above), 1.25 * reach) * 1.25 - metric.calm_spread)
    return float(found)


@njit(cache=True)
def stillness(metric: Any, value: float, previous: float) -> float:
    """How unusual the present run of equal values is, as a normal deviation; learns from it."""
    if value != previous:
        metric.longest = max(metric.longest, metric.run)
        metric.run = 0.0
        return 0.0
    chance = min((metric.repeats + 1.0) / (metric.count + 2.0), 0.98)
    metric.run += 1.0
    metric.repeats += 1.0
    moved = metric.count - metric.repeats
    if moved <= _SETTLED or metric.run <= _LONGER * metric.longest:
        return 0.0
    return math.sqrt(2.0 * max(-metric.run * math.log(chance) - _FREE_NATS, 0.0))


@njit(cache=True)
def learn_habit(metric: Any, size: float, gap_ms: float) -> None:
    """Remember how far a metric strays now and then; what it did often is no surprise.

    Parameters
    ----------
    metric
        A record of `expectation.METRIC`.
    size
        Logarithm of this value's deviation, 0 or more.
    gap_ms
        Usual time between samples.
    """
    if size > metric.habit:
        metric.habit += _HABIT * (size - metric.habit)
    else:
        metric.habit *= 1.0 - min(gap_ms / _HABIT_MS, 1.0)
