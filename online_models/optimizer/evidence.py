"""Whether trials belie what was told of a context: how likely they are under beliefs with it and without.

Likelihoods are of trials against the first one, because a level common to all settings is unknown, and are
kept as a Cholesky factor that a trial adds one row to.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.optimizer.posterior import NOISE, Trials
from online_models.optimizer.prior import COST, PERFORMANCE, Prior

F64 = NDArray[np.float64]

DOUBT: Final = 3.0
"""By how much trials must be likelier, as a logarithm: twenty times."""

_JUDGED: Final = (PERFORMANCE, COST)
_ROOM: Final = 32


class Evidence:
    """Likelihood of some trials' performance and cost under beliefs.

    Parameters
    ----------
    prior
        The beliefs.
    trials
        To begin with.
    """

    def __init__(self, prior: Prior, trials: Trials | None = None) -> None:
        self.value = 0.0
        """Logarithm, but for a constant of the number of trials."""
        self._prior = prior
        self._mean = np.ascontiguousarray(prior.mean)
        self._n = 0
        self._setting = np.zeros(_ROOM, np.intp)
        self._first = np.zeros(self._mean.shape[1])
        self._factor, self._rest = np.empty((len(_JUDGED), _ROOM, _ROOM)), np.empty((len(_JUDGED), _ROOM))
        for setting, seen in zip(*(trials or ((), ())), strict=True):
            self.take(int(setting), seen)

    def take(self, setting: int, seen: F64) -> None:
        """Take a trial in: a setting and what it showed, logarithms `[metric]`; NaN is what nobody saw."""
        n = self._n
        if n == len(self._setting):
            self._setting = np.pad(self._setting, (0, n))
            self._factor, self._rest = (
                np.pad(self._factor, ((0, 0), (0, n), (0, n))),
                np.pad(self._rest, ((0, 0), (0, n))),
            )
        self._setting[n] = setting
        self._n = n + 1
        if not n:
            self._first = np.array(seen, np.float64)
            return
        for k, metric in enumerate(_JUDGED):
            level = self._first[metric] - self._mean[self._setting[0], metric]
            left = seen[metric] - self._mean[setting, metric] - level
            if np.isnan(left):  # a row that says nothing of those after it
                self._factor[k, n, :n], self._factor[k, n, n], self._rest[k, n] = 0.0, np.inf, 0.0
                continue
            self.value += _take(
                self._prior.covariance[metric], self._setting, n, left, NOISE[metric] ** 2, self._factor[k],
                self._rest[k],
            )  # fmt: skip

    def belies(self, untold: Evidence) -> bool:
        """Whether the trials are so much likelier untold that what these beliefs were told must be wrong."""
        return self.value < untold.value - DOUBT


@njit(cache=True)
def _take(
    covariance: F64, setting: NDArray[np.intp], n: int, left: float, variance: float, factor: F64, rest: F64
) -> Any:
    """Logarithm of the likelihood of trial `n`, given those before it."""
    first, at = setting[0], setting[n]
    row = factor[n]
    # Against the first trial, whose level and noise all have in common.
    shared = covariance[first, first] + variance - covariance[at, first]
    square = covariance[at, at] + variance - covariance[at, first] + shared
    for j in range(1, n):
        other = setting[j]
        total = covariance[at, other] - covariance[first, other] + shared
        before = factor[j]
        for k in range(1, j):
            total -= row[k] * before[k]
        row[j] = total / before[j]
        left -= row[j] * rest[j]
        square -= row[j] * row[j]
    row[n] = np.sqrt(square)
    rest[n] = left / row[n]
    return -0.5 * rest[n] * rest[n] - np.log(row[n])
