"""What each mechanism is worth on the next transfer: an online model of both utilities, compiled.

Per side the logarithm of utility over bandwidth (bandwidth favours neither) is a sum of

- a linear function of what is known beforehand, by recursive least squares: one for AMST, one for HDE per kind of
  payload (`regression`);
- what the link does beside that, overall and per kind of payload, as shrunken running means;
- for HDE, what payloads that look like this one were worth: a distribution, of prototypes that the partition's
  links share, counted as a few observations, and of the link's own (`payload`).

The expected losses of both choices follow (`loss`); the smaller one decides, not the more frequent
winner. The probability is rescaled until it is calibrated. What a link keeps for itself takes an
outcome in when its transfer is complete, not before.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

from online_models.selector import regression
from online_models.selector.feature import AMST_INPUTS, HDE_INPUTS
from online_models.selector.loss import add_normal, expected_losses
from online_models.selector.payload import FIELDS, gather, keep, look
from online_models.slot import row_dtype

GROUPS: Final = 8
"""Kinds of payload: four types, each with a baseline at the other end or without."""

SHARED: Final = 96
OWN: Final = 32
"""Prototypes per kind: of all links, and of one link."""

SHARED_CAP: Final = 200.0
OWN_CAP: Final = 60.0
"""Weights fade once a prototype's is above these."""

TRUST: Final = 4.0
"""So many observations of a link's own count as much as all that the links share."""

UNLIKE: Final = 1.0
"""Weight of the kind's overall distribution among what the links share."""

LEVEL_RATE: Final = 0.01
KIND_RATE: Final = 0.02
NOISE_RATE: Final = 0.002
SLOPE_RATE: Final = 0.01
SHRINK: Final = 10.0
"""So many outcomes until a link's own mean counts half."""

ERROR_LIMIT: Final = 1.5
PENDING: Final = 8
"""Transfers of one link that are remembered as incomplete; beyond these the oldest is forgotten."""

_LOG_LIMIT: Final = 25.0
_LOGIT_LIMIT: Final = 4.0
_HDE_NOISE: Final = 0.01
"""Variance of HDE's utility for one and the same payload."""

INPUTS: Final = 15
assert len(AMST_INPUTS) == len(HDE_INPUTS) == INPUTS

REGRESSION: Final = regression.regression_dtype(INPUTS)
SPREAD: Final = row_dtype(("count", "f8"), ("mean", "f8"), ("variance", "f8"))

LINK: Final = (
    ("level", "f8", (2,)),
    ("level_count", "i8", (2,)),
    ("kind_level", "f8", (GROUPS, 2)),
    ("kind_count", "i8", (GROUPS, 2)),
    ("payload", "f4", (GROUPS, FIELDS, OWN)),
    ("pending", "i8"),
    ("pending_until", "i8", (PENDING,)),
    ("pending_kind", "i8", (PENDING,)),
    ("pending_error", "f8", (PENDING, 2)),
    ("pending_look", "f8", (PENDING, 2)),
    ("pending_value", "f8", (PENDING,)),
)
"""Fields of a link's row that are kept here."""

HDE: Final = 0
AMST: Final = 1
NOISE, SCALE, SHIFT = 0, 1, 2


class Shared(NamedTuple):
    """The arrays that all links share.

    Parameters
    ----------
    regressions
        `REGRESSION` `[1 + GROUPS]`: AMST's, then HDE's by kind.
    payloads
        Prototypes of what HDE is worth beside regression and level, float32 `[GROUPS, FIELDS, SHARED]`.
    spread
        `SPREAD` `[GROUPS]`: mean and variance of the same.
    head
        Float64 `[3]`: variance of AMST's error, scale and shift of the probability's logit.
    """

    regressions: NDArray[Any]
    payloads: NDArray[np.float32]
    spread: NDArray[Any]
    head: NDArray[np.float64]


