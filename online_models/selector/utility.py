"""What each mechanism is worth on the next transfer: an online model of both utilities, compiled.

Per side it estimates the logarithm of utility over bandwidth (bandwidth favours neither) as a sum:

- a linear function of the scaled inputs, by normalised least mean squares (B. Widrow and M. Hoff, 1960);
- a function of what the payload looks like, by tile coding: four shifted grids over entropy and
  repetition, per payload type and baseline (R. Sutton and A. Barto, Reinforcement Learning, 2018, 9.5.4);
- what the link does beside that, overall and per kind of payload, as shrunken running means.

The *stake* turns both into a decision: a logistic regression on their difference, with its own tiles, whose
examples weigh what a wrong choice loses. The probability is the stake's, rescaled until it is
calibrated on examples of equal weight. A link's means take an outcome in when its transfer is complete, not before.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.slot import row_dtype

GROUPS: Final = 8
"""Kinds of payload: four types, each with a baseline at the other end or without."""

TILINGS: Final = 4
BINS: Final = 13
"""Cells of a grid along each axis; the last one is for what was not estimated."""

ENTROPY_WIDTH: Final = 0.7
REPETITION_WIDTH: Final = 9.0
"""Width of a cell, in bits per byte and in %."""

LINEAR_RATE: Final = 0.02
TILE_RATE: Final = 0.05
LINK_RATE: Final = 0.02
STAKE_RATE: Final = 0.1
SLOPE_RATE: Final = 0.01
SHRINK: Final = 10.0
"""So many outcomes until a link's own mean counts half."""

EVEN: Final = 0.2
"""Weight in the stake of an example whose two sides are worth the same; one where all is lost weighs 1."""

ERROR_LIMIT: Final = 1.5
PENDING: Final = 8
"""Transfers of one link that are remembered as incomplete; beyond these the oldest is forgotten."""

_SCALED_LIMIT: Final = 5.0
_DIFFERENCE_LIMIT: Final = 4.0
_LOG_LIMIT: Final = 25.0
_COUNTED: Final = 1000

INPUT: Final = row_dtype(("count", "i8"), ("mean", "f8"), ("variance", "f8"), ("weight", "f8", (2,)))
TILE: Final = row_dtype(("utility", "f4", (2,)), ("stake", "f4"), ("count", "u2", (2,)))

LINK: Final = (
    ("level", "f8", (2,)),
    ("level_count", "i8", (2,)),
    ("kind_level", "f8", (GROUPS, 2)),
    ("kind_count", "i8", (GROUPS, 2)),
    ("kind_stake", "f8", (GROUPS,)),
    ("pending", "i8"),
    ("pending_until", "i8", (PENDING,)),
    ("pending_kind", "i8", (PENDING,)),
    ("pending_error", "f8", (PENDING, 2)),
    ("pending_stake", "f8", (PENDING,)),
)
"""Fields of a link's row that are kept here."""

HDE: Final = 0
AMST: Final = 1
SLOPE, BIAS, SCALE, SHIFT = 0, 1, 2, 3


