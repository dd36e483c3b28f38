"""Scaler, components and all forests as one ONNX graph with a single tree ensemble.

::

    x ──> scaled ──┬──> components ──┐
    [n, metric]    └─────────────────┴──> concat ──> tree ensemble ──> mean path ──> score = 2^(-path / c)
                                                     one node, a target per forest   ratio = max(score / threshold)

Leaves hold the length of their path, so that the ensemble's sum is the mean path length of
every forest at once: one node scores a row a hundred times faster than one node per tree.
Feature numbers count the components first, then the scaled metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from offline.training.anomaly_forest import FORESTS, Forests
from offline.training.tree import DOMAIN, OPERATION, Tree, ensemble_attributes

OUTPUTS: Final = ("score", "ratio")
"""Score of every forest, 0..1; and how far the most suspicious one is above its threshold: 1 is at it."""

_OPSET: Final = 17
_ML_OPSET: Final = 3
_IR: Final = 8
_EULER: Final = 0.5772156649015329


def export_forests(forests: Forests, thresholds: NDArray[np.float64]) -> bytes:
    """The graph for rows `[n, metric]`, float32."""
    scaler, components = forests.scaler, forests.components
    n_features = len(scaler.mean_)
    constants = {
        "mean": scaler.mean_,
        "scale": scaler.scale_,
        "center": components.mean_,
        "rotation": components.components_.T,
        "exponent": [-1.0 / mean_path(forest.max_samples_) for forest in forests.forest],
        "threshold": thresholds,
        "two": [2.0],
    }
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "center"], ["balanced"]),
        helper.make_node("MatMul", ["balanced", "rotation"], ["components"]),
        helper.make_node("Concat", ["components", "scaled"], ["features"], axis=1),
        _ensemble(forests),
        helper.make_node("Mul", ["path", "exponent"], ["power"]),
        helper.make_node("Pow", ["two", "power"], ["score"]),
        helper.make_node("Div", ["score", "threshold"], ["above"]),
        helper.make_node("ReduceMax", ["above"], ["ratio"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "node-anomaly",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", n_features])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", len(FORESTS)]),
            helper.make_tensor_value_info("ratio", TensorProto.FLOAT, ["n"]),
        ],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    content: bytes = helper.make_model(graph, opset_imports=imports, ir_version=_IR).SerializeToString()
    return content


def mean_path(n: float | NDArray[Any]) -> Any:
    """Mean path length of an unsuccessful search in a binary tree of `n` samples (Liu et al., equation 1)."""
    n = np.asarray(n, np.float64)
    many = 2.0 * (np.log(np.maximum(n - 1.0, 1.0)) + _EULER) - 2.0 * (n - 1.0) / np.maximum(n, 1.0)
    return np.where(n > 2, many, np.where(n == 2, 1.0, 0.0))


def _ensemble(forests: Forests) -> Any:
    attributes = ensemble_attributes(_trees(forests), [0.0] * len(FORESTS))
    return helper.make_node(OPERATION, ["features"], ["path"], domain=DOMAIN, **attributes)


def _trees(forests: Forests) -> Iterator[Tree]:
    """Trees whose leaves say how long the path to them is, each forest's mean as one output."""
    n_components = forests.components.n_components_
    for at, forest in enumerate(forests.forest):
        place = np.arange(n_components) if at == 0 else n_components + forests.columns[at]
        for estimator, drawn in zip(forest.estimators_, forest.estimators_features_, strict=True):
            tree = estimator.tree_
            feature = place[drawn[np.maximum(tree.feature, 0)]]
            path = (_depth(tree) + mean_path(tree.n_node_samples)) / len(forest.estimators_)
            leaf, left, right = tree.children_left < 0, tree.children_left, tree.children_right
            yield Tree(at, leaf, feature, tree.threshold, left, right, path)


def _depth(tree: Any) -> NDArray[np.int64]:
    depth = np.zeros(tree.node_count, np.int64)
    for node in range(tree.node_count):  # children come after their parents
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
    return depth
