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

from online_models.bandwidth.aggregation import learn_regrets, learn_short, weigh, weigh_short
from online_models.bandwidth.expert import (
    CLIP,
    EXPERTS,
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
from online_models.bandwidth.interval import PRIOR_RADIUS, reach_above, reach_below, track
from online_models.bandwidth.short_float import (
    AWAY_FROM_ZERO,
    NEAREST,
    TOWARDS_ZERO,
    lengthen,
    rounded,
    shorten,
    turn_of,
)
from online_models.bandwidth.trial import TRIAL, judge_trial
from online_models.bandwidth.waiting import (
    LESSONS,
    NEVER,
    STEP,
    WAITING,
    close,
    forget_trained,
    recall,
    said_of,
    side_of,
)
from online_models.recursive import (
    PRIOR_VARIANCE,
    learn_along,
    learn_linear,
    packed_size,
    predict_linear,
    start_regression,
)
from online_models.slot import row_dtype
from schemas.network import TARGETS

RECENT: Final = 20
PROVEN: Final = 10
"""Scored forecasts before confidence is more than a default."""

_EXPERT_DISCOUNT: Final = 1.0 - 1.0 / 400.0
_GUARD_DISCOUNT: Final = 1.0 - 1.0 / 200.0
_TYPE_DISCOUNT: Final = 1.0 - 1.0 / 4000.0
_SHRINKAGE: Final = 60.0
_MEMORY: Final = 400.0
"""Lessons that a link's own regression remembers; its covariance is its type's, scaled by the lessons of both."""

_TYPE_MEMORY: Final = 1e5
_TYPE_FORGETTING: Final = 1.0 - 1.0 / _TYPE_MEMORY
_PRIOR: Final = 1.0 / PRIOR_VARIANCE
_TYPE_PACE: Final = 0.2
_N: Final = len(EXPERTS)
_GUARDS: Final = 4
"""The experts' vote, persistence, the moving average, and a trained model, which comes last."""

_TRAINED: Final = 3
_JOIN: Final = 0.1
"""Share of the largest squared regret that a trained model begins with: one lucky lesson says little."""

_STILL: Final = 1e-5
_NOTHING: Final = 1e-20
"""A target whose scale is below this share of its level does not move: trials are not judged on it."""

_WEIGHT: Final = 1.0 / 4096.0
_HEAVIEST: Final = 32_766.0
"""Unit of a link's own regression's weights, and the greatest in it."""

_FINE: Final = 1.0 / 16_384.0
_GREATEST: Final = 3.9
"""Unit in which relative errors are kept, and the greatest: one such among the last twenty is no confidence at all."""

_LOSS: Final = TARGETS.index("packet_loss")

BOUNDS: Final = np.array([[0.0, np.inf], [0.0, np.inf], [0.0, 1.0], [0.0, np.inf]])
"""Least and greatest value of each target, `[4, 2]`."""

VOTE: Final = (
    *WAITING,
    ("scored", "i4"),
    ("taught", "i4"),
    ("weight", "i2", (4, FEATURES)),
    ("regret", "u2", (4, _N)),
    ("square", "u2", (4, _N)),
    ("guard_regret", "u2", (4, _GUARDS)),
    ("guard_square", "u2", (4, _GUARDS)),
    ("epoch", "i4"),
    ("radius", "f4", (4,)),
    ("lean", "f4", (4,)),
    ("relative_error", "u2", (RECENT,)),
    ("relative", "f4", (4,)),
)
"""Fields of a link's state kept here, in single precision: they are most of a link's memory."""

MODEL: Final = row_dtype(
    ("weight", "f8", (4, FEATURES)),
    ("covariance", "f8", (4, packed_size(FEATURES))),
    ("regret", "f8", (4, _N)),
    ("square", "f8", (4, _N)),
    ("guard_regret", "f8", (4, _GUARDS)),
    ("guard_square", "f8", (4, _GUARDS)),
    ("radius", "f8", (4,)),
    ("lean", "f8", (4,)),
    ("scored", "i8"),
    ("taught", "i8"),
    ("epoch", "i8"),
    ("trust", "f8"),
    ("expert_error", "f8", (_N,)),
    *TRIAL,
)
"""What the links of one type share; regrets in units of each link's scale. `epoch` says which trained model the last
guard is; `trust` scales confidence: 1, but after drift; `expert_error` sums what each expert missed by, of all targets,
in each link's scale and ten at most."""

FORECAST: Final = np.dtype(
    [
        ("expert", "f8", (_N, 4)),
        ("scale", "f8", (4,)),
        ("breadth", "f8", (4,)),
        ("vote", "f8", (4,)),
        ("trained", "f8", (4,)),
        ("shadow", "f8", (4,)),
        ("predicted", "f8", (4,)),
        ("lower", "f8", (4,)),
        ("upper", "f8", (4,)),
        ("certain", "f8", (4,)),
        ("made_at", "i8"),
        ("epoch", "i8"),
        ("asked", "u1"),
        ("trained_by", "u1"),
        ("shadow_by", "u1"),
        ("applied", "?"),
    ],
    align=True,
)
"""One forecast, as made; `certain` is how sure it is of each target, `vote` is the experts' own, before it was weighed
against the guards, `trained` what a trained model said, NaN where none answered: number `asked`, which serves since
`epoch`; `trained_by` is that number where it had a part in the forecast. `shadow_by` is the shadow's, 0 where it did
not answer.

Regressions work in units of `scale`, intervals in units of `breadth`.
"""


@njit(cache=True)
def start_models(models: NDArray[Any]) -> None:
    """Set the shared models `[link type]` to their priors."""
    for k in range(len(models)):
        models[k].trust = 1.0
        for m in range(4):
            start_regression(models[k].covariance[m], FEATURES)
            models[k].radius[m] = PRIOR_RADIUS


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
    for k in range(_N):
        value[k] = expert[k, m]
    vote = _mix(own, mine, theirs, value, _N, unproven)
    n = _TRAINED if math.isnan(made.trained[m]) else _GUARDS
    some = weigh_short(link.guard_regret[m, :n], link.guard_square[m, :n], mine)
    theirs[_TRAINED] = 0.0
    known = n if link.epoch == model.epoch else _TRAINED
    own = _share(link, some, weigh(model.guard_regret[m, :known], model.guard_square[m, :known], theirs))
    value[0], value[1], value[2], value[3] = vote, last, average, made.trained[m]
    made.vote[m] = vote
    made.predicted[m] = _mix(own, mine, theirs, value, n, vote)
    return bool(n == _GUARDS and own >= 0.0 and own * mine[_TRAINED] + (1.0 - own) * theirs[_TRAINED] > 0.0)


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
        for k in range(_N):
            work[4, k] = (expert[k, m] - level) / scale
        write_regressors(work[4], x)
        shared = min(max(predict_linear(model.weight[m], x), -CLIP), CLIP)
        mine = min(max(_WEIGHT * predict_linear(link.weight[m], x), -CLIP), CLIP) if link.taught > 0 else shared
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


def renew_trained(models: NDArray[Any], epoch: int) -> None:
    """Begin anew with what the links of each type know of a trained model: another one serves now."""
    models["epoch"] = epoch
    models["guard_regret"][..., _TRAINED] = 0.0
    models["guard_square"][..., _TRAINED] = _JOIN * models["guard_square"][..., :_TRAINED].max(axis=-1)


@njit(cache=True)
def catch_up(link: Any, epoch: int) -> None:
    """Forget what a link knows of the trained model that served in an earlier epoch."""
    if link.epoch != epoch:
        link.epoch = epoch
        for m in range(4):
            link.guard_regret[m, _TRAINED] = 0
            largest = lengthen(link.guard_square[m, :_TRAINED].max())  # they are in the order of their bits
            link.guard_square[m, _TRAINED] = shorten(_JOIN * largest, NEAREST)
        forget_trained(link)


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
    link.relative_error[link.scored % RECENT] = round(min(relative, _GREATEST) / _FINE)
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
        for e in range(_N):
            less[e] = _clip(error - abs(value[e] - truth))
        learn_short(link.regret[m], link.square[m], less, _EXPERT_DISCOUNT, link.taught)
        learn_regrets(model.regret[m], model.square[m], less, _TYPE_DISCOUNT)
        error = abs((said_of(link, at, m) - level) / scale - truth)
        trained = link.lesson_trained[k, m]
        n = _TRAINED if trained == NEVER else _GUARDS
        known = n if link.epoch == model.epoch else _TRAINED
        if scale > _STILL * abs(level) + _NOTHING:
            judge_trial(link, model, k, m, truth, error, abs(value[PERSISTENCE] - truth))
            for e in range(_N):
                model.expert_error[e] += min(abs(value[e] - truth), CLIP)
        less[0] = _clip(error - abs(vote - truth))
        less[1] = _clip(error - abs(value[PERSISTENCE] - truth))
        less[2] = _clip(error - abs(value[MOVING_AVERAGE] - truth))
        less[_TRAINED] = _clip(error - abs(STEP * trained - truth))
        learn_short(link.guard_regret[m, :n], link.guard_square[m, :n], less[:n], _GUARD_DISCOUNT, link.taught)
        learn_regrets(model.guard_regret[m, :known], model.guard_square[m, :known], less[:known], _TYPE_DISCOUNT)
        write_regressors(value, x)
        for j in range(FEATURES):
            weight[j] = model.weight[m, j] if link.taught == 0 else _WEIGHT * link.weight[m, j]
        residual = _clip(truth) - predict_linear(weight, x)
        spread = learn_linear(model.weight[m], model.covariance[m], x, _clip(truth), _TYPE_FORGETTING, gain)
        learn_along(weight, gain, spread, ratio, residual)
        for j in range(FEATURES):
            chance = turn_of(link.taught, 4 * j + m) / 65_536.0
            link.weight[m, j] = math.floor(min(max(weight[j] / _WEIGHT, -_HEAVIEST), _HEAVIEST) + chance)
    link.taught += 1
    model.taught += 1


@njit(cache=True)
def _clip(value: float) -> float:
    return min(max(value, -CLIP), CLIP)


@njit(cache=True)
def confidence(link: Any) -> float:
    """Domain facts, section 4: .5 until ten forecasts were scored, then from the last 20 errors."""
    if link.scored < PROVEN:
        return 0.5
    size = min(link.scored, RECENT)
    total = 0.0
    for k in range(size):
        total += _FINE * link.relative_error[k]
    return float(min(max(1.0 - total / size / 0.2, 0.0), 1.0))


@njit(cache=True)
def write_confidences(link: Any, out: NDArray[Any]) -> None:
    """The same of each target apart, `[4]`, from a running mean of some 20 errors."""
    for m in range(4):
        out[m] = 0.5 if link.scored < PROVEN else min(max(1.0 - link.relative[m] / 0.2, 0.0), 1.0)


@njit(cache=True)
def total_confidence(links: NDArray[Any]) -> float:
    """Sum of the links' confidences."""
    total = 0.0
    for i in range(len(links)):
        total += confidence(links[i])
    return total
