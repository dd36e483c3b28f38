"""The cheapest method ships unless a dearer one is better beyond luck."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from offline.training.performance_choice import areas, block_counts, cheapest, likely_ratio
from offline.training.performance_data import Rows, join_rows, make_rows


def _rows(nodes: int = 3, samples: int = 200) -> Rows:
    rng = np.random.default_rng(0)
    time_ms = 5_000 * np.arange(samples)
    return join_rows(make_rows(time_ms + k, rng.normal(190, 10, (samples, 1)), 200.0, node=k) for k in range(nodes))


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ({"a": [1.0, 1.0], "b": [0.995, 0.995]}, "a"),
        ({"a": [1.1, 1.1], "b": [1.0, 1.0]}, "b"),
        ({"a": [1.1, 0.9], "b": [1.0, 1.0]}, "a"),
        ({"a": [np.nan, np.nan], "b": [3.0, 3.0]}, "a"),
        ({"a": [-0.5, -0.5], "b": [-0.6, -0.6], "c": [-0.603, -0.603]}, "b"),
        ({"a": [-0.5], "b": [-0.4], "c": [-0.6]}, "c"),
    ],
)
def test_the_cheapest_that_none_beats_wins(loss: dict[str, list[float]], name: str) -> None:
    assert cheapest({key: np.array(value) for key, value in loss.items()}) == name


@pytest.mark.parametrize("ties", [1, 10])
def test_areas_are_average_precision_with_weights(ties: int) -> None:
    rng = np.random.default_rng(1)
    breach = rng.random(300) < 0.2
    said = np.round(rng.random(300) * ties * 10) / 10
    counts = rng.integers(0, 3, (4, 300)).astype(float)
    wanted = [average_precision_score(breach, said, sample_weight=weight) for weight in counts]
    np.testing.assert_allclose(areas(said, breach, counts), wanted, rtol=1e-9)


def test_resamples_draw_whole_blocks_of_a_node() -> None:
    rows = _rows()
    counts = block_counts(rows, many=5)
    assert counts.shape == (5, len(rows))
    for node in range(3):
        own = counts[:, rows.node == node]
        assert (own[:, :60] == own[:, :1]).all()
    assert counts.mean() == pytest.approx(1.0, abs=0.2)
    assert (block_counts(rows, many=5) == counts).all()


def test_what_is_worse_beyond_chance_misses_the_gate() -> None:
    rows = _rows(nodes=6)
    rng = np.random.default_rng(2)
    good = np.where(rows.breach, 0.8, 0.2) + 0.3 * rng.normal(size=len(rows))
    counts = block_counts(rows)
    assert likely_ratio(good, good, rows.breach, counts) == 1.0
    assert likely_ratio(rng.random(len(rows)), good, rows.breach, counts) < 1.0
    assert np.isnan(likely_ratio(good, good, np.zeros(len(rows), bool), counts))
