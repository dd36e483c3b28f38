"""The online model of both utilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from online_models.selector.utility import (
    LINK,
    PENDING,
    TILINGS,
    UtilityModel,
    calibrated,
    estimate,
    learn,
    learn_stake,
    log_utility,
    postpone,
    settle,
)
from online_models.slot import row_dtype

D = 3
ROW = row_dtype(*LINK)


class Bench:
    """A model and one link, fed by hand."""

    def __init__(self) -> None:
        self.model = UtilityModel(D)
        self.links = np.zeros(1, ROW)
        self.work = self.model.work()
        self.utility = np.empty(2)

    def estimate(self, x: np.ndarray, kind: int = 0, entropy: float = 4.0, repetition: float = 20.0) -> float:
        model = self.model
        return estimate(
            model.inputs, model.tiles, model.head, self.links[0], x, kind, entropy, repetition, *self.work, self.utility
        )

    def learn(self, x: np.ndarray, actual: np.ndarray, kind: int = 0) -> None:
        learn(self.model.inputs, self.model.tiles, x, kind, actual, np.ones(2), *self.work)


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_relation_is_learned(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bench, truth = Bench(), np.array([[1.0, -0.5, 0.2], [-0.3, 0.8, 0.1]])
    errors = []
    for _ in range(3000):
        x = rng.normal(size=D)
        bench.estimate(x)
        actual = truth @ x
        errors.append(np.abs(bench.utility - actual).mean())
        bench.learn(x, actual)
    assert np.mean(errors[-300:]) < 0.2 * np.mean(errors[:50])


def test_what_a_payload_looks_like_is_learned_per_kind() -> None:
    rng = np.random.default_rng(0)
    bench = Bench()
    x = np.zeros(D)
    for _ in range(2000):
        kind, entropy = int(rng.integers(2)), rng.uniform(0, 8)
        bench.estimate(x, kind, entropy)
        bench.learn(x, np.array([(1.0 if entropy < 4 else -1.0) * (1 if kind else -1), 0.0]), kind)
    for kind, entropy, expected in ((1, 1.5, 1.0), (1, 6.5, -1.0), (0, 1.5, -1.0), (0, 6.5, 1.0)):
        bench.estimate(x, kind, entropy)
        assert bench.utility[0] == pytest.approx(expected, abs=0.3)


def test_a_side_that_was_not_seen_learns_nothing() -> None:
    bench = Bench()
    for _ in range(50):
        bench.estimate(np.ones(D))
        bench.learn(np.ones(D), np.array([2.0, np.nan]))
    bench.estimate(np.ones(D))
    assert bench.utility[0] == pytest.approx(2.0, abs=0.1)
    assert bench.utility[1] == 0.0


def test_a_link_learns_from_a_transfer_when_it_is_complete_and_not_before() -> None:
    bench = Bench()
    bench.estimate(np.zeros(D))
    postpone(bench.links[0], 1000, 0, np.array([3.0, -3.0]), np.zeros(2), 0.5)
    settle(bench.links[0], 999)
    bench.estimate(np.zeros(D))
    assert bench.utility.tolist() == [0.0, 0.0]
    settle(bench.links[0], 1000)
    stake = bench.estimate(np.zeros(D))
    assert bench.utility[0] > 0.2
    assert bench.utility[1] < -0.2
    assert stake < 0.5
    level = bench.links[0]["level_count"].tolist()
    settle(bench.links[0], 2000)
    assert bench.links[0]["level_count"].tolist() == level == [1, 1]


def test_beyond_the_pending_ones_the_oldest_is_forgotten() -> None:
    bench = Bench()
    for k in range(PENDING + 3):
        postpone(bench.links[0], 1000 + k, 0, np.ones(2), np.zeros(2), 0.0)
    settle(bench.links[0], 5000)
    assert bench.links[0]["level_count"].tolist() == [PENDING, PENDING]


def test_an_example_weighs_what_a_wrong_choice_loses() -> None:
    steps = []
    for margin in (0.0, 1.0):
        bench = Bench()
        stake = bench.estimate(np.zeros(D))
        steps.append(
            learn_stake(bench.model.tiles, bench.model.head, 0, bench.work[1], bench.utility, stake, 1, margin, 1.0)
        )
    assert steps[1] == pytest.approx(5.0 * steps[0])


def test_probabilities_become_calibrated() -> None:
    rng = np.random.default_rng(0)
    bench = Bench()
    said, seen = [], []
    for _ in range(6000):
        entropy = rng.uniform(0, 8)
        stake = bench.estimate(np.zeros(D), 0, entropy)
        label = int(rng.random() < entropy / 8)
        said.append(calibrated(bench.model.head, stake))
        seen.append(label)
        # What is at stake differs between the classes, which must not show in the probability.
        margin = 0.9 if label else 0.1
        bench.utility[:] = 0.0
        step = learn_stake(
            bench.model.tiles, bench.model.head, 0, bench.work[1], bench.utility, stake, label, margin, 1.0
        )
        assert math.isfinite(step)
    assert np.mean(said[3000:]) == pytest.approx(np.mean(seen[3000:]), abs=0.05)


@pytest.mark.parametrize("utility", [0.0, 1e-300, 1e300, np.inf])
def test_extreme_utilities_stay_finite(utility: float) -> None:
    assert math.isfinite(log_utility(utility, 100.0))


def test_a_utility_that_was_not_measured_stays_unknown() -> None:
    assert math.isnan(log_utility(np.nan, 100.0))


@pytest.mark.parametrize("entropy", [np.nan, 0.0, 8.0])
@pytest.mark.parametrize("repetition", [np.nan, 0.0, 100.0])
def test_every_payload_has_its_cells(entropy: float, repetition: float) -> None:
    bench = Bench()
    bench.estimate(np.zeros(D), 7, entropy, repetition)
    assert bench.work[1].shape == (TILINGS, 2)
    assert (bench.work[1] >= 0).all()
    assert (bench.work[1] < bench.model.tiles.shape[2]).all()
