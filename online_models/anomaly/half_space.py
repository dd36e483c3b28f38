"""Half-space trees, compiled: River's `anomaly.HalfSpaceTrees` with the same scores, bit for bit.

Trees are grown by River's own code from the same seed and flattened into arrays in heap
order (children of node i at 2i+1 and 2i+2).

S. C. Tan, K. M. Ting, T. F. Liu, Fast Anomaly Detection for Streaming Data, IJCAI 2011.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray
from river.tree.padded import make_padded_tree

from online_models.slot import row_dtype

NODE: Final = row_dtype(("threshold", "f8"), ("feature", "i4"), ("left_mass", "i4"), ("right_mass", "i4"))

_PADDING: Final = 0.15


class HalfSpaceForest:
    """A forest over named features.

    Parameters
    ----------
    names
        Features in the order of the vectors to score.
    limits
        Range of every feature.
    n_trees, height, window_size, seed
        As in River.
    """

    def __init__(
        self,
        names: Sequence[str],
        limits: Mapping[str, tuple[float, float]],
        n_trees: int = 25,
        height: int = 6,
        window_size: int = 512,
        seed: int = 1,
    ) -> None:
        ranges = tuple((name, *limits[name]) for name in names)
        self.nodes = _grow(ranges, n_trees, height, seed).copy()
        self.height = height
        self.window_size = window_size
        self.progress = np.zeros(2, np.int64)
        """Observations in the present window, and windows completed."""


@lru_cache(maxsize=16)
def _grow(ranges: tuple[tuple[str, float, float], ...], n_trees: int, height: int, seed: int) -> NDArray[Any]:
    """Nodes `[tree, node]` of River's trees for these ranges."""
    rng = random.Random(seed)
    place = {name: at for at, (name, _, _) in enumerate(ranges)}
    limits = {name: (low, high) for name, low, high in sorted(ranges)}
    nodes = np.zeros((n_trees, 2 ** (height + 1) - 1), NODE)
    for tree in nodes:
        root = make_padded_tree(limits, height=height, padding=_PADDING, rng=rng, l_mass=0, r_mass=0)
        branches = [(0, root)]
        while branches:
            at, branch = branches.pop()
            if hasattr(branch, "threshold"):
                tree[at]["threshold"] = branch.threshold
                tree[at]["feature"] = place[branch.feature]
                branches += [(2 * at + 1, branch.left), (2 * at + 2, branch.right)]
    return nodes


@njit(cache=True)
def forest_score(nodes: NDArray[Any], progress: NDArray[Any], height: int, window_size: int, x: NDArray[Any]) -> float:
    """Anomaly score of `x`, 0..1; 0 until the first window is complete."""
    if progress[1] == 0:
        return 0.0
    size_limit = 0.1 * window_size
    total = 0
    for t in range(nodes.shape[0]):
        at = 0
        for depth in range(height + 1):
            mass = nodes[t, at].right_mass
            total += mass << depth
            if depth == height or mass < size_limit:
                break
            at = 2 * at + (1 if x[nodes[t, at].feature] < nodes[t, at].threshold else 2)
    return 1.0 - float(total) / float(nodes.shape[0] * window_size * (2 ** (height + 1) - 1))


@njit(cache=True)
def forest_learn(nodes: NDArray[Any], progress: NDArray[Any], height: int, window_size: int, x: NDArray[Any]) -> None:
    """Count `x` in the present window; a full window becomes the one that scores."""
    for t in range(nodes.shape[0]):
        at = 0
        for _ in range(height):
            nodes[t, at].left_mass += 1
            at = 2 * at + (1 if x[nodes[t, at].feature] < nodes[t, at].threshold else 2)
        nodes[t, at].left_mass += 1
    progress[0] += 1
    if progress[0] == window_size:
        for t in range(nodes.shape[0]):
            for at in range(nodes.shape[1]):
                nodes[t, at].right_mass = nodes[t, at].left_mass
                nodes[t, at].left_mass = 0
        progress[0] = 0
        progress[1] += 1
