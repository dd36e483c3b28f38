"""What trials teach: beliefs of every setting, taken in one trial at a time.

A trial adds a row to the Cholesky factor of what was tried, as far as all settings share in it: what is
expected and how surely follows from the rows before it, and nothing is solved anew.

References
----------
C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), ch. 2, A.4.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.optimizer.prior import PERFORMANCE, Prior

F64 = NDArray[np.float64]

NOISE: Final = np.array([0.03, 0.012, 0.012, 0.012])
"""Standard deviations of a trial's logarithms that are reckoned with, by metric."""

_ROOM: Final = 32
_VARIANCE: Final = NOISE**2


class Trials(NamedTuple):
    """What was tried: settings `[n]`, and the logarithms seen, `[n, metric]`. The first one is where tuning began."""

    setting: NDArray[np.intp]
    seen: F64


class Posterior:
    """Beliefs after some trials.

    Parameters
    ----------
    prior
        Before any.
    trials
        To begin with.
    """

    def __init__(self, prior: Prior, trials: Trials | None = None) -> None:
        self.prior = prior
        self.mean: F64 = np.array(prior.mean.T, order="C")
        """Expected logarithms, `[metric, s]`."""
        self.own: F64 = np.diagonal(prior.covariance[PERFORMANCE]).copy()
        """Variance of performance, `[s]`."""
        self.n = 0
        self.idle = 0
        """Trials since something was tried for the first time."""
        self.setting = np.zeros(_ROOM, np.intp)
        self.rows: F64 = np.empty((len(self.mean), _ROOM, len(self.own)))
        for setting, seen in zip(*(trials or ((), ())), strict=True):
            self.take(int(setting), seen)

    def take(self, setting: int, seen: F64) -> None:
        """Take a trial in: a setting and what it showed, logarithms `[metric]`; NaN is what nobody saw."""
        n = self.n
        if n == len(self.setting):
            self.setting = np.concatenate([self.setting, np.zeros(n, np.intp)])
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)], axis=1)
        known = _take(self.prior.covariance, self.rows, self.mean, self.own, self.setting, n, setting, seen, _VARIANCE)
        self.idle = self.idle + 1 if known else 0
        self.n = n + 1

    @property
    def sd(self) -> F64:
        """Standard deviation of performance, `[s]`."""
        return np.sqrt(np.maximum(self.own, 1e-12))


@njit(cache=True)
def _take(
    covariance: F64, rows: F64, mean: F64, own: F64, setting: NDArray[np.intp], n: int, at: int, seen: F64,
    variance: F64,
) -> Any:  # fmt: skip
    """Condition on one more trial; whether its setting was tried before."""
    for metric in range(len(mean)):
        row = rows[metric, n]
        if np.isnan(seen[metric]):
            row[:] = 0.0
            continue
        row[:] = covariance[metric, at]
        for j in range(n):
            share = rows[metric, j, at]
            before = rows[metric, j]
            for s in range(len(row)):
                row[s] -= share * before[s]
        scale = 1.0 / np.sqrt(row[at] + variance[metric])
        step = (seen[metric] - mean[metric, at]) * scale
        for s in range(len(row)):
            row[s] *= scale
            mean[metric, s] += row[s] * step
        if metric == PERFORMANCE:
            for s in range(len(row)):
                own[s] -= row[s] * row[s]
    known = False
    for j in range(n):
        known = known or setting[j] == at
    setting[n] = at
    return known
