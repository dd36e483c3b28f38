"""Gradient-boosted trees, one ensemble per target, on absolute errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from offline.training.bandwidth_graph import Graph
from offline.training.tree import DOMAIN, OPERATION, boosted_trees, ensemble_attributes

F32 = NDArray[np.float32]

TREES: Final = 400
PATIENCE: Final = 20
"""Trees without a better validation loss before an ensemble is complete."""

_SMALL: Final = 5_000


def fit_boosting(
    z: F32, y: F32, z_validation: F32, y_validation: F32, seed: int, say: Callable[[str], None]
) -> list[HistGradientBoostingRegressor]:
    """Fit trees to differences, one ensemble per target.

    Parameters
    ----------
    z, y
        Inputs `[n, d]` and differences `[n, 4]` of the training part.
    z_validation, y_validation
        Of the validation part.
    seed
        Of the columns each split looks at.
    say
        Is told how far it got.
    """
    small = len(z) < _SMALL
    ensembles = []
    for m in range(y.shape[1]):
        trees = HistGradientBoostingRegressor(
            loss="absolute_error", learning_rate=0.06, max_iter=TREES, max_leaf_nodes=8 if small else 31,
            min_samples_leaf=20 if small else 200, l2_regularization=1.0, max_features=0.5,
            early_stopping=True, n_iter_no_change=PATIENCE, random_state=seed,
        )  # fmt: skip
        trees.fit(z, y[:, m], X_val=z_validation, y_val=y_validation[:, m])
        say(f"boosting: target {m + 1} of {y.shape[1]}, {trees.n_iter_} trees")
        ensembles.append(trees)
    return ensembles


def trees_body(width: int, ensembles: Sequence[HistGradientBoostingRegressor]) -> onnx.ModelProto:
    """Ensembles as one ONNX operation from `z` `[n, width]` to `difference` `[n, ensembles]`."""
    grown = (tree for m, ensemble in enumerate(ensembles) for tree in boosted_trees(ensemble._predictors, m))
    base = [float(np.ravel(ensemble._baseline_prediction)[0]) for ensemble in ensembles]
    graph = Graph()
    graph.add(OPERATION, "z", output="difference", domain=DOMAIN, **ensemble_attributes(grown, base))
    return graph.model({"z": width}, {"difference": len(ensembles)})
