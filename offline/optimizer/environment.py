"""A task: one context of a measured grid, what a trial of a setting shows, and how good it truly is."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.optimizer.grid import Grid
from online_models.optimizer.choice import Limits
from online_models.optimizer.prior import COST, CPU, MEMORY, PERFORMANCE

F64 = NDArray[np.float64]

NOISE: Final = np.array([0.02, 0.01, 0.01, 0.01])
"""Of a trial's logarithms, `METRICS`: what minutes of production differ by."""

UNSAFE: Final = 0.10
"""A trial that is worse than the incumbent by more than this is unsafe."""


class Task:
    """Tuning in one context.

    Parameters
    ----------
    grid
        What was measured.
    context
        Which one.
    start
        The setting in force, `[3]`; the cost limit is an increase over its cost.
    """

    def __init__(self, grid: Grid, context: int, start: F64) -> None:
        self.grid, self.context, self.start = grid, context, start
        self.about = grid.context[context]
        self._at_start = self._log(start)

    @cached_property
    def optimum(self) -> float:
        """The best performance among settings that keep the soft limits; the start's if none does. Logarithm."""
        surface = self.grid.surfaces()[self.context]
        kept = surface[self.keeps(surface), PERFORMANCE]
        return float(kept.max()) if len(kept) else float(self._at_start[PERFORMANCE])

    def keeps(self, log: F64, limits: Limits = Limits()) -> NDArray[np.bool_]:  # noqa: B008
        """Whether logarithms of metrics, `[..., metric]`, keep the soft limits."""
        return np.asarray(
            (log[..., CPU] <= np.log(limits.cpu_pct))
            & (log[..., MEMORY] <= np.log(limits.memory_pct))
            & (log[..., COST] <= self._at_start[COST] + np.log1p(limits.cost_pct / 100.0) + 1e-9)
        )

    def evaluate(self, setting: F64, rng: Generator) -> F64:
        """What a trial shows: logarithms `[metric]`, with noise."""
        return self._log(setting) + NOISE * rng.standard_normal(len(NOISE))

    def share(self, setting: F64) -> float:
        """True performance over the optimum's; 0 for a setting that breaks a soft limit which the start keeps."""
        log = self._log(setting)
        if not self.keeps(log) and self.keeps(self._at_start):
            return 0.0
        return min(float(np.exp(log[PERFORMANCE] - self.optimum)), 1.0)

    def gain_share(self, setting: F64) -> float:
        """The part of what there was to gain over the start that was gained, at most 1; 1 when there was nothing."""
        whole = self.optimum - self._at_start[PERFORMANCE]
        if whole < np.log(1.01):
            return 1.0
        won = np.expm1(self._log(setting)[PERFORMANCE] - self._at_start[PERFORMANCE])
        return min(float(won / np.expm1(whole)), 1.0)

    def is_unsafe(self, setting: F64, incumbent: F64) -> bool:
        """Whether a trial was worse than the incumbent by more than 10 %."""
        drop = self._log(setting)[PERFORMANCE] - self._log(incumbent)[PERFORMANCE]
        return bool(drop < np.log(1.0 - UNSAFE))

    def breaks_limit(self, setting: F64) -> bool:
        """Whether a setting breaks a soft limit that the start keeps."""
        return bool(self.keeps(self._at_start) and not self.keeps(self._log(setting)))

    def _log(self, setting: F64) -> F64:
        return np.asarray(self.grid.at(np.array([self.context]), setting[None])[0])