class Work(NamedTuple):
    """Room for one transfer; `learn` finds there what `estimate` left.

    Parameters
    ----------
    hde, amst, gain
        Centred inputs, `[INPUTS + 1]`, and room.
    near
        Float32 room for prototypes.
    value, weight
        The distribution of HDE's lead.
    base
        Both sides without the link's own share; then HDE by regression alone, and its level: `[4]`.
    loss
        Expected loss of HDE and of AMST, `[2]`.
    utility
        Expected logarithms of utility over bandwidth, `[2]`.
    """

    hde: NDArray[np.float64]
    amst: NDArray[np.float64]
    gain: NDArray[np.float64]
    near: NDArray[np.float32]
    value: NDArray[np.float64]
    weight: NDArray[np.float64]
    base: NDArray[np.float64]
    loss: NDArray[np.float64]
    utility: NDArray[np.float64]


def new_model() -> Shared:
    """A model that has learned nothing."""
    regressions = np.zeros(1 + GROUPS, REGRESSION)
    regression.start(regressions)
    spread = np.zeros(GROUPS, SPREAD)
    spread["variance"] = 1.0
    return Shared(
        regressions, np.zeros((GROUPS, FIELDS, SHARED), np.float32), spread, np.array([0.05, 1.0, 0.0])
    )  # fmt: skip


@register_jitable
def new_work() -> Work:
    """Room; compiled functions make it for themselves."""
    size = INPUTS + 1
    atoms = SHARED + OWN + 3
    return Work(
        np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(SHARED, np.float32), np.zeros(atoms),
        np.zeros(atoms), np.zeros(4), np.zeros(2), np.zeros(2),
    )  # fmt: skip


@njit(cache=True)
def estimate(
    shared: Shared, link: Any, work: Work, hde: NDArray[Any], amst: NDArray[Any], kind: int, entropy: float,
    repetition: float,
) -> float:  # fmt: skip
    """Estimate one transfer.

    Parameters
    ----------
    shared, link
        The model, and a row with the fields of `LINK`.
    work
        Set: losses, utilities, and what `learn` needs of this transfer.
    hde, amst
        Inputs `[INPUTS]`, NaN where unknown.
    kind
        Payload type * 2 + baseline.
    entropy, repetition
        bits/byte and %, NaN where not estimated.

    Returns
    -------
    Logit of AMST being the better side, not yet calibrated.
    """
    by_hde = regression.predict(shared.regressions[1 + kind], hde, work.hde)
    by_amst = regression.predict(shared.regressions[0], amst, work.amst)
    hde_level = _level(link, HDE) + _kind_level(link, kind, HDE)
    u_amst = by_amst + _level(link, AMST) + _kind_level(link, kind, AMST)
    e, r = look(entropy, repetition)
    value, weight, spread = work.value, work.weight, shared.spread[kind]
    many = add_normal(spread.mean, math.sqrt(spread.variance), UNLIKE, value, weight, 0)
    many = gather(shared.payloads[kind], e, r, work.near, value, weight, many)
    total, mean = 0.0, 0.0
    for k in range(many):
        total += weight[k]
        mean += weight[k] * value[k]
    mean /= total
    work.base[HDE], work.base[AMST] = by_hde + mean, by_amst
    work.base[2], work.base[3] = by_hde, hde_level
    for k in range(many):
        weight[k] *= TRUST / total
        value[k] += by_hde + hde_level - u_amst
    n = gather(link.payload[kind], e, r, work.near, value, weight, many)
    total, mean = TRUST, TRUST * (mean + hde_level)
    for k in range(many, n):
        total += weight[k]
        mean += weight[k] * value[k]
        value[k] += by_hde - u_amst
    work.utility[HDE], work.utility[AMST] = by_hde + mean / total, u_amst
    probability = expected_losses(value, weight, n, math.sqrt(shared.head[NOISE] + _HDE_NOISE), work.loss)
    p = min(max(probability, 1e-4), 1.0 - 1e-4)
    return float(math.log(p / (1.0 - p)))


@njit(cache=True)
def calibrated(head: NDArray[Any], logit: float) -> float:
    """Probability that AMST is the better side."""
    return float(1.0 / (1.0 + math.exp(-min(max(head[SCALE] * logit + head[SHIFT], -30.0), 30.0))))


@njit(cache=True)
def log_utility(utility: float, bandwidth_mbps: float) -> float:
    """What is learned of a utility: its logarithm over bandwidth; NaN stays NaN."""
    if math.isnan(utility):
        return math.nan
    return float(min(max(math.log(max(utility / bandwidth_mbps, 1e-12)), -_LOG_LIMIT), _LOG_LIMIT))


