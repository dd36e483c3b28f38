"""What to try next: what is expected to improve most among what is safe.

Safe is what is believed good enough by some standard deviations. A choice that only repeats what was tried risks
nothing; what was not risked is saved, until it is enough for something that promises much.

References
----------
Y. Sui et al., Safe exploration for optimization with Gaussian processes, ICML 2015.
"""

from __future__ import annotations

from functools import lru_cache
from math import erfc
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtri

from online_models.optimizer.posterior import NOISE, Posterior
from online_models.optimizer.prior import COST, CPU, MEMORY, PERFORMANCE
from schemas.optimizer import MAX_COST_INCREASE_PCT, MAX_CPU_PCT, MAX_MEMORY_PCT

F64 = NDArray[np.float64]

SAFETY: Final = 0.3
"""How many standard deviations off a setting must still be good enough to be tried."""

CAUTION: Final = 1.0
"""The same where a context's features are not told, or not all of them."""

MAX_DROP: Final = 0.1
"""Of performance below the best known that a trial may risk: 10 % is what counts as unsafe.

This and the constants around it were chosen on training contexts only: every third of HDE's and PBA's and every
sixth of the consensus contexts judged what was learned from the others."""

SAVED: Final = 0.05
"""Of risk, for each trial of something known: the chance of more than `MAX_DROP` that another trial may take."""

MOST_SAVED: Final = 0.5

MARGIN: Final = 0.98
"""Of a soft limit that is used. In a fifth of the consensus contexts the best setting costs 9.7 % more, of 10 %
allowed: 97 % would leave it out (80 instead of 90 % of runs on contexts set aside), 99.5 % finds no more."""

KEPT: Final = 0.995
"""Of a soft limit, below which a tried setting may be kept."""

LEAST_GAIN: Final = 0.0005
"""Expected improvement under which nothing more is tried."""

LEAST_RISKED: Final = 0.005
"""Expected improvement under which nothing saved is risked."""

LEAST_TOLD: Final = 0.002
"""Share of a promising setting's variance that trying a safe one has to remove."""

_LOWEST: Final = float(np.log(1.0 - MAX_DROP))
_DENSITY: Final = float(1.0 / np.sqrt(2.0 * np.pi))
_NOISE: Final = float(NOISE[PERFORMANCE] ** 2)


class Limits(NamedTuple):
    """Soft limits; `cost_pct` is an increase over the start."""

    memory_pct: float = MAX_MEMORY_PCT
    cpu_pct: float = MAX_CPU_PCT
    cost_pct: float = MAX_COST_INCREASE_PCT


class Choice(NamedTuple):
    """A setting, and what is expected of it against the best one tried, as logarithms."""

    setting: int
    gain: float
    sd: float
    improvement: float


def incumbent(posterior: Posterior, limits: Limits) -> int:
    """The best setting that was tried and kept the soft limits; the first one if none did."""
    return int(_incumbent(posterior.mean, posterior.setting, posterior.n, _most(limits, KEPT)))


def choose(posterior: Posterior, limits: Limits) -> Choice:
    """The safe setting with the greatest expected improvement; the incumbent when none is worth a trial."""
    safety = SAFETY if posterior.prior.whole else CAUTION
    found = _choose(
        posterior.mean, posterior.own, posterior.rows[PERFORMANCE], posterior.prior.covariance[PERFORMANCE],
        posterior.setting, posterior.n, _most(limits, KEPT), _most(limits, MARGIN), safety,
        _leniency(posterior.idle, safety),
    )  # fmt: skip
    return Choice(*found)


@lru_cache(maxsize=64)
def _leniency(idle: int, safety: float) -> float:
    """How many standard deviations off are enough for what so many trials without risk have saved."""
    return min(-float(ndtri(min(SAVED * idle, MOST_SAVED))), safety) if idle else safety


@lru_cache(maxsize=64)
def _most(limits: Limits, part: float) -> tuple[float, float, float]:
    """The greatest logarithms of CPU, memory and of cost over the start's that keep a part of the limits."""
    cpu, memory = float(np.log(part * limits.cpu_pct)), float(np.log(part * limits.memory_pct))
    return cpu, memory, float(np.log1p(part * limits.cost_pct / 100.0))


@njit(cache=True)
def _keeps(mean: F64, s: int, start: int, most: tuple[float, float, float]) -> Any:
    dearer = mean[COST, s] - mean[COST, start]
    return mean[CPU, s] <= most[0] and mean[MEMORY, s] <= most[1] and dearer <= most[2]


