"""Policies: what to try next, given what was seen. All of them have the same interface and the same budget.

Every policy may learn beforehand from the grid's training contexts, and is told what is known of a
context before any trial. `learned`, `live`, `untold`, `matern` and `oracle` try only what they believe to be
safe; `live` is what workers run, `oracle` a ceiling.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Final, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.optimizer.grid import Grid
from offline.optimizer.simple import Bandit, Climbing, Random
from online_models.optimizer.choice import Limits, choose, incumbent
from online_models.optimizer.context import live_part, unit_of
from online_models.optimizer.evidence import Evidence
from online_models.optimizer.posterior import Posterior, Trials
from online_models.optimizer.prior import PERFORMANCE, Prior

F64 = NDArray[np.float64]


class Policy(Protocol):
    """What the bench asks of a policy."""

    def begin(self, about: F64, start: F64, rng: Generator) -> None:
        """A context begins: its features, and the setting in force."""
        ...

    def propose(self) -> F64:
        """What to try next, `[3]`."""
        ...

    def learn(self, setting: F64, seen: F64) -> None:
        """What a trial showed: logarithms `[metric]`."""
        ...

    def recommend(self) -> F64:
        """The setting to stay with, of those tried."""
        ...


Make = Callable[[Grid], Policy]


class Learned:
    """The safe contextual process `online_models.optimizer.prior`, told all features of a context."""

    def __init__(self, grid: Grid) -> None:
        train = list(grid.training)
        self._prior = Prior.learn(grid.settings, grid.surfaces()[train], grid.context[train], grid.features)

    def begin(self, about: F64, start: F64, rng: Generator) -> None:
        """Weigh the known contexts by likeness."""
        self._begin(self._prior.near(about), start)

    def propose(self) -> F64:
        """The start, then the safe setting with the greatest expected improvement."""
        if not self._setting:
            return self._start
        return np.asarray(self._prior.values[choose(self._posterior, Limits()).setting])

    def learn(self, setting: F64, seen: F64) -> None:
        """Remember a trial."""
        at = self._place.get(setting.tobytes())
        self._setting.append(self._prior.nearest(setting) if at is None else at)
        self._seen.append(seen)
        self._posterior.take(self._setting[-1], seen)

    def recommend(self) -> F64:
        """The best of those tried, after smoothing."""
        return np.asarray(self._prior.values[incumbent(self._posterior, Limits())])

    def _begin(self, prior: Prior, start: F64) -> None:
        self._start = start
        self._setting: list[int] = []
        self._seen: list[F64] = []
        self._posterior = Posterior(prior)

    @cached_property
    def _place(self) -> dict[bytes, int]:
        return {one.tobytes(): k for k, one in enumerate(self._prior.values)}

    @property
    def _trials(self) -> Trials:
        return Trials(np.array(self._setting, np.intp), np.array(self._seen))


class Live(Learned):
    """The same as workers run it: told what system metrics tell of a context, `online_models.optimizer.context`."""

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        self._system = grid.name

    def begin(self, about: F64, start: F64, rng: Generator) -> None:
        """Keep the features that workers know."""
        self._about = live_part(self._system, self._prior.names, about)
        self._begin(self._prior, start)
        self._told = -1
        self._untold = self._evidence = Evidence(self._prior)

    def learn(self, setting: F64, seen: F64) -> None:
        """Remember a trial; what the setting in force does, which also tells of the context, is told anew with it."""
        super().learn(setting, seen)
        self._untold.take(self._setting[-1], seen)
        if self._evidence is not self._untold:
            self._evidence.take(self._setting[-1], seen)
        best = incumbent(self._posterior, Limits())
        if best != self._told:
            self._told = best
            self._believe(self._near(best))
        if self._evidence.belies(self._untold):
            self._believe(self._prior)

    def _believe(self, prior: Prior) -> None:
        if prior is not self._posterior.prior:
            self._posterior = Posterior(prior, self._trials)
            self._evidence = self._untold if prior is self._prior else Evidence(prior, self._trials)

    def _near(self, best: int) -> Prior:
        trials = self._trials
        level = float(trials.seen[trials.setting == best, PERFORMANCE].mean())
        shown = not np.isnan(unit_of(self._system, self._prior.values[best]))
        return self._prior.near(self._about, best, level if shown else np.nan)


class Untold(Learned):
    """The same, told nothing: where system metrics do not come or lie outside of what was measured."""

    def begin(self, about: F64, start: F64, rng: Generator) -> None:
        """Begin from all contexts alike."""
        super().begin(np.full(len(about), np.nan), start, rng)


class Oracle(Learned):
    """The same rules for one who knows what each setting does here: a ceiling.

    It may not recommend what it has not tried, and what it tries is measured with the others' noise; of soft
    limits it uses as much as they do.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        self._context, self._surfaces = grid.context, grid.surfaces()

    def begin(self, about: F64, start: F64, rng: Generator) -> None:
        """Look the context up."""
        here = int(np.argmin(((self._context - about) ** 2).sum(axis=1)))
        sure = np.broadcast_to(1e-6 * np.eye(len(self._surfaces[here])), self._prior.covariance.shape)
        self._begin(replace(self._prior, mean=self._surfaces[here], covariance=np.array(sure), whole=True), start)


class Matern(Learned):
    """The same rules with a Gaussian process of scikit-learn: a Matern kernel fitted to the training contexts.

    Its kernel can say how smooth a surface is, not what its shape was elsewhere; that is the difference.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        from sklearn.gaussian_process import GaussianProcessRegressor  # two seconds to import
        from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel
        from sklearn.gaussian_process.kernels import Matern as Kernel

        rng = np.random.default_rng(0)
        place = np.log(grid.settings)
        x = (place - place.min(axis=0)) / (place.max(axis=0) - place.min(axis=0))
        surfaces = grid.surfaces()[list(grid.training)]
        covariance = np.empty((surfaces.shape[2], len(x), len(x)))
        for metric in range(surfaces.shape[2]):
            some = rng.choice(len(x), 60, replace=False)
            kernel = ConstantKernel(1.0) * Kernel(np.ones(3), (0.05, 20.0), nu=1.5) + WhiteKernel(1e-3)
            fitted = GaussianProcessRegressor(kernel, random_state=0)
            y = surfaces[:, some, metric].T
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a length at its bound is an answer too
                fitted.fit(x[some], y - y.mean(axis=0))
            covariance[metric] = fitted.kernel_.k1(x)
        mean = np.broadcast_to(surfaces.mean(axis=(0, 1)), (len(x), surfaces.shape[2]))
        self._prior = Prior(
            grid.settings, np.array(mean), covariance + 4.0, surfaces, grid.context, grid.features, True
        )

    def begin(self, about: F64, start: F64, rng: Generator) -> None:
        """Begin from the kernel alone."""
        self._begin(self._prior, start)


POLICIES: Final[dict[str, Make]] = {
    "learned": Learned,
    "live": Live,
    "untold": Untold,
    "oracle": Oracle,
    "matern": Matern,
    "bandit": Bandit,
    "climbing": Climbing,
    "random": Random,
}
"""By name; `dqn` is made by `offline.optimizer.dqn`."""

DEFAULT_POLICY: Final = "live"
