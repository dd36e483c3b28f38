"""The score that is exceeded as often as a budget of false alarms allows, from the scores themselves.

Peaks over threshold (Siffer et al., Anomaly Detection in Streams with Extreme Value
Theory, KDD 2017) with an exponential tail: scores here are logarithms, and a power law's
logarithm is exponential. The mean excess beyond a quantile is estimated by the median one and
drawn towards a usual one while there are few. Anomalies among the scores learned from
can only push a threshold up, so the lower of those that two quantiles give is taken, a score counts as little
more than the threshold of its time, and the samples of one alert count together as one or few.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit

CELLS: Final = 512

N_SCORES: Final = 2
"""Scores of a series that are learned apart."""

TAIL: Final = (("scores", "f4", (N_SCORES, CELLS)), ("learned", "f8", (N_SCORES,)))
"""Fields of a series' state kept here: of each score, a histogram over the logarithm of 1 + score."""

_PER_CELL: Final = 1.0 / 64.0
_STARTS: Final = (0.9, 0.75)
_USUAL_EXCESS: Final = 0.35
_USUAL_WORTH: Final = 10.0
_LEAST_EXCESS: Final = 0.2
_REACH: Final = (1.0, 1.25)
_MOST_OFTEN: Final = 1.0 / 25.0


@njit(cache=True)
def learn_score(series: Any, k: int, score: float, threshold: float, weight: float) -> None:
    """Count the score `k`, 0 or more, so many times; far beyond the threshold in force it counts as just beyond."""
    score = min(score, _REACH[0] + _REACH[1] * threshold)
    series.scores[k, min(int(math.log1p(score) / _PER_CELL), CELLS - 1)] += np.float32(weight)
    series.learned[k] += weight


@njit(cache=True)
def quantile_of(series: Any, k: int, share: float) -> float:
    """The score below which this share of the learned ones lies; 0 where there are none."""
    wanted = share * series.learned[k]
    below = 0.0
    for cell in range(CELLS):
        held = float(series.scores[k, cell])
        if held > 0.0 and below + held >= wanted:
            return math.expm1((cell + (wanted - below) / held) * _PER_CELL) if cell > 0 else 0.0
        below += held
    return 0.0


@njit(cache=True)
def threshold_of(series: Any, k: int, gap_ms: float, alarms_per_day: float) -> float:
    """Score exceeded about so often per day by what is normal.

    Parameters
    ----------
    series
        A record with the fields of `TAIL`.
    k
        Which score.
    gap_ms
        Usual time between samples.
    alarms_per_day
        The budget; it is never used up by more than one sample in 25.
    """
    chance = min(alarms_per_day * gap_ms / 86_400_000.0, _MOST_OFTEN)
    found = math.inf
    for start in _STARTS:
        found = min(found, _threshold_from(series, k, start, chance))
    return found


@njit(cache=True)
def _threshold_from(series: Any, k: int, share: float, chance: float) -> float:
    start = quantile_of(series, k, share)
    beyond = (1.0 - share) * series.learned[k]
    median = quantile_of(series, k, 0.5 * (1.0 + share)) - start
    excess = (median / math.log(2.0) * beyond + _USUAL_EXCESS * _USUAL_WORTH) / (beyond + _USUAL_WORTH)
    least = _LEAST_EXCESS if median > 0.0 else _USUAL_EXCESS
    return float(start + max(excess, least) * max(math.log((1.0 - share) / chance), 0.0))