@njit(cache=True)
def _incumbent(mean: F64, setting: NDArray[np.intp], n: int, most: tuple[float, float, float]) -> Any:
    best = -1
    for k in range(n):
        s = setting[k]
        if _keeps(mean, s, setting[0], most):
            ahead = best < 0 or mean[PERFORMANCE, s] > mean[PERFORMANCE, best]
            if ahead or (s < best and mean[PERFORMANCE, s] == mean[PERFORMANCE, best]):
                best = s
    return best if best >= 0 else setting[0]


@njit(cache=True)
def _shared(covariance: F64, rows: F64, n: int, at: int) -> Any:
    """Covariance of all settings' performance with one's, given the trials, `[s]`."""
    found = covariance[at].copy()
    for j in range(n):
        share = rows[j, at]
        row = rows[j]
        for s in range(len(found)):
            found[s] -= share * row[s]
    return found


@njit(cache=True)
def _choose(
    mean: F64, own: F64, rows: F64, covariance: F64, setting: NDArray[np.intp], n: int,
    kept: tuple[float, float, float], most: tuple[float, float, float], safety: float, lenient: float,
) -> Any:  # fmt: skip
    """Fields of a `Choice`."""
    count, start, best = len(own), setting[0], _incumbent(mean, setting, n, kept)
    # Against the incumbent, what both have in common is no uncertainty.
    shared = _shared(covariance, rows, n, best)
    gain, sd = np.empty(count), np.empty(count)
    allowed = np.empty(count, np.bool_)
    own_best = max(own[best], 1e-12)
    for s in range(count):
        gain[s] = mean[PERFORMANCE, s] - mean[PERFORMANCE, best]
        sd[s] = np.sqrt(max(max(own[s], 1e-12) + own_best - 2.0 * shared[s], 1e-12))
        allowed[s] = _keeps(mean, s, start, most)
    if not _keeps(mean, best, start, kept):
        # What is in force breaks a soft limit: first out of there, to where performance should suffer least.
        at = -1
        for s in range(count):
            if allowed[s] and (at < 0 or gain[s] - safety * sd[s] > gain[at] - safety * sd[at]):
                at = s
        if at >= 0:
            return at, gain[at], sd[at], 1.0
    at, target, risked = best, best, best
    most_at = most_target = _improvement(0.0, sd[best]) if allowed[best] else -1.0
    most_risked = LEAST_RISKED
    for s in range(count):
        if not allowed[s]:
            continue
        safe, bearable = gain[s] - safety * sd[s] >= _LOWEST, gain[s] - lenient * sd[s] >= _LOWEST
        # It is never more than this, which costs less to know.
        bound = max(gain[s], 0.0) + sd[s] * _DENSITY
        if bound <= most_target and not (safe and bound > most_at) and not (bearable and bound > most_risked):
            continue
        worth = _improvement(gain[s], sd[s])
        if worth > most_target:
            target, most_target = s, worth
        if safe and worth > most_at:
            at, most_at = s, worth
        if bearable and worth > most_risked:
            risked, most_risked = s, worth
    if most_at < LEAST_GAIN:
        at = best
        if most_target >= LEAST_GAIN:
            at = _tell(_shared(covariance, rows, n, target), own, gain - safety * sd >= _LOWEST, allowed, target, best)
    if risked != best and lenient < safety and (setting[:n] == at).any():
        at = risked
    return at, gain[at], sd[at], max(_improvement(gain[at], sd[at]), 0.0) if allowed[at] else 0.0


@njit(cache=True)
def _tell(shared: F64, own: F64, safe: NDArray[np.bool_], allowed: NDArray[np.bool_], target: int, best: int) -> Any:
    """The safe setting that tells most of the most promising one; the incumbent when that tells too little."""
    found, most = best, LEAST_TOLD
    for s in range(len(own)):
        if s == best or (safe[s] and allowed[s]):
            told = shared[s] ** 2 / (max(own[s], 1e-12) + _NOISE) / max(own[target], 1e-12)
            if told > most:
                found, most = s, told
    return found


@njit(cache=True)
def _improvement(gain: float, sd: float) -> Any:
    """Expected, of a normal variable over zero."""
    z = gain / sd
    return 0.5 * gain * erfc(-z * np.sqrt(0.5)) + sd * np.exp(-0.5 * z * z) * _DENSITY
