"""Policies that believe nothing of settings that were not tried, but for the bandit's arms."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.optimizer.grid import Grid
from online_models.optimizer.choice import Limits
from online_models.optimizer.posterior import NOISE
from online_models.optimizer.prior import COST, CPU, MEMORY, PERFORMANCE

F64 = NDArray[np.float64]


class Trying:
    """What simple policies share: the trials, and the best of those that kept the soft limits."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.limits = Limits()

    def begin(self, about: F64, start: F64, rng: Generator) -> None:
        """Forget the trials."""
        self.start, self.rng = start, rng
        self.tried: list[F64] = []
        self.seen: list[F64] = []

    def learn(self, setting: F64, seen: F64) -> None:
        """Remember a trial."""
        self.tried.append(setting)
        self.seen.append(seen)

    def recommend(self) -> F64:
        """The best that was seen to keep the soft limits."""
        seen = np.array(self.seen)
        score = np.where(self.kept(seen), seen[:, PERFORMANCE], seen[:, PERFORMANCE] - 1e3)
        score[0] = max(score[0], seen[0, PERFORMANCE] - 1e2)  # rather what was in force than another that breaks them
        return self.tried[int(np.argmax(score))]

    def kept(self, seen: F64) -> NDArray[np.bool_]:
        """Which of these kept the soft limits, as far as was seen."""
        return np.asarray(
            (seen[:, CPU] <= np.log(self.limits.cpu_pct))
            & (seen[:, MEMORY] <= np.log(self.limits.memory_pct))
            & (seen[:, COST] <= self.seen[0][COST] + np.log1p(self.limits.cost_pct / 100.0))
        )


class Random(Trying):
    """Any setting of the grid, each as likely."""

    def propose(self) -> F64:
        """The start, then anything."""
        if not self.tried:
            return self.start
        return np.array([self.rng.choice(axis) for axis in self.grid.axes])


class Climbing(Trying):
    """Hill climbing: one parameter one place up or down from the best so far; a direction that pays is kept."""

    def begin(self, about: F64, start: F64, rng: Generator) -> None:
        """Forget the trials and shuffle the directions."""
        super().begin(about, start, rng)
        self._directions = [(axis, sign) for axis in range(3) for sign in (-1, 1)]
        rng.shuffle(self._directions)

    def propose(self) -> F64:
        """The best so far, one place further in the next direction that leads somewhere new."""
        if not self.tried:
            return self.start
        best = self.recommend()
        if best is not self.tried[-1] and len(self.tried) > 1:
            self._directions.append(self._directions.pop(0))
        known = {tuple(one.tolist()) for one in self.tried}
        for _ in range(len(self._directions)):
            axis, sign = self._directions[0]
            at = int(np.argmin(np.abs(self.grid.axes[axis] - best[axis]))) + sign
            moved = best.copy()
            moved[axis] = self.grid.axes[axis][min(max(at, 0), len(self.grid.axes[axis]) - 1)]
            if tuple(moved.tolist()) not in known:
                return moved
            self._directions.append(self._directions.pop(0))
        return best


class Bandit(Trying):
    """Thompson sampling over the training contexts' best settings, each with what it did there."""

    @cached_property
    def arms(self) -> tuple[F64, F64, F64]:
        """Settings `[arm, 3]`, mean and variance of their gain over the default."""
        surfaces = self.grid.surfaces()[list(self.grid.training)]
        default = int(np.argmin(np.abs(np.log(self.grid.settings / self.grid.default)).sum(axis=1)))
        allowed = (
            (surfaces[..., CPU] <= np.log(self.limits.cpu_pct))
            & (surfaces[..., MEMORY] <= np.log(self.limits.memory_pct))
            & (surfaces[..., COST] <= surfaces[:, [default], COST] + np.log1p(self.limits.cost_pct / 100.0))
        )
        best = np.unique(np.argmax(np.where(allowed, surfaces[..., PERFORMANCE], -np.inf), axis=1))
        gain = surfaces[:, best, PERFORMANCE] - surfaces[:, [default], PERFORMANCE]
        return self.grid.settings[best], gain.mean(axis=0), gain.var(axis=0) + 1e-4

    def propose(self) -> F64:
        """The arm that a draw from each one's posterior has best."""
        if not self.tried:
            return self.start
        settings, mean, variance = self.arms
        gains = np.array(self.seen)[:, PERFORMANCE] - self.seen[0][PERFORMANCE]
        bad = ~self.kept(np.array(self.seen))
        draws = np.empty(len(settings))
        for k, setting in enumerate(settings):
            own = np.array([(one == setting).all() for one in self.tried])
            if (own & bad).any():
                draws[k] = -np.inf
                continue
            precision = 1.0 / variance[k] + own.sum() / NOISE[PERFORMANCE] ** 2
            middle = (mean[k] / variance[k] + gains[own].sum() / NOISE[PERFORMANCE] ** 2) / precision
            draws[k] = self.rng.normal(middle, precision**-0.5)
        return np.asarray(settings[int(np.argmax(draws))]) if np.isfinite(draws).any() else self.start
