"""Forecasts one horizon ahead by a vote of experts, scored when their time comes.

Per link and target, two votes: experts weigh as their regrets say (`aggregation`), and so,
over their vote, the *guards* persistence and moving average, with a shorter memory: the
published forecast falls back on them soon after the experts go wrong. A trained model, where
one serves, is the last guard, and says more the better it did on the link. All feedback is
delayed: a loss counts once the sample at the target time is there. A link without
history of its own votes as the links of its type do.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.bandwidth.aggregation import weigh, weigh_short
from online_models.bandwidth.expert import (
    CLIP,
    FEATURES,
    LEVEL,
    MOVING_AVERAGE,
    OWN_REGRESSION,
    PERSISTENCE,
    SHARED_REGRESSION,
    breadth_of,
    scale_of,
    write_experts,
    write_regressors,
)
from online_models.bandwidth.interval import reach_above, reach_below
from online_models.bandwidth.short_float import (
    AWAY_FROM_ZERO,
    TOWARDS_ZERO,
    rounded,
)
from online_models.bandwidth.vote import GUARDS, N_EXPERTS, TRAINED, WEIGHT
from online_models.recursive import (
    predict_linear,
)
from schemas.network import TARGETS

_SHRINKAGE: Final = 60.0
_LOSS: Final = TARGETS.index("packet_loss")


@njit(cache=True)
def _bounded(value: float, bounds: NDArray[Any], m: int) -> float:
    return float(min(max(value, bounds[m, 0]), bounds[m, 1]))


@njit(cache=True)
def _mix(own: float, mine: NDArray[Any], theirs: NDArray[Any], value: NDArray[Any], n: int, otherwise: float) -> float:
    """Mean of the first `n` values by a link's weights and, for the rest of its share, its type's."""
    if own < 0.0:
        return otherwise
    total = 0.0
    for k in range(n):
        total += (own * mine[k] + (1.0 - own) * theirs[k]) * value[k]
    return total


@njit(cache=True)
def _share(link: Any, mine: float, theirs: float) -> float:
    """Weight of a link's own record against its type's; below 0 where neither says anything."""
    if theirs == 0.0:
        return 1.0 if mine > 0.0 else -1.0
    if mine == 0.0:
        return 0.0
    return float(link.taught / (link.taught + _SHRINKAGE))


@njit(cache=True)
def _vote(link: Any, model: Any, made: Any, m: int, work: NDArray[Any]) -> bool:
    """Weigh the experts, then their vote against the guards; whether a trained model had a part."""
    mine, theirs, value = work[0], work[1], work[2]
    expert = made.expert
    last, average = expert[PERSISTENCE, m], expert[MOVING_AVERAGE, m]
    unproven = last if m == _LOSS else 0.5 * (last + average)  # loss, mostly 0, persists
    some = weigh_short(link.regret[m], link.square[m], mine)
    own = _share(link, some, weigh(model.regret[m], model.square[m], theirs))
    for k in range(N_EXPERTS):
        value[k] = expert[k, m]
    vote = _mix(own, mine, theirs, value, N_EXPERTS, unproven)
    n = TRAINED if math.isnan(made.trained[m]) else GUARDS
    some = weigh_short(link.guard_regret[m, :n], link.guard_square[m, :n], mine)
    theirs[TRAINED] = 0.0
    known = n if link.epoch == model.epoch else TRAINED
    own = _share(link, some, weigh(model.guard_regret[m, :known], model.guard_square[m, :known], theirs))
    value[0], value[1], value[2], value[3] = vote, last, average, made.trained[m]
    made.vote[m] = vote
    made.predicted[m] = _mix(own, mine, theirs, value, n, vote)
    return bool(n == GUARDS and own >= 0.0 and own * mine[TRAINED] + (1.0 - own) * theirs[TRAINED] > 0.0)


@njit(cache=True)
def prepare(link: Any, count: int, horizon_ms: int, out: Any) -> None:
    """Write what a forecast is made of and no feedback changes: experts but the regressions, scale and breadth.

    Parameters
    ----------
    link
        The link's record.
    count
        Samples the link has had, at least 1.
    horizon_ms
        How far ahead of the link's clock.
    out
        A `FORECAST` record to fill; nothing of it is `trained` yet.
    """
    write_experts(link, count, link.clock + horizon_ms, horizon_ms, out.expert)
    out.made_at = link.clock
    for m in range(4):
        out.scale[m] = scale_of(link, m)
        out.breadth[m] = breadth_of(link, count, m)
        out.trained[m] = np.nan


@njit(cache=True)
def conclude(link: Any, model: Any, bounds: NDArray[Any], out: Any, work: NDArray[Any]) -> None:
    """Make a prepared forecast of what feedback has taught so far.

    Parameters
    ----------
    link, model
        The link's record and its type's.
    bounds
        Least and greatest value of each target, `[4, 2]`.
    out
        The prepared `FORECAST`.
    work
        Work space `[5, 16]`.
    """
    expert = out.expert
    x = work[0, :FEATURES]
    out.trained_by = 0
    for m in range(4):
        scale = out.scale[m]
        level = expert[LEVEL, m]
        for k in range(N_EXPERTS):
            work[4, k] = (expert[k, m] - level) / scale
        write_regressors(work[4], x)
        shared = min(max(predict_linear(model.weight[m], x), -CLIP), CLIP)
        mine = min(max(WEIGHT * predict_linear(link.weight[m], x), -CLIP), CLIP) if link.taught > 0 else shared
        expert[SHARED_REGRESSION, m] = _bounded(level + scale * shared, bounds, m)
        expert[OWN_REGRESSION, m] = _bounded(level + scale * mine, bounds, m)
        if _vote(link, model, out, m, work):
            out.trained_by = out.asked
        last = expert[PERSISTENCE, m]
        value = _bounded(last + rounded(out.predicted[m] - last, TOWARDS_ZERO), bounds, m)
        breadth = out.breadth[m]
        radius, lean = (link.radius[m], link.lean[m]) if link.scored > 0 else (model.radius[m], model.lean[m])
        out.predicted[m] = value
        out.lower[m] = _bounded(value - rounded(breadth * reach_below(radius, lean), AWAY_FROM_ZERO), bounds, m)
        out.upper[m] = _bounded(value + rounded(breadth * reach_above(radius, lean), AWAY_FROM_ZERO), bounds, m)


@njit(cache=True)
def forecast(
    link: Any, model: Any, count: int, horizon_ms: int, bounds: NDArray[Any], out: Any, work: NDArray[Any]
) -> None:
    """Forecast a link from its present state without a trained model: `prepare` and `conclude`."""
    prepare(link, count, horizon_ms, out)
    conclude(link, model, bounds, out, work)
