"""What payloads that look alike have turned out to be: a few weighted prototypes, compiled.

The same entropy and repetition may belong to payloads of quite different worth (an encrypted disk that
hardly changed, and one that was written anew), so a mean says little. A prototype is a
place in the plane of entropy and repetition with a value and a weight; an observation
moves the nearest one, or takes the place of the lightest (online vector quantisation: T. Kohonen,
Self-Organizing Maps, 2001, ch. 6). Those near a payload, by weight and nearness, are the
distribution of its value.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

FIELDS: Final = 4
ENTROPY, REPETITION, VALUE, WEIGHT = 0, 1, 2, 3
"""Rows of an array of prototypes, float32 `[FIELDS, size]`; an unused one weighs 0."""

REACH: Final = 0.35
"""How far a prototype counts, in bits/byte and in the logarithm of repetition; estimates err by about a third of it."""

NEAR: Final = 0.5
ALIKE: Final = 1.0
"""An observation is a prototype's if its distances, in `NEAR` and in value over `ALIKE`, sum to less than 1."""

MISSING: Final = -1.0
"""Where what was not estimated lies: beyond the reach of all that was."""

_LIMIT: Final = 8.0


@njit(cache=True)
def look(entropy: float, repetition: float) -> tuple[float, float]:
    """A payload's place, from bits/byte and %, NaN where not estimated."""
    e = MISSING if math.isnan(entropy) else entropy
    r = MISSING if math.isnan(repetition) else math.log1p(repetition)
    return e, r


@njit(cache=True)
def gather(
    held: NDArray[Any], entropy: float, repetition: float, nearness: NDArray[Any], value: NDArray[Any],
    weight: NDArray[Any], at: int,
) -> int:  # fmt: skip
    """Append values and weights of the prototypes in reach.

    Parameters
    ----------
    held
        Prototypes.
    entropy, repetition
        By `look`.
    nearness
        Room, float32, at least as long as `held`.
    value, weight
        Filled from `at`.

    Returns
    -------
    Where the next one goes.
    """
    e, r, scale = np.float32(entropy), np.float32(repetition), np.float32(1.0 / REACH)
    one, nothing = np.float32(1.0), np.float32(0.0)
    size = held.shape[1]
    for k in range(size):  # without a branch, so that it is one instruction for several
        across = max(one - abs(held[ENTROPY, k] - e) * scale, nothing)
        nearness[k] = across * max(one - abs(held[REPETITION, k] - r) * scale, nothing) * held[WEIGHT, k]
    for k in range(size):
        if nearness[k] > nothing:
            value[at] = held[VALUE, k]
            weight[at] = nearness[k]
            at += 1
    return at


@njit(cache=True)
def keep(
    held: NDArray[Any], entropy: float, repetition: float, value: float, weight: float, cap: float,
    distance: NDArray[Any],
) -> None:  # fmt: skip
    """Take an observation in; once a prototype outweighs `cap` all weights are halved, so that the past fades.

    Parameters
    ----------
    held
        Prototypes, updated.
    entropy, repetition
        By `look`.
    value
        What was observed.
    weight
        How much it counts.
    distance
        Room, float32, at least as long as `held`.
    """
    e, r, v = np.float32(entropy), np.float32(repetition), np.float32(min(max(value, -_LIMIT), _LIMIT))
    near, alike = np.float32(1.0 / NEAR), np.float32(1.0 / ALIKE)
    size = held.shape[1]
    for k in range(size):
        beside = abs(held[ENTROPY, k] - e) + abs(held[REPETITION, k] - r)
        distance[k] = beside * near + abs(held[VALUE, k] - v) * alike
    best, at, lightest = np.float32(1.0), -1, 0
    for k in range(size):
        if held[WEIGHT, k] > 0.0 and distance[k] < best:
            best, at = distance[k], k
        if held[WEIGHT, k] < held[WEIGHT, lightest]:
            lightest = k
    if at < 0:
        held[ENTROPY, lightest], held[REPETITION, lightest], held[VALUE, lightest] = e, r, v
        held[WEIGHT, lightest] = weight
    else:
        held[WEIGHT, at] += np.float32(weight)
        share = np.float32(weight) / held[WEIGHT, at]
        held[ENTROPY, at] += (e - held[ENTROPY, at]) * share
        held[REPETITION, at] += (r - held[REPETITION, at]) * share
        held[VALUE, at] += (v - held[VALUE, at]) * share
        if held[WEIGHT, at] > cap:
            for k in range(size):
                held[WEIGHT, k] *= np.float32(0.5)
