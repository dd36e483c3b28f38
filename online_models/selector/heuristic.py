"""The fallback selector: four rules, used when no model answers or it is not sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.selector.oracle import AMST, HDE

CONFIDENCE: Final = 0.5


def heuristic(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Algorithm by rule, `[n]` (domain facts, section 3; first match wins).

    rtt below 1 ms on more than 500 Mbps -> AMST; ratio above 10 with more than 80 %
    delta hits -> HDE; less than 100 Mbps -> HDE; else AMST. Missing history matches no rule.
    """
    names = ("bandwidth_available_mbps", "rtt_ms", "hde_compression_ratio", "hde_delta_hit_rate")
    found: NDArray[np.int64] = _rules(*(np.asarray(columns[name], np.float64) for name in names))
    return found


@njit(cache=True)
def rule(bandwidth_mbps: float, rtt_ms: float, ratio: float, hits: float) -> int:
    """As `heuristic`, for one transfer; compiled."""
    if rtt_ms < 1.0 and bandwidth_mbps > 500.0:
        return AMST
    if ratio > 10.0 and hits > 80.0:
        return HDE
    return HDE if bandwidth_mbps < 100.0 else AMST


@njit(cache=True)
def _rules(
    bandwidth_mbps: NDArray[Any], rtt_ms: NDArray[Any], ratio: NDArray[Any], hits: NDArray[Any]
) -> NDArray[np.int64]:
    found = np.empty(len(rtt_ms), np.int64)
    for i in range(len(found)):
        found[i] = rule(bandwidth_mbps[i], rtt_ms[i], ratio[i], hits[i])
    return found
