"""The online degradation predictor: one logistic regression for all nodes of a partition, a few lines for each node.

Whether the objective breaks is learned over all nodes, for breaches are rare on any one; inputs are free
of level and scale, and a node's own past breaches are one of them. The regression is one voice of three, see
`online_models.performance.mixture`. How the target moves is learned
per node and step: recursive least squares from where it stands, weighed against persistence and the mean of the last 10
by what each got wrong lately. Predictions wait for their horizon, then are scored and learned from, in that order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models import logistic
from online_models.performance.input import CURRENT, LABEL_STRETCH, MEAN_3, MEAN_10, N_INPUTS, RATIO
from online_models.performance.mixture import N_OPINIONS, learn_mix, write_opinions
from online_models.recursive import learn_linear, packed_size, predict_linear, start_regression
from schemas.performance import HORIZON_STEPS

WARMING: Final = 500
"""Labels that a partition has seen before it says how sure it is."""

_N_REGRESSORS: Final = 4
_PACKED: Final = packed_size(_N_REGRESSORS)
_EXPERTS: Final = 3  # the line, persistence, the mean of the last 10
_FORGETTING: Final = 0.999
_ERROR_RATE: Final = 0.01
_CHANGE: Final = 20.0
_START_WEIGHT: Final = 2.0
_SETTLING: Final = 500.0
_LEAST_IMPORTANCE: Final = 0.05
"""Steps become smaller with labels seen: at full size 66 weights would never come to rest."""

_SKILL_RATE: Final = 0.001
_LEAST_BASE: Final = 1e-3
_GROUND: Final = np.array([-0.3, 0.0, 0.3, 0.0])
"""Where a line starts: a third of the way back to the mean of the last 10."""


def pending_fields(inputs: int = N_INPUTS, steps: int = HORIZON_STEPS) -> tuple[tuple[Any, ...], ...]:
    """Fields of a node's row: predictions whose horizon is open, and what was learned of the node."""
    return (
        ("waiting_x", "f4", (steps, inputs)),
        ("waiting_opinion", "f8", (steps, N_OPINIONS)),
        ("waiting_time", "i8", (steps,)),
        ("waiting_spacing", "i8", (steps,)),
        ("waiting_current", "f8", (steps,)),
        ("waiting_scale", "f8", (steps,)),
        ("waiting_change", "f4", (steps, steps, _EXPERTS + 1)),
        ("line", "f8", (steps, _N_REGRESSORS)),
        ("covariance", "f8", (steps, _PACKED)),
        ("expert_error", "f8", (steps, _EXPERTS)),
        ("learned", "i8"),
    )


SCORE: Final = np.dtype(
    [("count", "i8"), ("breaches", "i8"), ("brier", "f8"), ("error", "f8", (_EXPERTS + 1,)),
     ("recent_brier", "f8"), ("recent_base", "f8"), ("recent_rate", "f8")]
)  # fmt: skip
"""Prequential sums of a partition, of the published change first; `recent` are running means."""

N_DRIVERS: Final = 5


def new_breach(names: Sequence[str]) -> logistic.Logistic:
    """A regression that begins as persistence does: with the target's ratio to the objective, in deviations of it."""
    model = logistic.Logistic(names)
    model.state["weight"][RATIO] = _START_WEIGHT
    model.intercept[0] = -_START_WEIGHT
    return model


@njit(cache=True)
def start_node(node: Any) -> None:
    """Set a node's lines to where they start."""
    for h in range(node.line.shape[0]):
        start_regression(node.covariance[h], _N_REGRESSORS)
        for k in range(_N_REGRESSORS):
            node.line[h, k] = _GROUND[k]
        node.waiting_time[h] = 0


BREACH: Final = ("mean", "variance", "weight", "deviation", "scaled")
"""Rows of the regression's work space, so that 66 inputs are scaled side by side; deviations of 0 stand as infinite."""