class UtilityModel:
    """The arrays that all links share.

    Parameters
    ----------
    inputs
        How many inputs a transfer has.

    Attributes
    ----------
    inputs
        `INPUT` `[inputs + 1]`: scaling and weights by side; the last row's input is always 1.
    tiles
        `TILE` `[GROUPS, TILINGS, BINS, BINS]`.
    head
        Float64 `[4]`: slope and bias of the stake, scale and shift of the probability.
    """

    def __init__(self, inputs: int) -> None:
        self.inputs = np.zeros(inputs + 1, INPUT)
        self.tiles = np.zeros((GROUPS, TILINGS, BINS, BINS), TILE)
        self.head = np.array([1.0, 0.0, 1.0, 0.0])

    def shared(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, for a `PartitionState`."""
        return {"inputs": self.inputs, "tiles": self.tiles, "head": self.head}

    def work(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """Room for one transfer: scaled inputs, cells, and utilities before the link's share."""
        return np.zeros(len(self.inputs)), np.zeros((TILINGS, 2), np.int64), np.zeros(2)


@njit(cache=True)
def estimate(
    inputs: NDArray[Any],
    tiles: NDArray[Any],
    head: NDArray[Any],
    link: Any,
    x: NDArray[Any],
    kind: int,
    entropy: float,
    repetition: float,
    scaled: NDArray[Any],
    cell: NDArray[Any],
    base: NDArray[Any],
    utility: NDArray[Any],
) -> float:
    """Estimate one transfer.

    Parameters
    ----------
    inputs, tiles, head
        The shared arrays.
    link
        A row with the fields of `LINK`.
    x
        Inputs `[d]`, NaN where unknown.
    kind
        Payload type * 2 + baseline.
    entropy, repetition
        bits/byte and %, NaN where not estimated.
    scaled, cell, base
        Room; what `learn` needs of this transfer is left there.
    utility
        Set: logarithm of utility / bandwidth, `[2]`.

    Returns
    -------
    The stake: above 0, AMST loses less.
    """
    d = x.shape[0]
    for j in range(d):
        row = inputs[j]
        if math.isnan(x[j]) or row.variance <= 0.0:
            scaled[j] = 0.0
        else:
            z = (x[j] - row.mean) / math.sqrt(row.variance)
            scaled[j] = min(max(z, -_SCALED_LIMIT), _SCALED_LIMIT)
    scaled[d] = 1.0
    for t in range(TILINGS):
        cell[t, 0] = _bin(entropy, ENTROPY_WIDTH, t)
        cell[t, 1] = _bin(repetition, REPETITION_WIDTH, t)
    for side in range(2):
        total = 0.0
        for j in range(d + 1):
            total += inputs[j].weight[side] * scaled[j]
        for t in range(TILINGS):
            total += tiles[kind, t, cell[t, 0], cell[t, 1]].utility[side]
        base[side] = total
        utility[side] = total + _level(link, side) + _kind_level(link, kind, side)
    stake = head[SLOPE] * _difference(utility) + head[BIAS] + link.kind_stake[kind]
    for t in range(TILINGS):
        stake += tiles[kind, t, cell[t, 0], cell[t, 1]].stake
    return float(stake)


@njit(cache=True)
def calibrated(head: NDArray[Any], stake: float) -> float:
    """Probability that AMST is the better side."""
    return float(_logistic(head[SCALE] * stake + head[SHIFT]))


@njit(cache=True)
def log_utility(utility: float, bandwidth_mbps: float) -> float:
    """What is learned of a utility: its logarithm over bandwidth; NaN stays NaN."""
    if math.isnan(utility):
        return math.nan
    return float(min(max(math.log(max(utility / bandwidth_mbps, 1e-12)), -_LOG_LIMIT), _LOG_LIMIT))


@njit(cache=True)
def learn(
    inputs: NDArray[Any],
    tiles: NDArray[Any],
    x: NDArray[Any],
    kind: int,
    actual: NDArray[Any],
    importance: NDArray[Any],
    scaled: NDArray[Any],
    cell: NDArray[Any],
    base: NDArray[Any],
) -> None:
    """Learn the utilities of the transfer that was estimated last.

    Parameters
    ----------
    actual
        By `log_utility`, `[2]`; NaN for a side that was not seen.
    importance
        Weight of each side, `[2]`.
    """
    d = x.shape[0]
    norm = 0.0
    for j in range(d + 1):
        norm += scaled[j] * scaled[j]
    for side in range(2):
        if math.isnan(actual[side]):
            continue
        weight = min(importance[side], 1.0 / LINEAR_RATE)
        error = min(max(actual[side] - base[side], -ERROR_LIMIT), ERROR_LIMIT)
        step = LINEAR_RATE * weight * error / norm
        for j in range(d + 1):
            inputs[j].weight[side] += step * scaled[j]
        for t in range(TILINGS):
            tile = tiles[kind, t, cell[t, 0], cell[t, 1]]
            rate = min(max(TILE_RATE * weight, min(weight, 1.0) / (tile.count[side] + 1.0)), 1.0)
            tile.utility[side] += np.float32(rate * error / TILINGS)
            if tile.count[side] < _COUNTED:
                tile.count[side] += 1
    for j in range(d):
        if not math.isnan(x[j]):
            row = inputs[j]
            row.count += 1
            before = row.mean
            row.mean += (x[j] - before) / row.count
            row.variance += ((x[j] - before) * (x[j] - row.mean) - row.variance) / row.count


@njit(cache=True)
def learn_stake(
    tiles: NDArray[Any],
    head: NDArray[Any],
    kind: int,
    cell: NDArray[Any],
    utility: NDArray[Any],
    stake: float,
    label: int,
    margin: float,
    importance: float,
) -> float:
    """Learn which side was best; returns the link's own step, due when the transfer is complete.

    Parameters
    ----------
    label
        `HDE` or `AMST`.
    margin
        Share of the better utility that the worse choice loses.
    """
    target = 1.0 if label == AMST else 0.0
    weight = importance * (EVEN + (1.0 - EVEN) * margin)
    step = STAKE_RATE * weight * (target - _logistic(stake))
    missed = SLOPE_RATE * importance * (target - calibrated(head, stake))
    head[SLOPE] += SLOPE_RATE * step * _difference(utility)
    head[BIAS] += SLOPE_RATE * step
    head[SCALE] = min(max(head[SCALE] + missed * min(max(stake, -_DIFFERENCE_LIMIT), _DIFFERENCE_LIMIT), 0.1), 10.0)
    head[SHIFT] += missed
    for t in range(TILINGS):
        tiles[kind, t, cell[t, 0], cell[t, 1]].stake += np.float32(step)
    return float(step)


@njit(cache=True)
def postpone(link: Any, until_ms: int, kind: int, actual: NDArray[Any], base: NDArray[Any], stake: float) -> None:
    """Keep what the link is to learn from a transfer until that is complete."""
    at = link.pending % PENDING
    link.pending += 1
    link.pending_until[at] = until_ms
    link.pending_kind[at] = kind
    for side in range(2):
        link.pending_error[at, side] = actual[side] - base[side]
    link.pending_stake[at] = stake


@njit(cache=True)
def settle(link: Any, now_ms: int) -> None:
    """Take in what the link's transfers that are complete by now have shown."""
    for at in range(PENDING):
        if link.pending_until[at] == 0 or link.pending_until[at] > now_ms:
            continue
        link.pending_until[at] = 0
        kind = link.pending_kind[at]
        link.kind_stake[kind] += link.pending_stake[at]
        for side in range(2):
            error = link.pending_error[at, side]
            if math.isnan(error):
                continue
            beside = error - _level(link, side)
            link.level[side] += max(LINK_RATE, 1.0 / (link.level_count[side] + 1.0)) * (error - link.level[side])
            link.level_count[side] += 1
            rate = max(LINK_RATE, 1.0 / (link.kind_count[kind, side] + 1.0))
            link.kind_level[kind, side] += rate * (beside - link.kind_level[kind, side])
            link.kind_count[kind, side] += 1


@njit(cache=True)
def _bin(value: float, width: float, tiling: int) -> int:
    if math.isnan(value):
        return BINS - 1
    return min(max(int(value / width + tiling / TILINGS), 0), BINS - 2)


@njit(cache=True)
def _level(link: Any, side: int) -> float:
    n = link.level_count[side]
    return float(link.level[side] * n / (n + SHRINK))


@njit(cache=True)
def _kind_level(link: Any, kind: int, side: int) -> float:
    n = link.kind_count[kind, side]
    return float(link.kind_level[kind, side] * n / (n + SHRINK))


@njit(cache=True)
def _difference(utility: NDArray[Any]) -> float:
    return float(min(max(utility[AMST] - utility[HDE], -_DIFFERENCE_LIMIT), _DIFFERENCE_LIMIT))


@njit(cache=True)
def _logistic(z: float) -> float:
    if z < -30.0:
        return 0.0
    if z > 30.0:
        return 1.0
    return 1.0 / (1.0 + math.exp(-z))
