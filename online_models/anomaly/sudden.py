"""A metric that jumps: far from what it was a minute ago, though its course over the hour is wide.

Beside the baseline of an hour runs a level that follows within half a minute; from that one a metric strays by noise
alone. A jump counts where the value is unusual against the hour, too, so that a return to the usual is none.
"""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

from online_models.anomaly.baseline import MAX_Z, N_METRICS
from online_models.anomaly.rule import HARM

SUDDEN: Final = (("recent", "f8", (N_METRICS,)), ("noise", "f8", (N_METRICS,)))
"""Fields of a node's state kept here: the level of the last half minute, and the usual distance from it."""

_RECENT_MS: Final = 30_000.0
_NOISE_MS: Final = 3_600_000.0
_LONGEST_STEP_MS: Final = 60_000.0
_CLIP: Final = 3.0
_NOISE_CLIP: Final = 1.5
_CLIP_AFTER: Final = 10
_TO_DEVIATION: Final = 1.6  # clipped normal noise has 1.35; neighbouring samples are alike
_BESIDES: Final = 2.5
"""Deviation against the hour that a jump needs to count."""


@njit(cache=True)
def noise_of(node: Any, floor: NDArray[Any], j: int) -> float:
    """Deviation of a metric from its recent level, not below its floor."""
    return float(max(_TO_DEVIATION * node.noise[j], floor[j], 0.01 * abs(node.recent[j])))


@njit(cache=True)
def heed_jumps(node: Any, floor: NDArray[Any], x: NDArray[Any], z: NDArray[Any]) -> None:
    """Where a metric jumped towards harm, put what that says in place of its deviation, if it says more.

    Parameters
    ----------
    node
        As it was before the record.
    floor
        Least deviation by metric.
    x, z
        The record's metrics and deviations, `[metric]`; the latter are updated.
    """
    for j in range(N_METRICS):
        if z[j] * HARM[j] >= _BESIDES:
            jump = (x[j] - node.recent[j]) / noise_of(node, floor, j) * HARM[j]
            z[j] = min(max(z[j] * HARM[j], jump), MAX_Z) * HARM[j]


@njit(cache=True)
def learn_jumps(node: Any, floor: NDArray[Any], count: int, elapsed_ms: float, x: NDArray[Any]) -> None:
    """Take a node's next record in; parameters as of `learn_baseline`."""
    step_ms = min(elapsed_ms, _LONGEST_STEP_MS)
    near = max(1.0 - math.exp(-step_ms / _RECENT_MS), 1.0 / (count + 1.0))
    slow = max(1.0 - math.exp(-step_ms / _NOISE_MS), 1.0 / (count + 1.0))
    for j in range(N_METRICS):
        away = x[j] - node.recent[j]
        unit = noise_of(node, floor, j)
        size = abs(away)
        if count >= _CLIP_AFTER:
            away = min(max(away, -_CLIP * unit), _CLIP * unit)
            size = min(size, _NOISE_CLIP * unit)
        node.recent[j] += near * away
        if count > 0:
            node.noise[j] += slow * (size - node.noise[j])
