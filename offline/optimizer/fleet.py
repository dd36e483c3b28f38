"""All three systems at once, many copies side by side: what the network is trained on.

A copy has one training context of each grid. Its performance is the mean of the three systems'
logarithms against where it began; an action changes one of the nine parameters by a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.optimizer.environment import NOISE
from offline.optimizer.grid import Grid
from online_models.optimizer.choice import MARGIN
from online_models.optimizer.prior import COST, CPU, MEMORY, PERFORMANCE
from online_models.optimizer.space import DEFAULT, GROUPS, MAXIMUM, MINIMUM, N_STATE, STATE, act, snap, to_unit
from schemas.optimizer import MAX_COST_INCREASE_PCT, MAX_CPU_PCT, MAX_MEMORY_PCT

F64 = NDArray[np.float64]

SCALE: Final = 10.0
"""Reward of an improvement by a whole logarithm."""

PENALTY: Final = 1.0
"""For each soft limit that a step breaks."""

_AT: Final = {name: k for k, name in enumerate(STATE)}


class Reading(NamedTuple):
    """What is measured: `[n, group]` each, logarithms; performance and cost against the start."""

    performance: F64
    cost: F64
    cpu: F64
    memory: F64


class Fleet:
    """`n` copies.

    Parameters
    ----------
    grids
        By name, of all three systems.
    n
        How many.
    rng
        Source of contexts, starts and noise.
    """

    def __init__(self, grids: Mapping[str, Grid], n: int, rng: Generator) -> None:
        self._grids, self._n, self._rng = grids, n, rng
        self._context = np.zeros((n, len(GROUPS)), np.intp)
        self.reset()

    def reset(self) -> F64:
        """New contexts; half of the copies begin at the defaults, the others anywhere. Returns states `[n, 35]`."""
        for k, name in enumerate(GROUPS):
            self._context[:, k] = self._rng.choice(list(self._grids[name].training), self._n)
        anywhere = snap(self._rng.uniform(MINIMUM, MAXIMUM, (self._n, len(DEFAULT))))
        self.values = np.where(self._rng.random(self._n)[:, None] < 0.5, DEFAULT, anywhere)
        self._start = np.zeros((self._n, len(GROUPS), 4))
        self._start = self._log()
        self._now = self._read()
        self._before = self._now
        self._best = np.zeros(self._n)
        self._reward = np.zeros(self._n)
        self._steps = np.zeros(self._n)
        self._since = np.zeros(self._n)
        return self.state()

    def step(self, action: NDArray[np.integer]) -> tuple[F64, F64]:
        """Take an action each: states `[n, 35]` and rewards `[n]`."""
        self.values = act(self.values, action)
        self._before, self._now = self._now, self._read()
        gain = self._now.performance.mean(axis=1) - self._before.performance.mean(axis=1)
        dearer = self._now.cost.max(axis=1) - np.log1p(MAX_COST_INCREASE_PCT / 100.0)
        broken = (self._now.cpu.max(axis=1) > np.log(MARGIN * MAX_CPU_PCT)).astype(float)
        broken += self._now.memory.max(axis=1) > np.log(MARGIN * MAX_MEMORY_PCT)
        broken += dearer > 0
        self._reward = SCALE * gain - PENALTY * broken - np.maximum(dearer, 0.0)
        level = self._now.performance.mean(axis=1)
        self._since = np.where(level > self._best, 0.0, self._since + 1.0)
        self._best = np.maximum(self._best, level)
        self._steps = self._steps + 1.0
        return self.state(), self._reward

    def state(self) -> F64:
        """Inputs of the policy; what no grid measures stays 0, as it is before anything changes."""
        return make_state(self.values, self._now, self._before, self._best, self._reward, self._steps, self._since)

    def _log(self) -> F64:
        found = np.empty((self._n, len(GROUPS), 4))
        for k, (name, where) in enumerate(GROUPS.items()):
            found[:, k] = self._grids[name].at(self._context[:, k], self.values[:, where])
        return found

    def _read(self) -> Reading:
        log = self._log() + NOISE * self._rng.standard_normal((self._n, len(GROUPS), 4))
        off = log - self._start
        return Reading(off[..., PERFORMANCE], off[..., COST], log[..., CPU], log[..., MEMORY])


def make_state(values: F64, now: Reading, before: Reading, best: F64, reward: F64, steps: F64, since: F64) -> F64:
    """The 35 inputs of `optimizer_space.STATE`, `[n, 35]`, from what grids measure."""
    x = np.zeros((len(values), N_STATE))
    x[:, :9] = to_unit(values)
    hde, pba, acp = now.performance.T
    x[:, _AT["level_latency_mean"]] = -(hde + acp) / 2.0
    x[:, _AT["level_throughput_mean"]] = hde
    x[:, _AT["level_prediction_accuracy"]] = pba
    x[:, _AT["level_consensus_time"]] = -acp
    x[:, _AT["level_cpu_usage"]] = np.exp(now.cpu.max(axis=1)) / MAX_CPU_PCT
    x[:, _AT["level_memory_usage"]] = np.exp(now.memory.max(axis=1)) / MAX_MEMORY_PCT
    x[:, _AT["trend_throughput_mean"]] = hde - before.performance[:, 0]
    x[:, _AT["trend_consensus_time"]] = before.performance[:, 2] - acp
    x[:, _AT["trend_cpu_usage"]] = (now.cpu - before.cpu).max(axis=1)
    x[:, _AT["cost"]] = now.cost.max(axis=1)
    x[:, _AT["performance"]] = now.performance.mean(axis=1)
    x[:, _AT["performance_hde"]], x[:, _AT["performance_pba"]], x[:, _AT["performance_acp"]] = hde, pba, acp
    x[:, _AT["best_performance"]] = best
    x[:, _AT["last_reward"]] = reward / SCALE
    x[:, _AT["trials_used"]] = steps / 20.0
    x[:, _AT["trials_since_best"]] = since / 20.0
    return np.clip(x, -5.0, 5.0)
