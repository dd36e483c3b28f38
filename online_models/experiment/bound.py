"""How extreme a statistic must be at each of several looks, so that all looks together keep the level.

A test at 1.96 that is looked at 28 times rejects a true null in 28 % of all experiments, not
in 5 %. Here the level is *spent*: at each look only the share that a spending function
allows for the time that has passed, given that no earlier look has ended the experiment. The looks'
number and times need not be kept to; only the share spent by then matters.

References
----------
K. K. G. Lan, D. L. DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70 (1983).
P. Armitage, C. K. McPherson, B. C. Rowe, Repeated significance tests on accumulating data, JRSS A 132 (1969).
K. K. G. Lan, D. M. Reboussin, D. L. DeMets, Information and information fractions for design and
sequential monitoring, Communications in Statistics 23 (1994): spending by calendar time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

Spending = Literal["obrien_fleming", "pocock"]

MAX_Z: Final = 8.5
"""A boundary is not computed beyond: a normal statistic gets there once in 1e17."""

_LEAST_NODES: Final = 96
_MOST_NODES: Final = 640


def spent(time: float, level: float, spending: Spending = "obrien_fleming") -> float:
    """How much of a two-sided level is spent by a share `time`, 0..1, of the plan.

    `obrien_fleming` spends next to nothing early, `pocock` nearly evenly; each side spends its half.

    >>> round(spent(0.5, 0.05), 5), round(spent(1.0, 0.05), 5), round(spent(0.5, 0.05, "pocock"), 5)
    (0.00305, 0.05, 0.03101)
    """
    share = min(max(time, 0.0), 1.0)
    if share == 0.0:
        return 0.0
    if spending == "pocock":
        return float(level * np.log1p((np.e - 1.0) * share))
    return float(4.0 * ndtr(ndtri(level / 4.0) / np.sqrt(share)))


class _Density(NamedTuple):
    """Where the score process is when no boundary was crossed: values `[m]`, and their probabilities."""

    value: NDArray[np.float64]
    mass: NDArray[np.float64]


class _Looked(NamedTuple):
    """What some looks lead to: their boundaries, the level they spent, and where the process is."""

    bounds: tuple[float, ...]
    gone: float
    density: _Density | None


def boundaries(
    information: tuple[float, ...], times: tuple[float, ...], level: float, spending: Spending = "obrien_fleming"
) -> tuple[float, ...]:
    """Boundaries of |z| for the looks so far.

    Parameters
    ----------
    information
        What each look knew, in any unit: increasing. It decides how looks correlate.
    times
        Share of the plan that had passed at each look, 0..1, increasing. It decides what may be spent.
    level
        Two-sided; half of it is the probability of an upper crossing alone.
    spending
        The spending function.

    Raises
    ------
    ValueError
        When information does not increase.

    Examples
    --------
    The published boundaries of five equal looks:

    >>> [round(z, 2) for z in boundaries((1, 2, 3, 4, 5), (0.2, 0.4, 0.6, 0.8, 1.0), 0.05)]
    [4.88, 3.36, 2.68, 2.29, 2.03]
    """
    if any(later <= earlier for earlier, later in pairwise((0.0, *information))):
        raise ValueError(f"information must increase from look to look: {information}")
    return _looked(information, times, level, spending).bounds


def crossing_probability(information: Sequence[float], bounds: Sequence[float]) -> float:
    """Probability that |z| reaches a boundary at any of the looks when there is no effect.

    >>> round(crossing_probability([1, 2, 3, 4, 5], [1.96] * 5), 3)  # Armitage et al., table 2
    0.142
    """
    density: _Density | None = None
    before, total = 0.0, 0.0
    for at, z in zip(information, bounds, strict=True):
        total += _crossing(density, before, at)(z)
        density = _advance(density, before, at, z)
        before = at
    return total


@lru_cache(maxsize=512)
def _looked(information: tuple[float, ...], times: tuple[float, ...], level: float, spending: Spending) -> _Looked:
    """The looks so far, from those before the last: a look costs one step, however many there were."""
    if not information:
        return _Looked((), 0.0, None)
    before = _looked(information[:-1], times[:-1], level, spending)
    earlier, at = information[-2] if len(information) > 1 else 0.0, information[-1]
    crossing = _crossing(before.density, earlier, at)
    z = _boundary(crossing, spent(times[-1], level, spending) - before.gone)
    return _Looked((*before.bounds, z), before.gone + crossing(z), _advance(before.density, earlier, at, z))


def _boundary(crossing: Callable[[float], float], budget: float) -> float:
    if crossing(MAX_Z) >= budget:
        return MAX_Z
    return float(brentq(lambda z: crossing(z) - budget, 0.0, MAX_Z, xtol=1e-9))


def _crossing(density: _Density | None, before: float, at: float) -> Callable[[float], float]:
    """Probability of being outside ±z at a look, and inside at all before, as a function of z."""
    if density is None:
        return lambda z: float(2.0 * ndtr(-z))
    step = np.sqrt(at - before)
    scale = np.sqrt(at)

    def outside(z: float) -> float:
        above = ndtr((density.value - z * scale) / step)
        below = ndtr((-z * scale - density.value) / step)
        return float(density.mass @ (above + below))

    return outside


def _advance(density: _Density | None, before: float, at: float, z: float) -> _Density:
    """The process at a look, on Gauss-Legendre nodes between its boundaries."""
    step = np.sqrt(at - before)
    width = min(z, MAX_Z) * np.sqrt(at)
    # The nodes must resolve what one step adds.
    node, weight = _nodes(int(np.clip(np.ceil(6.0 * width / step / 32) * 32, _LEAST_NODES, _MOST_NODES)))
    value, weight = node * width, weight * width
    if density is None:
        return _Density(value, weight * _normal(value / step) / step)
    mass = density.mass @ (_normal((value - density.value[:, None]) / step) / step)
    return _Density(value, weight * mass)


@cache
def _nodes(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.polynomial.legendre.leggauss(count)


def _normal(z: NDArray[np.float64]) -> NDArray[np.float64]:
    density: NDArray[np.float64] = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return density
