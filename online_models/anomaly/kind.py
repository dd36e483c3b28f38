"""The type of an anomaly in any series, from what its metrics are called and which way they went.

`anomaly.type_of` is for the contract's sixteen metrics; here a metric's name says what it
measures (`rtt_p99`, `PodServerLatencyP90(s)`, `CpuUsage(m)`). A busy processor explains
slow answers and a failing dependency explains few of them, so causes are asked before symptoms. A processor or memory
beyond 85 % needs to be unusual by 2.5 only, as for nodes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

_FAMILIES: Final = (
    ("prediction_error", -1, r"accuracy"),
    ("consensus_delay", 1, r"consensus|quorum|election"),
    ("compression_failure", -1, r"compression"),
    ("error_burst", -1, r"success|availability"),
    ("error_burst", 1, r"error|fail|exception|crash|unavail|reject|drop(ped|s)|5xx"),
    ("latency_spike", 1, r"latency|rtt|delay|duration|response_?time|ping|jitter|p9\d|p50"),
    ("resource_exhaustion", 1, r"cpu|memory|mem_|disk|storage|swap|heap|load_?avg"),
    ("throughput_drop", -1, r"throughput|rps|qps|ops|workload|request|rate|ingress|download|upload|bandwidth|traffic"),
)
"""Type, the direction that hurts, and what such metrics are called; the first that matches counts."""

_CAUSES: Final = (("error_burst", 3.0), ("consensus_delay", 3.0), ("compression_failure", 3.0))
_PROCESSOR: Final = re.compile(r"cpu|processor|load_?avg", re.IGNORECASE)
_SHARE: Final = re.compile(r"(cpu|processor|mem).*(%|percent|pct)", re.IGNORECASE)
_BUSY: Final = 5.0
_FULL: Final = (2.5, 85.0)
_LEAST: Final = 2.0


@lru_cache(maxsize=4096)
def family_of(name: str) -> tuple[str, int]:
    """Anomaly type that a metric speaks for, and the sign of the deviation that hurts.

    >>> family_of("PodServerLatencyP90(s)"), family_of("SuccessRate(%)"), family_of("x")
    (('latency_spike', 1), ('error_burst', -1), ('unknown', 0))
    """
    for kind, sign, pattern in _FAMILIES:
        if re.search(pattern, name, re.IGNORECASE):
            return kind, sign
    return "unknown", 0


def kind_of(names: Sequence[str], deviation: NDArray[np.float64], values: NDArray[np.float64]) -> str:
    """Type of an anomaly.

    Parameters
    ----------
    names
        The metrics.
    deviation
        Signed deviation of each, in its own units, `[metric]`.
    values
        What they were, `[metric]`.
    """
    strongest: dict[str, float] = {}
    for name, found, value in zip(names, deviation.tolist(), values.tolist(), strict=True):
        kind, sign = family_of(name)
        strongest[kind] = max(strongest.get(kind, 0.0), found * sign)
        full = found > _FULL[0] and value > _FULL[1] and _SHARE.search(name)
        if full or (found >= _BUSY and _PROCESSOR.search(name)):
            strongest["busy"] = found
    for kind, least in _CAUSES:
        if strongest.get(kind, 0.0) >= least:
            return kind
    if strongest.pop("busy", 0.0):
        return "resource_exhaustion"
    kind = max(strongest, key=lambda name: strongest[name], default="unknown")
    return kind if strongest.get(kind, 0.0) >= _LEAST else "unknown"
