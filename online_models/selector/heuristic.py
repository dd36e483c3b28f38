"""The fallback selector: four rules, used when no model answers or it is not sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.selector.oracle import AMST, HDE

CONFIDENCE: Final = 0.5


def heuristic(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Algorithm by rule, `[n]` (domain facts, section 3; first match wins).

    rtt below 1 ms on more than 500 Mbps -> AMST; ratio above 10 with more than 80 %
    delta hits -> HDE; less than 100 Mbps -> HDE; else AMST. Missing history matches no rule.
    """
    bandwidth_mbps = columns["bandwidth_available_mbps"]
    near = (columns["rtt_ms"] < 1.0) & (bandwidth_mbps > 500.0)
    shrinks = (columns["hde_compression_ratio"] > 10.0) & (columns["hde_delta_hit_rate"] > 80.0)
    narrow = bandwidth_mbps < 100.0
    return np.where(near, AMST, np.where(shrinks | narrow, HDE, AMST)).astype(np.int64)
