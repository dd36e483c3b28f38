"""What the optimizer watches of a node: means of minutes, of the last five, and of the last hour.

Performance is one number per node: the mean of the three tuned systems' logarithms, each from the
metric that it moves: throughput over latency for HDE, prediction accuracy for PBA, consensus time for ACP.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.optimizer.space import N_STATE, STATE, to_unit
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
    ("clock", "i8"), ("n", "i8"), ("minutes", "i8"), ("last_n", "i8"), ("before", "f8"), ("total", "f8", (N_LEVELS,)),
    ("last", "f8", (N_LEVELS,)), ("fast", "f8", (N_LEVELS,)), ("slow", "f8", (N_LEVELS,)), ("base", "f8", (N_LEVELS,)),
)  # fmt: skip
"""Fields of a node's row: the open minute's sum and count, the last minute's means, their averages over
five minutes and an hour, and the hour's when tuning last ended."""

FAST_MINUTES: Final = 5
SLOW_MINUTES: Final = 60

FALL: Final = 0.05
TRAFFIC: Final = 0.30
"""Changes of performance and of traffic that trigger."""

MAX_AGE_MS: Final = 30 * 24 * 3_600_000
SETTLE_MS: Final = 60 * 60_000
"""After a change or a recommendation, before a trigger other than age: the hour's mean has to forget it."""

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


def group_levels(rows: NDArray[Any]) -> F64:
    """For each tuned system the logarithms of performance, cost, CPU and memory now, means over nodes, `[3, 4]`.

    Cost is what is sent and the processor time: the product of network traffic and CPU, as far as a node tells.
    """
    fast = rows["fast"][rows["minutes"] > 0]
    log = np.log(np.maximum(fast, _TINY))
    found = np.empty((3, 4))
    found[:, 0] = _systems(fast).mean(axis=0)
    found[:, 1] = 0.5 * (log[:, IO] + log[:, CPU]).mean()
    found[:, 2] = log[:, CPU].mean()
    found[:, 3] = log[:, MEMORY].mean()
    return found


def triggered(rows: NDArray[Any], since_ms: int) -> int:
    """Index into `OPTIMIZER_TRIGGERS`, or -1: performance, traffic or age."""
    if since_ms >= SETTLE_MS:
        fall = float((performance_of(rows["slow"]) - performance_of(rows["fast"])).mean())
        if fall > -np.log(1.0 - FALL):
            return OPTIMIZER_TRIGGERS.index("performance")
        traffic = np.log(np.maximum(rows["fast"][:, REQUESTS], _TINY)) - np.log(
            np.maximum(rows["slow"][:, REQUESTS], _TINY)
        )
        if abs(float(traffic.mean())) > np.log1p(TRAFFIC):
            return OPTIMIZER_TRIGGERS.index("traffic")
    return OPTIMIZER_TRIGGERS.index("age") if since_ms >= MAX_AGE_MS else -1


def make_inputs(
    rows: NDArray[Any], values: F64, best: float, reward: float, trials: int, since_best: int, changed_ms: int
) -> F64:
    """The 35 inputs of `optimizer_space.STATE` from nodes' rows, `[35]`.

    Parameters
    ----------
    rows
        Nodes with at least one minute.
    values
        Parameters in force, `[9]`.
    best, reward
        Best performance so far against the start, and the last change's; logarithms.
    trials, since_best
        How many changes were tried, and how many since the best one.
    changed_ms
        Since the last change.
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
    for at in (LATENCY, THROUGHPUT, CPU, MEMORY, RATIO, CONSENSUS):
        found[f"trend_{WATCHED[at]}"] = float(trend[at])
    found["cost"] = float(level[IO] + level[CPU]) / 2.0
    found["performance"] = float(systems.mean())
    found |= dict(zip(("performance_hde", "performance_pba", "performance_acp"), systems.tolist(), strict=True))
    found["best_performance"], found["last_reward"] = best, reward
    found["trials_used"], found["trials_since_best"] = trials / 20.0, since_best / 20.0
    found["hours_since_change"] = changed_ms / 3_600_000 / 24.0
    assert len(found) == N_STATE
    return np.asarray(np.clip(np.array(list(found.values())), -5.0, 5.0))


def _systems(levels: NDArray[Any]) -> F64:
    """Performance of the three tuned systems, `[..., 3]`."""
    log = np.log(np.maximum(levels, _TINY))
    hde = 0.5 * (log[..., THROUGHPUT] - log[..., LATENCY])
    return np.stack([hde, log[..., ACCURACY], -log[..., CONSENSUS]], axis=-1)
