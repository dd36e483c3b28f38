"""Forecasts 15 minutes ahead by a weighted vote of experts, scored when their time comes.

Per link and target, experts are weighted by their recent loss (exponential weights,
Cesa-Bianchi and Lugosi, Prediction, Learning and Games, 2006, ch. 2) with delayed
feedback: a loss counts once the sample at the target time is there. Interval radii follow the
90 % quantile of recent absolute errors in units of the spread (quantile tracking of
Angelopoulos et al., Conformal PID Control, 2023), with the same delay.
A link without history of its own votes as the links of its type do.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.expert import (
    CLIP,
    EXPERTS,
    FEATURES,
    LEVEL,
    MOVING_AVERAGE,
    PERSISTENCE,
    REGRESSION,
    scale_of,
    write_experts,
    write_regressors,
)
from online_models.recursive import learn_linear, predict_linear, start_regression
from online_models.slot import row_dtype
from schemas.network import HORIZON_MS, TARGETS

TOLERANCE_MS: Final = 30_000
"""How far from the target time a sample may be and still score the forecast."""

PENDING: Final = 17
"""Forecasts a link keeps waiting; none is overwritten before its time and tolerance are over."""

SPACING_MS: Final = 55_000
"""Least time between two forecasts that wait: samples come every 60 s, give or take a few."""

RECENT: Final = 20
PROVEN: Final = 10
"""Scored forecasts before a link's own record counts."""

PROVEN_TYPE: Final = 100
MISS_RATE: Final = 0.1

_SHARPNESS: Final = 30.0
_LINK_MEMORY: Final = 400.0
_SHRINKAGE: Final = 100.0
_TYPE_MEMORY: Final = 2000.0
_FORGETTING: Final = 1.0 - 1e-5
_RADIUS_STEP: Final = 0.05
_RADIUS_PRIOR: Final = 8.0
_RADIUS_RANGE: Final = (0.05, 1e3)
_N: Final = len(EXPERTS)
_LOSS: Final = TARGETS.index("packet_loss")

VOTE: Final = (
    ("made_at", "i8", (PENDING,)),
    ("expert", "f4", (PENDING, _N, 4)),
    ("scale", "f4", (PENDING, 4)),
    ("predicted", "f4", (PENDING, 4)),
    ("reach", "f4", (PENDING, 4)),
    ("made", "i8"),
    ("scored", "i8"),
    ("loss", "f4", (_N, 4)),
    ("radius", "f4", (4,)),
    ("relative_error", "f4", (RECENT,)),
    ("waiting", "u1", (PENDING,)),
)
"""Fields of a link's state kept here, what waits in single precision: it is most of a link's memory."""

MODEL: Final = row_dtype(
    ("weight", "f8", (4, FEATURES)),
    ("covariance", "f8", (4, FEATURES, FEATURES)),
    ("loss", "f8", (_N, 4)),
    ("radius", "f8", (4,)),
    ("scored", "i8"),
)
"""What the links of one type share."""

FORECAST: Final = np.dtype(
    [
        ("expert", "f8", (_N, 4)),
        ("scale", "f8", (4,)),
        ("predicted", "f8", (4,)),
        ("reach", "f8", (4,)),
        ("lower", "f8", (4,)),
        ("upper", "f8", (4,)),
    ],
    align=True,
)
"""One forecast, as made; `reach` is half the width of its interval before bounds cut it."""


@njit(cache=True)
def start_models(models: NDArray[Any]) -> None:
    """Set the shared models `[link type]` to their priors."""
    for k in range(len(models)):
        for m in range(4):
            start_regression(models[k].covariance[m])
            models[k].radius[m] = _RADIUS_PRIOR


@njit(cache=True)
def _bounded(value: float, m: int) -> float:
    value = max(value, 0.0)
    return min(value, 1.0) if m == 2 else value


@njit(cache=True)
def _vote(link: Any, model: Any, expert: NDArray[Any], m: int) -> float:
    """Weighted mean of the experts; the link's own losses are shrunk towards its type's."""
    own = link.scored / (link.scored + _SHRINKAGE) if link.scored >= PROVEN else 0.0
    best = np.inf
    for k in range(_N):
        best = min(best, own * link.loss[k, m] + (1.0 - own) * model.loss[k, m])
    total = 0.0
    value = 0.0
    for k in range(_N):
        weight = math.exp(-_SHARPNESS * (own * link.loss[k, m] + (1.0 - own) * model.loss[k, m] - best))
        total += weight
        value += weight * expert[k, m]
    return value / total


@njit(cache=True)
def _unproven(expert: NDArray[Any], m: int) -> float:
    """Before any score: halfway from the last sample to the moving average; loss, mostly 0, persists."""
    if m == _LOSS:
        return float(expert[PERSISTENCE, m])
    return float(0.5 * (expert[PERSISTENCE, m] + expert[MOVING_AVERAGE, m]))


