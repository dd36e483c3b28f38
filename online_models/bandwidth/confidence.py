"""How sure a link is of its forecasts, by how far its last ones were off."""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

from online_models.bandwidth.vote import FINE, PROVEN, RECENT


@njit(cache=True)
def confidence(link: Any) -> float:
    """Domain facts, section 4: .5 until ten forecasts were scored, then from the last 20 errors."""
    if link.scored < PROVEN:
        return 0.5
    size = min(link.scored, RECENT)
    total = 0.0
    for k in range(size):
        total += FINE * link.relative_error[k]
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
