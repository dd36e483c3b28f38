"""Compiled half-space trees against River's, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from river.anomaly import HalfSpaceTrees

from online_models.anomaly.half_space import HalfSpaceForest, forest_learn, forest_score

NAMES = ("rtt", "loss", "cpu", "a")


@pytest.mark.parametrize("seed", [1, 42])
@pytest.mark.parametrize(("n_trees", "height", "window"), [(1, 1, 5), (10, 8, 50), (25, 6, 64)])
@pytest.mark.parametrize("limits", [(0.0, 1.0), (-6.0, 6.0)])
def test_scores_equal_rivers(seed: int, n_trees: int, height: int, window: int, limits: tuple[float, float]) -> None:
    ranges = dict.fromkeys(NAMES, limits)
    ours = HalfSpaceForest(NAMES, ranges, n_trees, height, window, seed)
    theirs = HalfSpaceTrees(n_trees=n_trees, height=height, window_size=window, limits=ranges, seed=seed)
    rng = np.random.default_rng(seed)
    for x in rng.normal(sum(limits) / 2, (limits[1] - limits[0]) / 5, size=(3 * window + 7, len(NAMES))):
        row = dict(zip(NAMES, x.tolist(), strict=True))
        assert forest_score(ours.nodes, ours.progress, height, window, x) == theirs.score_one(row)
        forest_learn(ours.nodes, ours.progress, height, window, x)
        theirs.learn_one(row)


def test_forests_of_one_seed_do_not_share_their_counts() -> None:
    one, two = (HalfSpaceForest(NAMES, dict.fromkeys(NAMES, (0.0, 1.0))) for _ in range(2))
    forest_learn(one.nodes, one.progress, one.height, one.window_size, np.zeros(4))
    assert one.nodes["left_mass"].any()
    assert not two.nodes["left_mass"].any()
    np.testing.assert_array_equal(one.nodes["threshold"], two.nodes["threshold"])