@njit(cache=True)
def forecast(link: Any, model: Any, count: int, target_ms: int, out: Any, x: NDArray[Any]) -> None:
    """Forecast a link from its present state.

    Parameters
    ----------
    link, model
        The link's record and its type's.
    count
        Samples the link has had, at least 1.
    target_ms
        The time forecast for.
    out
        A `FORECAST` record to fill.
    x
        Work space `[FEATURES]`.
    """
    expert = out.expert
    write_experts(link, count, target_ms, expert)
    for m in range(4):
        scale = scale_of(link, count, m)
        write_regressors(expert, scale, m, target_ms, x)
        step = min(max(predict_linear(model.weight[m], x), -CLIP), CLIP)
        expert[REGRESSION, m] = _bounded(expert[LEVEL, m] + scale * step, m)
        proven = link.scored >= PROVEN or model.scored >= PROVEN_TYPE
        value = _bounded(_vote(link, model, expert, m) if proven else _unproven(expert, m), m)
        reach = scale * (link.radius[m] if link.scored > 0 else model.radius[m])
        out.scale[m] = scale
        out.predicted[m] = value
        out.reach[m] = reach
        out.lower[m] = _bounded(value - reach, m)
        out.upper[m] = _bounded(value + reach, m)


@njit(cache=True)
def remember(link: Any, made: Any, made_at: int) -> None:
    """Keep a forecast until its target time, at most one per 30 s."""
    if link.made > 0 and made_at - link.made_at[(link.made - 1) % PENDING] < SPACING_MS:
        return
    at = link.made % PENDING
    link.made_at[at] = made_at
    link.waiting[at] = True
    for m in range(4):
        for k in range(_N):
            link.expert[at, k, m] = made.expert[k, m]
        link.scale[at, m] = made.scale[m]
        link.predicted[at, m] = made.predicted[m]
        link.reach[at, m] = made.reach[m]
    link.made += 1


@njit(cache=True)
def due(link: Any, timestamp_ms: int) -> int:
    """Place of the waiting forecast whose target time is nearest this sample, or -1.

    A sample scores one forecast at most, so every score is one sample's.
    """
    found = -1
    nearest = TOLERANCE_MS + 1
    for at in range(PENDING):
        if link.waiting[at]:
            away = timestamp_ms - (link.made_at[at] + HORIZON_MS)
            if away > TOLERANCE_MS:
                link.waiting[at] = False
            elif abs(away) < nearest:
                nearest = abs(away)
                found = at
    return found


@njit(cache=True)
def settle(link: Any, model: Any, at: int, actual: NDArray[Any], x: NDArray[Any], gain: NDArray[Any]) -> float:
    """Learn from the forecast at `at`, now that its sample is there.

    Returns
    -------
    Mean relative error of bandwidth and latency; against an actual 0 it is 1 or, when
    0 was predicted, 0.
    """
    target_ms = link.made_at[at] + HORIZON_MS
    expert = link.expert[at]
    link.waiting[at] = False
    rate = max(1.0 / _LINK_MEMORY, 1.0 / (link.scored + 1.0))
    type_rate = max(1.0 / _TYPE_MEMORY, 1.0 / (model.scored + 1.0))
    relative = 0.0
    for m in range(4):
        scale = link.scale[at, m]
        for k in range(_N):
            loss = min(abs(expert[k, m] - actual[m]) / scale, CLIP)
            link.loss[k, m] += rate * (loss - link.loss[k, m])
            model.loss[k, m] += type_rate * (loss - model.loss[k, m])
        write_regressors(expert, scale, m, target_ms, x)
        y = min(max((actual[m] - expert[LEVEL, m]) / scale, -CLIP), CLIP)
        learn_linear(model.weight[m], model.covariance[m], x, y, _FORGETTING, gain)
        error = abs(link.predicted[at, m] - actual[m])
        if link.scored == 0:
            link.radius[m] = model.radius[m]
        link.radius[m] = _track(link.radius[m], error / scale, _RADIUS_STEP)
        model.radius[m] = _track(model.radius[m], error / scale, _RADIUS_STEP / 5.0)
        if m < 2 and error > 0.0:
            relative += 0.5 * (min(error / actual[m], 1e6) if actual[m] > 0.0 else 1.0)
    link.relative_error[link.scored % RECENT] = relative
    link.scored += 1
    model.scored += 1
    return float(relative)


@njit(cache=True)
def _track(radius: float, error: float, step: float) -> float:
    missed = 1.0 if error > radius else 0.0
    return min(max(radius * math.exp(step * (missed - MISS_RATE)), _RADIUS_RANGE[0]), _RADIUS_RANGE[1])


@njit(cache=True)
def confidence(link: Any) -> float:
    """Domain facts, section 4: .5 until ten forecasts were scored, then from the last 20 errors."""
    if link.scored < PROVEN:
        return 0.5
    size = min(link.scored, RECENT)
    total = 0.0
    for k in range(size):
        total += link.relative_error[k]
    return float(min(max(1.0 - total / size / 0.2, 0.0), 1.0))


@njit(cache=True)
def total_confidence(links: NDArray[Any]) -> float:
    """Sum of the links' confidences."""
    total = 0.0
    for i in range(len(links)):
        total += confidence(links[i])
    return total