@njit(cache=True)
def open_breach(state: NDArray[Any], work: NDArray[Any]) -> None:
    """Lay the regression out in `work`, `[5, input]` with the rows of `BREACH`."""
    for j in range(state.shape[0]):
        row = state[j]
        work[0, j], work[1, j], work[2, j] = row.mean, row.variance, row.weight
        work[3, j] = math.sqrt(row.variance) if row.variance != 0.0 else math.inf


@njit(cache=True)
def close_breach(state: NDArray[Any], work: NDArray[Any]) -> None:
    """Write back what `learn_breach` changed."""
    for j in range(state.shape[0]):
        row = state[j]
        row.count = state[0].count
        row.mean, row.variance, row.weight = work[0, j], work[1, j], work[2, j]


@njit(cache=True)
def learn_breach(
    state: NDArray[Any], intercept: NDArray[Any], work: NDArray[Any], x: NDArray[Any], label: int, importance: float
) -> None:
    """`logistic.learn` of inputs without NaN, to the bit, in the work space; the count is in `state[0]`."""
    state[0].count += 1
    count = state[0].count
    for j in range(x.shape[0]):
        before = work[0, j]
        mean = before + (x[j] - before) / count
        variance = work[1, j] + ((x[j] - before) * (x[j] - mean) - work[1, j]) / count
        deviation = math.sqrt(variance)
        work[0, j], work[1, j] = mean, variance
        work[3, j] = deviation if variance != 0.0 else math.inf
    gradient = importance * logistic.gradient_of(_breach_logit(intercept, work, x), label)
    intercept[0] -= logistic.INTERCEPT_RATE * gradient
    for j in range(x.shape[0]):
        work[2, j] -= logistic.LEARNING_RATE * (work[4, j] * gradient)


@njit(cache=True)
def _breach_logit(intercept: NDArray[Any], work: NDArray[Any], x: NDArray[Any]) -> float:
    for j in range(x.shape[0]):
        work[4, j] = (x[j] - work[0, j]) / work[3, j]
    total = 0.0
    for j in range(x.shape[0]):
        total += work[2, j] * work[4, j]
    return float(total + intercept[0])


@njit(cache=True)
def predict_breach(intercept: NDArray[Any], work: NDArray[Any], mix: Any, x: NDArray[Any], out: NDArray[Any]) -> None:
    """Probabilities that the objective breaks within the horizon, `[opinion]`, the published one first."""
    write_opinions(mix, x, logistic.sigmoid(_breach_logit(intercept, work, x)), out)


@njit(cache=True)
def confidence_of(score: Any) -> float:
    """How much better than the base rate the partition's recent probabilities were, 0..1; .5 while warming up."""
    if score.count < WARMING:
        return 0.5
    skill = 1.0 - score.recent_brier / max(score.recent_base, _LEAST_BASE)
    return float(min(max(skill, 0.0), 1.0))


@njit(cache=True)
def predict_change(node: Any, x: NDArray[Any], out: NDArray[Any], regressor: NDArray[Any]) -> None:
    """Changes at every step, `[step, 1 + expert]`: the weighed one, then the experts'."""
    _write_regressors(x, regressor)
    for h in range(out.shape[0]):
        out[h, 1] = min(max(predict_linear(node.line[h], regressor), -_CHANGE), _CHANGE)
        out[h, 2] = 0.0
        out[h, 3] = x[MEAN_10] - x[CURRENT]
        total = weighed = 0.0
        for k in range(_EXPERTS):
            square = (node.expert_error[h, k] + 1e-3) ** 2
            weight = 1.0 / (square * square * square)  # sharp: small errors win
            total += weight
            weighed += weight * out[h, 1 + k]
        out[h, 0] = weighed / total


@njit(cache=True)
def remember(
    node: Any, time_ms: int, moment: Any, x: NDArray[Any], opinion: NDArray[Any], change: NDArray[Any]
) -> None:
    """Keep a prediction until its horizon has passed."""
    steps = node.line.shape[0]
    at = node.seen % steps
    node.waiting_time[at] = time_ms
    node.waiting_spacing[at] = moment.spacing_ms
    for k in range(N_OPINIONS):
        node.waiting_opinion[at, k] = opinion[k]
    node.waiting_current[at] = moment.current
    node.waiting_scale[at] = moment.scale
    for j in range(x.shape[0]):
        node.waiting_x[at, j] = x[j]
    for h in range(steps):
        for k in range(_EXPERTS + 1):
            node.waiting_change[at, h, k] = change[h, k]


