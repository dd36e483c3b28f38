"""Tests whose unit is the link: requests of one link share its shocks and are not independent.

A test that takes requests for independent finds differences that are the luck of a few
links. Here the spread is measured between links, however requests depend on each other within one.

References
----------
K.-Y. Liang, S. L. Zeger, Longitudinal data analysis using generalized linear models, Biometrika 73 (1986).
R. M. Bell, D. F. McCaffrey, Bias reduction in standard errors for linear regression with multi-stage samples,
Survey Methodology 28 (2002): the correction by leverage.
A. V. Carter, K. T. Schnepel, D. G. Steigerwald, Asymptotic behavior of a t-test robust to cluster
heterogeneity, Review of Economics and Statistics 99 (2017): the effective number of clusters.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

CERTAIN_Z: Final = 37.0
"""Of a difference without any spread; a normal variable gets there once in 1e299."""

LEAST_CLUSTERS: Final = 5.0
"""With fewer effective links nothing is certain, and nothing is decided."""

Values = NDArray[np.float64]


class Effect(NamedTuple):
    """A difference, its standard error, and the degrees of freedom that the links allow; NaN error: not known."""

    value: float
    error: float
    freedom: float

    def z(self, margin: float = 0.0) -> float:
        """How far the effect is beyond a margin, as a normal variable with the same probability; 0 if not known."""
        if np.isnan(self.error):
            return 0.0
        if self.error == 0.0:  # the same on every link
            return float(np.sign(self.value - margin)) * CERTAIN_Z
        t = (self.value - margin) / self.error
        return float(-np.sign(t) * ndtri(max(stdtr(self.freedom, -abs(t)), 1e-299)))

    def interval(self, z: float = 1.959964) -> tuple[float, float]:
        """Where the effect lies with the probability that a normal variable is within ±z."""
        if np.isnan(self.error):
            return (-np.inf, np.inf)
        half = self.error * float(-stdtrit(self.freedom, 0.5 * (1.0 - _within(z))))
        return (self.value - half, self.value + half)


def effect_of(difference: Values, base: Values) -> Effect:
    """The effect common to all clusters: sum of differences / sum of bases.

    Parameters
    ----------
    difference, base
        Of each cluster, `[g]`. A base is the cluster's weight where the effect is an
        absolute one, and the sum that it is relative to where it is a ratio.
    """
    weight = float(base.sum())
    if not weight > 0.0:
        return Effect(0.0, np.nan, 0.0)
    value = float(difference.sum()) / weight
    share = base / weight
    effective = 1.0 / float(share @ share)
    if effective < LEAST_CLUSTERS:
        return Effect(value, np.nan, 0.0)
    residual = (difference - value * base) / weight
    variance = float(np.sum(residual * residual / (1.0 - share)))
    return Effect(value, float(np.sqrt(variance)), effective - 1.0)


def _within(z: float) -> float:
    return float(1.0 - 2.0 * stdtr(1e9, -abs(z)))
