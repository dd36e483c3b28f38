"""A metric that stops moving: a saturated processor, a codec that finds nothing to compress, a full disk.

Against its node's baseline a value at its limit may be one deviation away and no more; what gives
it away is that it stays there. A step is *still* when it is far smaller than the metric's
steps usually are. Still steps are counted by the logarithm of how much likelier they are in a metric that stands
than in this one as it was, given whether the step before was still (a sequential probability ratio test, Wald 1945),
so that metrics which repeat themselves by nature need a longer run.

One resource at its limit is how a well-used host looks; a processor or a memory that
stands therefore counts only when both do.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.anomaly.baseline import N_METRICS
from online_models.anomaly.rule import HARM, harm_of
from schemas.system import METRICS

FLATLINE: Final = (
    ("previous", "f8", (N_METRICS,)),
    ("usual_step", "f8", (N_METRICS,)),
    ("evidence", "f8", (N_METRICS,)),
    ("chance", "f4", (N_METRICS, 2)),
    ("seen", "f4", (N_METRICS, 2)),
    ("still", "u1", (N_METRICS,)),
)
"""Fields of a node's state kept here; `chance` of a still step after one that was not still, and after one that was."""

START_CHANCE: Final = 0.15
"""Chance of a still step over all nodes, before any was seen."""

_STILL: Final = 0.15
"""Share of the usual step below which a step is still."""

_STANDING: Final = 0.9
"""Share of still steps in a metric that stands."""

_AWAY: Final = 1.0
"""Deviation that a standing metric needs to count as standing on the side that hurts."""

_CPU: Final = METRICS.index("cpu_usage")
_MEMORY: Final = METRICS.index("memory_usage")
_REMEMBERED: Final = 1000.0
_COMMON_MEMORY: Final = 2000.0
_CLIP: Final = 4.0
_MOST: Final = 60.0
_FREE: Final = 4.0
_FADING: Final = 1.0 / 360.0
_USUAL_CHANCE: Final = (START_CHANCE, 0.4)
_WORTH: Final = 10.0
_CHANCES: Final = (0.02, 0.9)


@njit(cache=True)
def learn_steps(node: Any, common: NDArray[Any], count: int, x: NDArray[Any]) -> None:
    """Take a node's next record in.

    Parameters
    ----------
    node
        A record with the fields of `FLATLINE`.
    common
        Chances over all nodes, `[metric, 2]`; updated.
    count
        Records before this one.
    x
        Metrics.
    """
    for j in range(N_METRICS):
        if count == 0:
            node.previous[j] = x[j]
            for k in range(2):
                node.chance[j, k] = np.float32(_USUAL_CHANCE[k])
                node.seen[j, k] = np.float32(_WORTH)
            continue
        step = abs(x[j] - node.previous[j])
        node.previous[j] = x[j]
        usual = node.usual_step[j]
        still = step <= _STILL * usual
        before = node.still[j]
        chance = min(max(float(node.chance[j, before]), common[j, before], _CHANCES[0]), _CHANCES[1])
        gain = math.log(_STANDING / chance) if still else math.log((1.0 - _STANDING) / (1.0 - chance))
        node.evidence[j] = min(max((1.0 - _FADING) * node.evidence[j] + gain, 0.0), _MOST)
        node.seen[j, before] = min(node.seen[j, before] + np.float32(1.0), np.float32(_REMEMBERED))
        common[j, before] += ((1.0 if still else 0.0) - common[j, before]) / _COMMON_MEMORY
        moved = ((1.0 if still else 0.0) - node.chance[j, before]) / node.seen[j, before]
        node.chance[j, before] += np.float32(moved)
        node.still[j] = 1 if still else 0
        most = _CLIP * usual if count > 10 else step
        node.usual_step[j] += max(1.0 / _REMEMBERED, 1.0 / count) * (min(step, most) - usual)


@njit(cache=True)
def heed_flatlines(node: Any, z: NDArray[Any]) -> None:
    """Where a metric stands on the side that hurts, put what that says in place of its deviation, if it says more.

    Parameters
    ----------
    node
        As it was before the record.
    z
        The record's deviations, `[metric]`; updated.
    """
    both = min(node.evidence[_CPU], node.evidence[_MEMORY]) if min(z[_CPU], z[_MEMORY]) >= _AWAY else 0.0
    for j in range(N_METRICS):
        if HARM[j] == 0.0 or harm_of(z, HARM, j) < _AWAY:
            continue
        evidence = 2.0 * both if j in (_CPU, _MEMORY) else node.evidence[j]
        z[j] = max(abs(z[j]), flatness(evidence)) * HARM[j]


@njit(cache=True)
def flatness(evidence: float) -> float:
    """How unusual it is that metrics stand, as a normal deviation; 0 when they move.

    Parameters
    ----------
    evidence
        Sum over the metrics, in nats.
    """
    return math.sqrt(2.0 * max(evidence - _FREE, 0.0))