@njit(cache=True)
def settle(
    node: Any,
    objective: float,
    state: NDArray[Any],
    intercept: NDArray[Any],
    work: NDArray[Any],
    mix: Any,
    score: Any,
    x: NDArray[Any],
    regressor: NDArray[Any],
    gain: NDArray[Any],
) -> bool:
    """Score and learn the prediction whose horizon the node's newest sample ends; whether there was one.

    Parameters
    ----------
    node
        Its newest sample was pushed and nothing is remembered of it yet.
    work
        Of the regression, with the rows of `BREACH`.
    mix
        Record of `MIX`.
    x, regressor, gain
        Work space `[input]`, `[4]`, `[4]`.
    """
    steps = node.line.shape[0]
    at = node.seen % steps
    started, spacing = node.waiting_time[at], node.waiting_spacing[at]
    node.waiting_time[at] = 0
    if started == 0 or node.clock - started > LABEL_STRETCH * steps * spacing:
        return False
    size, target = node.time.shape[0], node.value[0]
    breach = 0
    for h in range(steps):
        if target[(node.seen - steps + h) % size] > objective:
            breach = 1
    for j in range(x.shape[0]):
        x[j] = node.waiting_x[at, j]
    _score_breach(score, node.waiting_opinion[at, 0], breach)
    learn_mix(mix, x, node.waiting_opinion[at], breach)
    importance = max(_LEAST_IMPORTANCE, 1.0 / math.sqrt(1.0 + score.count / _SETTLING))
    learn_breach(state, intercept, work, x, breach, importance)
    _write_regressors(x, regressor)
    for h in range(steps):
        actual = target[(node.seen - steps + h) % size]
        change = (actual - node.waiting_current[at]) / node.waiting_scale[at]
        change = min(max(change, -_CHANGE), _CHANGE)
        for k in range(_EXPERTS):
            error = abs(change - node.waiting_change[at, h, 1 + k])
            rate = max(_ERROR_RATE, 1.0 / (node.learned + 1))
            node.expert_error[h, k] += rate * (error - node.expert_error[h, k])
        learn_linear(node.line[h], node.covariance[h], regressor, change, _FORGETTING, gain)
    for k in range(_EXPERTS + 1):
        score.error[k] += abs(change - node.waiting_change[at, steps - 1, k])
    node.learned += 1
    return True


@njit(cache=True)
def write_drivers(work: NDArray[Any], x: NDArray[Any], out: NDArray[Any]) -> None:
    """Inputs that push the log-odds up most, strongest first; -1 where fewer than five do.

    Parameters
    ----------
    work
        Of the regression; what scaled inputs stand in is overwritten.
    """
    push = work[4]
    for j in range(x.shape[0]):
        push[j] = work[2, j] * ((x[j] - work[0, j]) / work[3, j])
    for k in range(out.shape[0]):
        best, strongest = -1, 0.0
        for j in range(x.shape[0]):
            if push[j] > strongest:
                best, strongest = j, push[j]
        out[k] = best
        if best >= 0:
            push[best] = 0.0


@njit(cache=True)
def _score_breach(score: Any, probability: float, breach: int) -> None:
    loss = (probability - breach) ** 2
    score.count += 1
    score.breaches += breach
    score.brier += loss
    rate = max(_SKILL_RATE, 1.0 / score.count)
    score.recent_base += rate * ((score.recent_rate - breach) ** 2 - score.recent_base)
    score.recent_brier += rate * (loss - score.recent_brier)
    score.recent_rate += rate * (breach - score.recent_rate)


@njit(cache=True)
def _write_regressors(x: NDArray[Any], out: NDArray[Any]) -> None:
    out[0], out[1], out[2], out[3] = x[CURRENT], x[MEAN_3], x[MEAN_10], 1.0
