"""What a forecast teaches once the sample at its target time is there: both votes, both regressions, the interval."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.bandwidth.aggregation import learn_regrets, learn_short
from online_models.bandwidth.expert import (
    CLIP,
    FEATURES,
    MOVING_AVERAGE,
    PERSISTENCE,
    write_regressors,
)
from online_models.bandwidth.interval import track
from online_models.bandwidth.short_float import (
    turn_of,
)
from online_models.bandwidth.trial import judge_trial
from online_models.bandwidth.vote import FINE, GUARDS, N_EXPERTS, RECENT, TRAINED, WEIGHT
from online_models.bandwidth.waiting import (
    LESSONS,
    NEVER,
    STEP,
    close,
    recall,
    said_of,
    side_of,
)
from online_models.recursive import (
    PRIOR_VARIANCE,
    learn_along,
    learn_linear,
    predict_linear,
)

_EXPERT_DISCOUNT: Final = 1.0 - 1.0 / 400.0
_GUARD_DISCOUNT: Final = 1.0 - 1.0 / 200.0
_TYPE_DISCOUNT: Final = 1.0 - 1.0 / 4000.0
_MEMORY: Final = 400.0
"""Lessons that a link's own regression remembers; its covariance is its type's, scaled by the lessons of both."""

_TYPE_MEMORY: Final = 1e5
_TYPE_FORGETTING: Final = 1.0 - 1.0 / _TYPE_MEMORY
_PRIOR: Final = 1.0 / PRIOR_VARIANCE
_TYPE_PACE: Final = 0.2
_STILL: Final = 1e-5
_NOTHING: Final = 1e-20
"""A target whose scale is below this share of its level does not move: trials are not judged on it."""

_HEAVIEST: Final = 32_766.0
"""Greatest weight of a link's own regression, in its unit."""

_GREATEST: Final = 3.9
"""Greatest relative error kept: one such among the last twenty is no confidence at all."""


@njit(cache=True)
def settle(link: Any, model: Any, at: int, actual: NDArray[Any], work: NDArray[Any]) -> float:
    """Learn from the forecast at `at`, now that its sample is there.

    Returns
    -------
    Mean relative error of bandwidth and latency; against an actual 0 it is 1 or, when
    0 was predicted, 0.
    """
    close(link, at)
    relative = 0.0
    for k in range(LESSONS):
        if link.lesson_of[k] == at + 1:
            link.lesson_of[k] = 0
            _learn_lesson(link, model, k, at, actual, work)
    for m in range(4):
        error = abs(said_of(link, at, m) - actual[m])
        if link.scored == 0:
            link.radius[m] = model.radius[m]
            link.lean[m] = model.lean[m]
        side = side_of(link, at, m, actual[m])
        track(link.radius, link.lean, m, side < 0, side > 0, link.scored, 1.0)
        track(model.radius, model.lean, m, side < 0, side > 0, model.scored, _TYPE_PACE)
        share = 0.0
        if error > 0.0:
            share = min(error / actual[m], 1e6) if actual[m] > 0.0 else 1.0
        link.relative[m] += (min(share, _GREATEST) - link.relative[m]) / min(link.scored + 1, RECENT)
        if m < 2:
            relative += 0.5 * share
    link.relative_error[link.scored % RECENT] = round(min(relative, _GREATEST) / FINE)
    link.scored += 1
    model.scored += 1
    return float(relative)


@njit(cache=True)
def _learn_lesson(link: Any, model: Any, k: int, at: int, actual: NDArray[Any], work: NDArray[Any]) -> None:
    """Learn the experts' weights and both regressions from lesson `k`, of the forecast at `at`.

    All in the link's spreads against its level, as the lesson was kept.
    """
    x, gain, weight = work[0, :FEATURES], work[1, :FEATURES], work[2, :FEATURES]
    value, less = work[3], work[4]
    ratio = (_PRIOR + min(model.taught, _TYPE_MEMORY)) / (_PRIOR + min(link.taught, _MEMORY))
    for m in range(4):
        vote, level, scale = recall(link, k, at, m, value)
        truth = (float(np.float32(actual[m])) - level) / scale
        error = abs(vote - truth)
        for e in range(N_EXPERTS):
            less[e] = _clip(error - abs(value[e] - truth))
        learn_short(link.regret[m], link.square[m], less, _EXPERT_DISCOUNT, link.taught)
        learn_regrets(model.regret[m], model.square[m], less, _TYPE_DISCOUNT)
        error = abs((said_of(link, at, m) - level) / scale - truth)
        trained = link.lesson_trained[k, m]
        n = TRAINED if trained == NEVER else GUARDS
        known = n if link.epoch == model.epoch else TRAINED
        if scale > _STILL * abs(level) + _NOTHING:
            judge_trial(link, model, k, m, truth, error, abs(value[PERSISTENCE] - truth))
            for e in range(N_EXPERTS):
                model.expert_error[e] += min(abs(value[e] - truth), CLIP)
        less[0] = _clip(error - abs(vote - truth))
        less[1] = _clip(error - abs(value[PERSISTENCE] - truth))
        less[2] = _clip(error - abs(value[MOVING_AVERAGE] - truth))
        less[TRAINED] = _clip(error - abs(STEP * trained - truth))
        learn_short(link.guard_regret[m, :n], link.guard_square[m, :n], less[:n], _GUARD_DISCOUNT, link.taught)
        learn_regrets(model.guard_regret[m, :known], model.guard_square[m, :known], less[:known], _TYPE_DISCOUNT)
        write_regressors(value, x)
        for j in range(FEATURES):
            weight[j] = model.weight[m, j] if link.taught == 0 else WEIGHT * link.weight[m, j]
        residual = _clip(truth) - predict_linear(weight, x)
        spread = learn_linear(model.weight[m], model.covariance[m], x, _clip(truth), _TYPE_FORGETTING, gain)
        learn_along(weight, gain, spread, ratio, residual)
        for j in range(FEATURES):
            chance = turn_of(link.taught, 4 * j + m) / 65_536.0
            link.weight[m, j] = math.floor(min(max(weight[j] / WEIGHT, -_HEAVIEST), _HEAVIEST) + chance)
    link.taught += 1
    model.taught += 1


@njit(cache=True)
def _clip(value: float) -> float:
    return min(max(value, -CLIP), CLIP)
