"""What the optimizer watches of nodes: means of minutes, of the last five and of the last hour, and what triggers.

Performance is one number per node: the mean of the three tuned systems' logarithms, each from the
metric that it moves: throughput over latency for HDE, prediction accuracy for PBA, consensus time for ACP.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from online_models.optimizer.space import GROUPS, N_STATE, STATE, to_unit
from schemas.optimizer import MAX_CPU_PCT, MAX_MEMORY_PCT, OPTIMIZER_TRIGGERS

F64 = NDArray[np.float64]

WATCHED: Final = (
    "latency_mean",
    "latency_p99",
    "throughput_mean",
    "error_rate",
    "cpu_usage",
    "memory_usage",
    "network_io",
    "compression_ratio",
    "prediction_accuracy",
    "consensus_time",
    "request_rate",
)
N_LEVELS: Final = len(WATCHED)
LATENCY, P99, THROUGHPUT, ERRORS, CPU, MEMORY, IO, RATIO, ACCURACY, CONSENSUS, REQUESTS = range(N_LEVELS)

MINUTE: Final = (
    ("clock", "i8"), ("n", "i8"), ("minutes", "i8"), ("last_n", "i8"), ("before", "f8", (2,)),
    ("total", "f8", (N_LEVELS,)), ("last", "f8", (N_LEVELS,)), ("fast", "f8", (N_LEVELS,)), ("slow", "f8", (N_LEVELS,)),
    ("base", "f8", (N_LEVELS,)),
)  # fmt: skip
"""Fields of a node's row: the open minute's sum and count, the last minute's means, their averages over
five minutes and an hour, the hour's when tuning last ended, and performance and cost before a rollout."""

FAST_MINUTES: Final = 5
SLOW_MINUTES: Final = 60

FALL: Final = 0.05
TRAFFIC: Final = 0.30
"""Changes of performance and of traffic that trigger."""

MAX_AGE_MS: Final = 30 * 24 * 3_600_000
SETTLE_MS: Final = 60 * 60_000
"""After a change or a recommendation, before a trigger other than age: the hour's mean has to forget it."""

N_SYSTEMS: Final = len(GROUPS)

_TRENDS: Final = [STATE.index(f"trend_{WATCHED[at]}") for at in (LATENCY, THROUGHPUT, ACCURACY, REQUESTS, CONSENSUS)]
_TINY: Final = 1e-6


def close_node_minutes(rows: NDArray[Any]) -> None:
    """Make every node's open minute its last one, and go on with an empty one."""
    some = rows["n"] > 0
    mean = rows["total"] / np.maximum(rows["n"], 1)[:, None]
    rows["last_n"] = rows["n"]
    rows["last"][some] = mean[some]
    for name, span in (("fast", FAST_MINUTES), ("slow", SLOW_MINUTES)):
        # A plain mean until there is as much as the span.
        share = 1.0 / np.minimum(rows["minutes"] + 1, span)[:, None]
        rows[name][some] += (share * (mean - rows[name]))[some]
    rows["minutes"][some] += 1
    young = some & (rows["minutes"] <= SLOW_MINUTES)
    rows["base"][young] = rows["slow"][young]
    rows["n"] = 0
    rows["total"] = 0.0


def performance_of(levels: NDArray[Any]) -> F64:
    """Performance from `WATCHED` means, `[...]` from `[..., metric]`: a logarithm, more is better."""
    return np.asarray(_systems(levels).mean(axis=-1))


def cost_of(levels: NDArray[Any]) -> F64:
    """What a node costs, `[...]` from `[..., metric]`: the logarithm of traffic times processor time, halved."""
    log = np.log(np.maximum(levels[..., [IO, CPU]], _TINY))
    return np.asarray(log.mean(axis=-1))


