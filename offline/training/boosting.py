"""Gradient-boosted trees, one ensemble per target, on absolute errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from offline.training.bandwidth_graph import Graph
from offline.training.tree import DOMAIN, OPERATION, Tree, boosted_trees, ensemble_attributes

F32 = NDArray[np.float32]

TREES: Final = 400
PATIENCE: Final = 20
"""Trees without a better validation loss before an ensemble is complete."""

_SMALL: Final = 20_000


class Ensemble(NamedTuple):
    """One target's trees.

    Parameters
    ----------
    column
        Columns of `z` that they look at.
    trees
        None for a target that never moved: `base` is said of it.
    """

    column: NDArray[np.intp]
    trees: HistGradientBoostingRegressor | None
    base: float

    def predict(self, z: F32) -> NDArray[np.float64]:
        """Differences, `[n]`."""
        return np.full(len(z), self.base) if self.trees is None else self.trees.predict(z[:, self.column])


def grown_on(column: NDArray[np.intp], trees: Any) -> Ensemble:
    """Fitted `HistGradientBoosting*`, which saw these columns of `z`."""
    return Ensemble(column, trees, float(np.ravel(trees._baseline_prediction)[0]))


def fit_boosting(
    z: F32,
    y: F32,
    z_validation: F32,
    y_validation: F32,
    seed: int,
    say: Callable[[str], None],
    refit: bool = False,
) -> list[Ensemble]:
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
    refit
        Grow as many trees as were best on validation once more, from both parts.
    """
    column = np.flatnonzero(z.min(axis=0) < z.max(axis=0))
    z, z_validation = z[:, column], z_validation[:, column]
    ensembles = []
    for m in range(y.shape[1]):
        if y[:, m].min() == y[:, m].max():
            ensembles.append(Ensemble(column, None, float(y[0, m])))
            continue
        with threadpool_limits(1 if len(z) < _SMALL else None):  # threads cost more than they do on few rows
            trees = _trees(len(z), seed, early_stopping=True, n_iter_no_change=PATIENCE)
            trees.fit(z, y[:, m], X_val=z_validation, y_val=y_validation[:, m])
            if refit:
                best = max(1, int(np.argmax(trees.validation_score_)))
                trees = _trees(len(z), seed, max_iter=best, early_stopping=False)
                trees.fit(np.concatenate([z, z_validation]), np.concatenate([y[:, m], y_validation[:, m]]))
        say(f"boosting: target {m + 1} of {y.shape[1]}, {trees.n_iter_} trees")
        ensembles.append(grown_on(column, trees))
    return ensembles


def _trees(rows: int, seed: int, **more: Any) -> HistGradientBoostingRegressor:
    """A single link has thousands of rows that say little apart; a fleet has more to find in more."""
    leaves, least = (15, 50) if rows < _SMALL else (31, 200)
    settings = {"max_iter": TREES, "max_leaf_nodes": leaves, "min_samples_leaf": least} | more
    return HistGradientBoostingRegressor(
        loss="absolute_error",
        learning_rate=0.06,
        l2_regularization=1.0,
        max_features=0.5,
        random_state=seed,
        **settings,
    )


def trees_body(width: int, ensembles: Sequence[Ensemble]) -> onnx.ModelProto:
    """Ensembles as one ONNX operation from `z` `[n, width]` to `difference` `[n, ensembles]`."""
    grown = [tree for m, one in enumerate(ensembles) for tree in _grown(one, m)]
    base = [0.0 if one.trees is None else one.base for one in ensembles]
    graph = Graph()
    graph.add(OPERATION, "z", output="difference", domain=DOMAIN, **ensemble_attributes(grown, base))
    return graph.model({"z": width}, {"difference": len(ensembles)})


def _grown(one: Ensemble, target: int) -> Iterator[Tree]:
    """Its trees; a leaf alone where it has none: without one the target is 0 to onnxruntime, whatever its base."""
    if one.trees is None:
        none = np.zeros(1, np.int64)
        yield Tree(target, np.ones(1, np.bool_), none, np.zeros(1), none, none, np.array([one.base]))
        return
    for tree in boosted_trees(one.trees._predictors, target):
        yield tree._replace(feature=one.column[tree.feature])
