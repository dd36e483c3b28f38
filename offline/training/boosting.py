"""Gradient-boosted trees, one ensemble per target, on absolute errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from offline.training.bandwidth_graph import Graph

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
    """Ensembles as one ONNX operation from `z` `[n, width]` to `difference` `[n, ensembles]`.

    Written here because skl2onnx 1.20 cannot convert them with onnx 1.23. Inputs are single
    precision, so a threshold rounded *down* to it splits exactly as the double one does.
    """
    nodes: dict[str, list[Any]] = {
        key: [] for key in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    }
    leaves: dict[str, list[Any]] = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    grown = [(m, stage[0].nodes) for m, trees in enumerate(ensembles) for stage in trees._predictors]
    for tree, (m, grove) in enumerate(grown):
        leaf = grove["is_leaf"].astype(bool)
        at = np.arange(len(grove))
        nodes["treeids"] += [tree] * len(grove)
        nodes["nodeids"] += at.tolist()
        nodes["featureids"] += np.where(leaf, 0, grove["feature_idx"]).tolist()
        nodes["values"] += _round_down(np.where(leaf, 0.0, grove["num_threshold"])).tolist()
        nodes["modes"] += np.where(leaf, "LEAF", "BRANCH_LEQ").tolist()
        nodes["truenodeids"] += np.where(leaf, 0, grove["left"]).tolist()
        nodes["falsenodeids"] += np.where(leaf, 0, grove["right"]).tolist()
        leaves["treeids"] += [tree] * int(leaf.sum())
        leaves["nodeids"] += at[leaf].tolist()
        leaves["ids"] += [m] * int(leaf.sum())
        leaves["weights"] += grove["value"][leaf].astype(np.float32).tolist()
    graph = Graph()
    attributes = {f"nodes_{key}": value for key, value in nodes.items()}
    attributes |= {f"target_{key}": value for key, value in leaves.items()}
    base = [float(np.ravel(trees._baseline_prediction)[0]) for trees in ensembles]
    graph.add(
        "TreeEnsembleRegressor", "z", output="difference", domain="ai.onnx.ml",
        n_targets=len(ensembles), base_values=base, **attributes,
    )  # fmt: skip
    return graph.model({"z": width}, {"difference": len(ensembles)})


def _round_down(value: NDArray[np.float64]) -> F32:
    """The greatest single-precision numbers not above these."""
    single = value.astype(np.float32)
    return np.where(single > value, np.nextafter(single, np.float32(-np.inf)), single)
