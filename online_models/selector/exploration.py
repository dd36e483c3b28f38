"""When to try the side that looks worse: without that, its outcomes are never seen.

Production runs one mechanism per transfer. The other one is tried with a probability that falls with
what it seems to lose (inverse gap weighting; D. Foster and A. Rakhlin, "Beyond UCB", ICML 2020) and
stays within bounds. The draw is a hash of the request's id, so that a replay explores the
same requests, and every decision's probability is known afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

LEAST: Final = 0.005
MOST: Final = 0.2
"""Bounds of the probability of exploring."""

GREED: Final = 1000.0
"""How fast that probability falls with the gap."""

_SALT: Final = b"explore:"
"""Experiments split by the plain hash of the request's id; exploring must not follow their arms."""


def draws(ids: Sequence[str]) -> NDArray[np.float64]:
    """A number in [0, 1) for every id, `[n]`: FNV-1a 32 of the salted id, its bits mixed.

    Sums of bytes leave the high bits of FNV-1a nearly alone for ids that count up, hence the mixing
    (A. Appleby's 32-bit finalizer).
    """
    coded = [one.encode() for one in ids]
    ends = np.cumsum([len(one) for one in coded], dtype=np.int64)
    found: NDArray[np.float64] = _draws(np.frombuffer(_SALT, np.uint8), np.frombuffer(b"".join(coded), np.uint8), ends)
    return found


@njit(cache=True)
def explore_probability(gap: float) -> float:
    """Probability of taking the side that looks worse, given the share it seems to lose, 0..1."""
    return min(max(1.0 / (2.0 + GREED * gap), LEAST), MOST)


@njit(cache=True)
def _draws(salt: NDArray[np.uint8], data: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.empty(len(ends))
    at = 0
    for i in range(len(ends)):
        state = np.uint32(0x811C9DC5)
        for byte in salt:
            state = np.uint32((state ^ np.uint32(byte)) * np.uint32(0x01000193))
        while at < ends[i]:
            state = np.uint32((state ^ np.uint32(data[at])) * np.uint32(0x01000193))
            at += 1
        state = np.uint32((state ^ (state >> np.uint32(16))) * np.uint32(0x85EBCA6B))
        state = np.uint32((state ^ (state >> np.uint32(13))) * np.uint32(0xC2B2AE35))
        found[i] = float(state ^ (state >> np.uint32(16))) / 4294967296.0
    return found
