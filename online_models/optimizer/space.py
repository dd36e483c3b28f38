"""Where the optimizer moves: the nine parameters as numbers 0..1, its 18 actions, its state of 35.

An action moves one parameter up or down by one step, 5 % of its range, at least to the next value
that may be set. Nothing here can leave the hard limits: positions are clipped and snapped on the way out.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.optimizer import PARAMETERS

F64 = NDArray[np.float64]

N_PARAMETERS: Final = len(PARAMETERS)
N_ACTIONS: Final = 2 * N_PARAMETERS
"""Action `2 p` lowers parameter `p`, `2 p + 1` raises it."""

MINIMUM: Final = np.array([p.minimum for p in PARAMETERS])
MAXIMUM: Final = np.array([p.maximum for p in PARAMETERS])
SPACING: Final = np.array([float(p.spacing) for p in PARAMETERS])
MOVE: Final = np.maximum(np.array([p.step for p in PARAMETERS]), SPACING)
"""What one action changes: a step of 5 %, or one place where places are further apart."""

DEFAULT: Final = np.array([5, 16_384, 524_288, 30, 0.85, 10, 2000, 25, 7], np.float64)
"""Before any tuning, as the product's documents have it."""

GROUPS: Final = {"hde": slice(0, 3), "pba": slice(3, 6), "acp": slice(6, 9)}
"""Parameters by the system they tune; the systems do not share any."""

STATE: Final = (
    *(f"parameter_{p.name}" for p in PARAMETERS),
    "level_latency_mean", "level_latency_p99", "level_throughput_mean", "level_error_rate", "level_cpu_usage",
    "level_memory_usage", "level_network_io", "level_compression_ratio", "level_prediction_accuracy",
    "level_consensus_time", "trend_latency_mean", "trend_throughput_mean", "trend_cpu_usage",
    "trend_prediction_accuracy", "trend_request_rate", "trend_consensus_time", "cost", "performance",
    "performance_hde", "performance_pba", "performance_acp", "best_performance", "last_reward", "trials_used",
    "trials_since_best", "hours_since_change",
)  # fmt: skip
"""What the optimizer sees of a partition, in order: triggers are read from it, each recommendation has it, and the
deep Q network knows nothing else.

`parameter_*` are 0..1 within the hard limits. `level_*` are logarithms of the last five minutes' mean over
the mean before tuning began, but `level_cpu_usage` and `level_memory_usage`, which are shares of their soft
limits. `trend_*` are logarithms of the last five minutes over the last hour. `cost` and `performance*` are
logarithms against the start, `best_performance` is the best that a trial showed, `last_reward` what the last
change improved less what it costs more. `trials_used` and `trials_since_best` are in units of 20,
`hours_since_change` of a day; 0 before any change.
"""

N_STATE: Final = len(STATE)
assert N_STATE == 35


def snap(values: NDArray[Any]) -> F64:
    """The nearest values that may be set, `[..., 9]`; what is not a number becomes the default.

    >>> snap(np.array([6.4, 1e9, -1.0, 15.0, 0.7, 2.0, 50.0, 25.2, 8.4])).tolist()
    [6.0, 65536.0, 32768.0, 15.0, 0.7, 2.0, 100.0, 25.0, 9.0]
    """
    known = np.where(np.isnan(values), DEFAULT, values)
    clipped = np.clip(known, MINIMUM, MAXIMUM)
    places = np.where(SPACING > 0, SPACING, 1.0)
    placed = MINIMUM + np.round((clipped - MINIMUM) / places) * places
    return np.asarray(np.minimum(np.where(SPACING > 0, placed, clipped), MAXIMUM))


def act(values: NDArray[Any], action: NDArray[np.integer]) -> F64:
    """Parameters after an action each, `[n, 9]` from `[n, 9]` and `[n]`; at a limit nothing changes."""
    which = np.asarray(action) // 2
    sign = 2.0 * (np.asarray(action) % 2) - 1.0
    moved = np.array(values, np.float64)
    moved[np.arange(len(moved)), which] += sign * MOVE[which]
    return snap(moved)


def to_unit(values: NDArray[Any]) -> F64:
    """Parameters as 0..1 within their limits, `[..., 9]`."""
    return np.asarray((values - MINIMUM) / (MAXIMUM - MINIMUM))