def group_levels(rows: NDArray[Any]) -> F64:
    """For each tuned system the logarithms of performance, cost, CPU and memory now, means over nodes, `[3, 4]`.

    Cost is NaN but for compression: the messages of consensus and the work of forecasting are a small part of a node's
    traffic and processor time, and what cannot be seen there is not nothing.
    """
    fast = rows["fast"][rows["minutes"] > 0]
    log = np.log(np.maximum(fast, _TINY))
    found = np.empty((3, 4))
    found[:, 0] = _systems(fast).mean(axis=0)
    found[:, 1] = cost_of(fast).mean(), np.nan, np.nan
    found[:, 2] = log[:, CPU].mean()
    found[:, 3] = log[:, MEMORY].mean()
    return found


class Progress(NamedTuple):
    """How tuning went: the best trial's performance over the start and the last change's reward, logarithms.

    Then how many changes were tried, how many since the best one, and how long ago the last one was.
    """

    best: float = 0.0
    reward: float = 0.0
    trials: int = 0
    since_best: int = 0
    changed_ms: int = 0


def make_state(rows: NDArray[Any], values: F64, progress: Progress) -> F64:
    """The 35 numbers of `space.STATE` from nodes' rows, `[35]`.

    Parameters
    ----------
    rows
        Nodes with at least one minute.
    values
        Parameters in force, `[9]`.
    progress
        How tuning went.
    """
    fast, slow, base = (np.log(np.maximum(rows[name], _TINY)) for name in ("fast", "slow", "base"))
    level, trend = (fast - base).mean(axis=0), (fast - slow).mean(axis=0)
    systems = (_systems(rows["fast"]) - _systems(rows["base"])).mean(axis=0)
    found = dict.fromkeys(STATE, 0.0)
    found |= dict(zip(STATE[: len(values)], to_unit(values).tolist(), strict=True))
    for at in range(REQUESTS):
        found[f"level_{WATCHED[at]}"] = float(level[at])
    found["level_cpu_usage"] = float(rows["fast"][:, CPU].mean()) / MAX_CPU_PCT
    found["level_memory_usage"] = float(rows["fast"][:, MEMORY].mean()) / MAX_MEMORY_PCT
    for at in (LATENCY, THROUGHPUT, CPU, ACCURACY, REQUESTS, CONSENSUS):
        found[f"trend_{WATCHED[at]}"] = float(trend[at])
    found["cost"] = float((cost_of(rows["fast"]) - cost_of(rows["base"])).mean())
    found["performance"] = float(systems.mean())
    found |= dict(zip(("performance_hde", "performance_pba", "performance_acp"), systems.tolist(), strict=True))
    found["best_performance"], found["last_reward"] = progress.best, progress.reward
    found["trials_used"], found["trials_since_best"] = progress.trials / 20.0, progress.since_best / 20.0
    found["hours_since_change"] = progress.changed_ms / 3_600_000 / 24.0
    assert len(found) == N_STATE
    return np.asarray(np.clip(np.array(list(found.values())), -5.0, 5.0))


def triggered(state: F64, since_ms: int) -> int:
    """Index into `OPTIMIZER_TRIGGERS`, or -1: performance, traffic or age, by the state and the time since a change."""
    if since_ms >= SETTLE_MS:
        latency, throughput, accuracy, requests, consensus = state[_TRENDS]
        if (0.5 * (throughput - latency) + accuracy - consensus) / N_SYSTEMS < np.log(1.0 - FALL):
            return OPTIMIZER_TRIGGERS.index("performance")
        if abs(requests) > np.log1p(TRAFFIC):
            return OPTIMIZER_TRIGGERS.index("traffic")
    return OPTIMIZER_TRIGGERS.index("age") if since_ms >= MAX_AGE_MS else -1


def _systems(levels: NDArray[Any]) -> F64:
    """Performance of the three tuned systems, `[..., 3]`."""
    log = np.log(np.maximum(levels, _TINY))
    hde = 0.5 * (log[..., THROUGHPUT] - log[..., LATENCY])
    return np.stack([hde, log[..., ACCURACY], -log[..., CONSENSUS]], axis=-1)
