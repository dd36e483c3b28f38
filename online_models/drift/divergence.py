"""How far a feature's values have moved from a reference.

The population stability index in ten quantile bins, and the Kolmogorov-Smirnov distance.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

BINS: Final = 10
WARN_PSI: Final = 0.1
ALERT_PSI: Final = 0.15

_LEAST_SHARE: Final = 1e-4

Level = Literal["ok", "warn", "alert"]
Values = NDArray[np.float64]


def reference_edges(reference: Values) -> Values:
    """Inner edges of ten bins that hold a tenth of the reference each; the outer two are open.

    Edges that fall together, where a value is frequent, are one edge, so there may be fewer.

    Parameters
    ----------
    reference
        At least one finite value; others are left out.

    Raises
    ------
    ValueError
        When no value is finite.
    """
    known = _finite(reference)
    return np.unique(np.quantile(known, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))


def psi(reference: Values, current: Values) -> float:
    """Population stability index in the reference's quantile bins; an empty bin counts as a share of 1e-4.

    >>> psi(np.arange(100.0), np.arange(100.0))
    0.0
    """
    edges = reference_edges(reference)
    expected = _shares(reference, edges)
    actual = _shares(current, edges)
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def binned_psi(expected: Values, actual: Values) -> float:
    """Population stability index of shares over the same bins; an empty bin counts as a share of 1e-4.

    Bins that are empty in both say nothing.
    """
    told = (expected > 0.0) | (actual > 0.0)
    known, seen = np.maximum(expected[told], _LEAST_SHARE), np.maximum(actual[told], _LEAST_SHARE)
    return float(np.sum((seen - known) * np.log(seen / known)))


def binned_ks(expected: Values, actual: Values) -> float:
    """Largest distance between two distribution functions at the edges of the same bins, 0..1.

    >>> binned_ks(np.array([0.5, 0.5]), np.array([0.75, 0.25]))
    0.25
    """
    return float(np.abs(np.cumsum(expected) - np.cumsum(actual)).max())


def psi_level(value: float) -> Level:
    """What a population stability index calls for: above .1 a warning, above .15 an alert."""
    if value > ALERT_PSI:
        return "alert"
    return "warn" if value > WARN_PSI else "ok"


def ks_distance(reference: Values, current: Values) -> float:
    """Largest distance between the two empirical distribution functions, 0..1.

    >>> ks_distance(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    0.5
    """
    one, two = np.sort(_finite(reference)), np.sort(_finite(current))
    both = np.concatenate((one, two))
    below = [np.searchsorted(values, both, side="right") / len(values) for values in (one, two)]
    return float(np.abs(below[0] - below[1]).max())


def ks_limit(n_reference: int, n_current: int, significance: float = 0.01) -> float:
    """Distance that independent samples of one distribution exceed with this probability, for large samples."""
    return float(np.sqrt(-0.5 * np.log(significance / 2.0) * (1.0 / n_reference + 1.0 / n_current)))


def _shares(values: Values, edges: Values) -> Values:
    known = _finite(values)
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return np.maximum(counts / len(known), _LEAST_SHARE)


def _finite(values: Values) -> Values:
    known = values[np.isfinite(values)]
    if not len(known):
        raise ValueError("no finite value to compare")
    return known
