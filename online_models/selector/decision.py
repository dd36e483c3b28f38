"""Who decides a transfer: the trained champion, the online model or the heuristic, and when the other side is tried."""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

from online_models.selector.exploration import explore_probability
from online_models.selector.heuristic import CONFIDENCE
from online_models.selector.record import CHAMPION, FAILED, NOT_READY, ONLINE, RULES, UNSURE
from online_models.selector.utility import AMST, HDE

CONFIDENT: Final = 0.6
"""Confidence above which a model decides and not the heuristic; the online one's is the share that the other
choice has in what both may lose."""


@njit(cache=True)
def vote(made: Any, probability: float, loss: NDArray[Any]) -> None:
    """What the online model says: the side that is expected to lose less."""
    made.voted = 1 if loss[HDE] > loss[AMST] else 0
    made.probability = probability
    both = loss[HDE] + loss[AMST]
    made.confidence = max(loss[HDE], loss[AMST]) / both if both > 0.0 else CONFIDENCE


@njit(cache=True)
def decide(made: Any, asked: float, has_champion: bool, ready: bool, confident: float, rule: int) -> None:
    """The champion where it is sure, else the online model where it is, else the heuristic."""
    made.reason = 0
    if has_champion:
        if math.isnan(asked):
            made.reason = FAILED
        elif max(asked, 1.0 - asked) > CONFIDENT:
            made.decider = CHAMPION
            made.probability = asked
            made.confidence = max(asked, 1.0 - asked)
            made.algorithm = 1 if asked > 0.5 else 0
            return
        else:
            made.reason = UNSURE
    made.algorithm = made.voted
    made.decider = ONLINE
    if ready and made.confidence > confident:
        return
    if made.reason == 0:
        made.reason = UNSURE if ready else NOT_READY
    made.decider = RULES
    made.algorithm = rule
    made.confidence = CONFIDENCE


@njit(cache=True)
def explore(made: Any, gap: float, draw: float) -> None:
    """Take the other side now and then, and say how probable that was."""
    other = explore_probability(gap)
    made.propensity = 1.0 - other
    if draw < other:
        made.algorithm = 1 - made.algorithm
        made.propensity = other
