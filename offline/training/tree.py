"""Trees of scikit-learn as one ONNX operation, whatever grew them.

Written here because skl2onnx 1.20 cannot convert histogram boosting with onnx 1.23, and makes an
operation per tree of an isolation forest. Inputs are single precision, so a threshold
rounded *down* to it splits exactly as the double one does; the tests compare with scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

OPERATION: Final = "TreeEnsembleRegressor"
DOMAIN: Final = "ai.onnx.ml"


class Tree(NamedTuple):
    """One tree; arrays `[node]`, children by the number of their node.

    Parameters
    ----------
    target
        Which output its leaves are added to.
    leaf
        Where nothing is asked.
    feature, threshold
        What is asked elsewhere: is the feature at most the threshold?
    left, right
        Where to go if it is, and if not.
    value
        What a leaf adds.
    """

    target: int
    leaf: NDArray[np.bool_]
    feature: NDArray[Any]
    threshold: NDArray[np.float64]
    left: NDArray[Any]
    right: NDArray[Any]
    value: NDArray[np.float64]


def boosted_trees(predictors: Sequence[Any], target: int = 0) -> Iterator[Tree]:
    """Trees of a fitted `HistGradientBoosting*`, its `_predictors`."""
    for stage in predictors:
        nodes = stage[0].nodes
        leaf = nodes["is_leaf"].astype(bool)
        yield Tree(
            target, leaf, nodes["feature_idx"], nodes["num_threshold"], nodes["left"], nodes["right"], nodes["value"]
        )


def ensemble_attributes(trees: Iterable[Tree], base: Sequence[float]) -> dict[str, Any]:
    """Attributes of the operation that adds the leaves of all trees to `base`, one number per output."""
    nodes: dict[str, list[Any]] = {
        name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    }
    leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(trees):
        ends = np.flatnonzero(tree.leaf)
        nodes["treeids"] += [number] * len(tree.leaf)
        nodes["nodeids"] += range(len(tree.leaf))
        nodes["featureids"] += np.where(tree.leaf, 0, tree.feature).tolist()
        nodes["values"] += round_down(np.where(tree.leaf, 0.0, tree.threshold)).tolist()
        nodes["modes"] += np.where(tree.leaf, "LEAF", "BRANCH_LEQ").tolist()
        nodes["truenodeids"] += np.where(tree.leaf, 0, tree.left).tolist()
        nodes["falsenodeids"] += np.where(tree.leaf, 0, tree.right).tolist()
        leaves["treeids"] += [number] * len(ends)
        leaves["nodeids"] += ends.tolist()
        leaves["ids"] += [tree.target] * len(ends)
        leaves["weights"] += tree.value[ends].astype(np.float32).tolist()
    named = {f"nodes_{name}": values for name, values in nodes.items()}
    named |= {f"target_{name}": values for name, values in leaves.items()}
    return named | {"n_targets": len(base), "base_values": list(base)}


def round_down(value: NDArray[np.float64]) -> NDArray[np.float32]:
    """The greatest single-precision numbers not above these.

    >>> bool(round_down(np.array([0.1]))[0] <= 0.1)
    True
    """
    single = value.astype(np.float32)
    return np.where(single > value, np.nextafter(single, np.float32(-np.inf)), single)