@njit(cache=True)
def learn(
    shared: Shared, work: Work, hde: NDArray[Any], amst: NDArray[Any], kind: int, entropy: float, repetition: float,
    actual: NDArray[Any], importance: float,
) -> None:  # fmt: skip
    """Learn the utilities of the transfer that was estimated last.

    Parameters
    ----------
    actual
        By `log_utility`, `[2]`; NaN for a side that was not seen.
    importance
        Weight of the example, above 0.
    """
    if not math.isnan(actual[AMST]):
        error = actual[AMST] - work.utility[AMST]
        regression.learn(shared.regressions[0], amst, work.amst, error, importance, work.gain)
        limited = min(max(error, -1.0), 1.0)
        shared.head[NOISE] += NOISE_RATE * importance * (limited * limited - shared.head[NOISE])
    if not math.isnan(actual[HDE]):
        beside = actual[HDE] - work.base[2] - work.base[3]
        error = actual[HDE] - work.base[HDE] - work.base[3]
        regression.learn(shared.regressions[1 + kind], hde, work.hde, error, importance, work.gain)
        e, r = look(entropy, repetition)
        keep(shared.payloads[kind], e, r, beside, importance, SHARED_CAP, work.near)
        spread = shared.spread[kind]
        spread.count += importance
        rate = max(NOISE_RATE, 1.0 / (spread.count + 5.0)) * min(importance, 1.0)
        ahead = min(max(beside, -8.0), 8.0) - spread.mean
        spread.mean += rate * ahead
        spread.variance += rate * (ahead * ahead - spread.variance)


@njit(cache=True)
def calibrate(head: NDArray[Any], logit: float, label: int, importance: float) -> None:
    """Learn whether the probability was right: one step on the log loss."""
    missed = SLOPE_RATE * importance * ((1.0 if label == AMST else 0.0) - calibrated(head, logit))
    head[SCALE] = min(max(head[SCALE] + missed * min(max(logit, -_LOGIT_LIMIT), _LOGIT_LIMIT), 0.1), 10.0)
    head[SHIFT] += missed


@njit(cache=True)
def postpone(
    link: Any, work: Work, until_ms: int, kind: int, entropy: float, repetition: float, actual: NDArray[Any]
) -> None:
    """Keep what the link is to learn from the transfer that was estimated last until that is complete."""
    at = link.pending % PENDING
    link.pending += 1
    link.pending_until[at] = until_ms
    link.pending_kind[at] = kind
    for side in range(2):
        link.pending_error[at, side] = actual[side] - work.base[side]
    e, r = look(entropy, repetition)
    link.pending_look[at, 0], link.pending_look[at, 1] = e, r
    link.pending_value[at] = actual[HDE] - work.base[2]


@njit(cache=True)
def settle(link: Any, now_ms: int, room: NDArray[Any]) -> None:
    """Take in what the link's transfers that are complete by now have shown; `room` is `Work.near`."""
    for at in range(PENDING):
        if link.pending_until[at] == 0 or link.pending_until[at] > now_ms:
            continue
        link.pending_until[at] = 0
        kind = link.pending_kind[at]
        for side in range(2):
            error = link.pending_error[at, side]
            if math.isnan(error):
                continue
            error = min(max(error, -ERROR_LIMIT), ERROR_LIMIT)
            beside = error - _level(link, side)
            link.level[side] += max(LEVEL_RATE, 1.0 / (link.level_count[side] + 1.0)) * (error - link.level[side])
            link.level_count[side] += 1
            rate = max(KIND_RATE, 1.0 / (link.kind_count[kind, side] + 1.0))
            link.kind_level[kind, side] += rate * (beside - link.kind_level[kind, side])
            link.kind_count[kind, side] += 1
        value = link.pending_value[at]
        if not math.isnan(value):
            e, r = link.pending_look[at, 0], link.pending_look[at, 1]
            keep(link.payload[kind], e, r, value, 1.0, OWN_CAP, room)


@njit(cache=True)
def _level(link: Any, side: int) -> float:
    n = link.level_count[side]
    return float(link.level[side] * n / (n + SHRINK))


@njit(cache=True)
def _kind_level(link: Any, kind: int, side: int) -> float:
    n = link.kind_count[kind, side]
    return float(link.kind_level[kind, side] * n / (n + SHRINK))
