"""Isolation forests over nodes' metrics: one over all of them, one per group.

Domain facts, section 5: 100 trees of 256 samples over the principal components that hold
95 % of the variance; 50 trees over the scaled metrics of each group. What counts as
unusual is a quantile of the scores of a later part of the data: contamination .05 unless told otherwise.

F. T. Liu, K. M. Ting, Z.-H. Zhou, Isolation Forest, ICDM 2008.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.preprocessing import StandardScaler

from online_models.anomaly.rule import GROUPS, TYPE_OF_METRIC, TYPES
from schemas.system import METRICS

TREES: Final = 100
GROUP_TREES: Final = 50
SAMPLES: Final = 256
VARIANCE: Final = 0.95
CONTAMINATION: Final = 0.05

_BESIDES: Final = {
    "throughput_std": "throughput",
    "disk_usage": "resources",
    "network_io": "resources",
    "disk_io": "resources",
}
"""Groups of the metrics that speak for no type."""

GROUP_OF_METRIC: Final = {
    name: _BESIDES.get(name) or GROUPS[TYPES[TYPE_OF_METRIC[at]]] for at, name in enumerate(METRICS)
}
FORESTS: Final = ("all", *dict.fromkeys(GROUP_OF_METRIC.values()))
"""Forests in the order of the scores: all metrics, then each group."""


class Forests(NamedTuple):
    """What was fitted.

    Parameters
    ----------
    scaler, components
        Applied in this order before the forest over all metrics.
    forest
        By place in `FORESTS`.
    columns
        Scaled metrics that each group's forest sees, by place in `FORESTS`; none for the first.
    """

    scaler: StandardScaler
    components: PCA
    forest: list[IsolationForest]
    columns: list[NDArray[np.intp]]


def fit_forests(x: NDArray[np.float32], seed: int) -> Forests:
    """Fit scaler, components and forests to rows `[n, metric]`."""
    scaler = StandardScaler().fit(x)
    scaled = scaler.transform(x)
    components = PCA(n_components=VARIANCE, svd_solver="full").fit(scaled)
    inputs = [components.transform(scaled)]
    columns = [np.zeros(0, np.intp)]
    for group in FORESTS[1:]:
        own = np.array([at for at, name in enumerate(METRICS) if GROUP_OF_METRIC[name] == group], np.intp)
        columns.append(own)
        inputs.append(scaled[:, own])
    forests = []
    for at, one in enumerate(inputs):
        size = TREES if at == 0 else GROUP_TREES
        forest = IsolationForest(n_estimators=size, max_samples=min(SAMPLES, len(one)), random_state=seed + at)
        forests.append(forest.fit(one.astype(np.float32)))
    return Forests(scaler, components, forests, columns)


def score_rows(forests: Forests, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores as scikit-learn gives them, `[n, forest]`: 0..1, higher is more unusual."""
    scaled = forests.scaler.transform(x)
    inputs: list[NDArray[Any]] = [forests.components.transform(scaled)]
    inputs += [scaled[:, own] for own in forests.columns[1:]]
    scores = [-f.score_samples(one.astype(np.float32)) for f, one in zip(forests.forest, inputs, strict=True)]
    return np.column_stack(scores)


def thresholds_of(scores: NDArray[np.float64], contamination: float = CONTAMINATION) -> NDArray[np.float64]:
    """Score that a share of the rows exceeds, by forest."""
    found: NDArray[np.float64] = np.quantile(scores, 1.0 - contamination, axis=0)
    return found
