"""The online model of both utilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from online_models.selector.utility import (
    AMST,
    HDE,
    INPUTS,
    LINK,
    PENDING,
    calibrate,
    calibrated,
    estimate,
    learn,
    log_utility,
    new_model,
    new_work,
    postpone,
    settle,
)
from online_models.slot import row_dtype

ROW = row_dtype(*LINK)
NOTHING = np.zeros(INPUTS)


class Bench:
    """A model and its links, fed by hand."""

    def __init__(self, links: int = 1) -> None:
        self.model, self.links, self.work = new_model(), np.zeros(links, ROW), new_work()

    def estimate(
        self, x: np.ndarray = NOTHING, kind: int = 0, entropy: float = 4.0, repetition: float = 20.0, link: int = 0
    ) -> float:
        return estimate(self.model, self.links[link], self.work, x, x, kind, entropy, repetition)

    def learn(
        self, actual: np.ndarray, x: np.ndarray = NOTHING, kind: int = 0, entropy: float = 4.0, repetition: float = 20.0
    ) -> None:
        learn(self.model, self.work, x, x, kind, entropy, repetition, np.asarray(actual, float), 1.0)

    def complete(self, actual: np.ndarray, entropy: float = 4.0, link: int = 0) -> None:
        """Let the link itself see what the transfer that was estimated last has shown."""
        postpone(self.links[link], self.work, 1, 0, entropy, 20.0, np.asarray(actual, float))
        settle(self.links[link], 1, self.work.near)


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_relation_is_learned(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bench, truth = Bench(), rng.normal(0, 0.3, (2, INPUTS))
    errors = []
    for _ in range(2000):
        x = rng.normal(size=INPUTS)
        bench.estimate(x)
        actual = truth @ x
        errors.append(np.abs(bench.work.utility - actual).mean())
        bench.learn(actual, x)
    assert np.mean(errors[-300:]) < 0.2 * np.mean(errors[:20])


def test_what_a_payload_looks_like_is_learned_per_kind() -> None:
    rng = np.random.default_rng(0)
    bench = Bench()
    for _ in range(2000):
        kind, entropy = int(rng.integers(2)), rng.uniform(0, 8)
        bench.estimate(kind=kind, entropy=entropy)
        actual = np.array([(1.0 if entropy < 4 else -1.0) * (1 if kind else -1), 0.0])
        bench.learn(actual, kind=kind, entropy=entropy)
    for kind, entropy, expected in ((1, 1.5, 1.0), (1, 6.5, -1.0), (0, 1.5, -1.0), (0, 6.5, 1.0)):
        bench.estimate(kind=kind, entropy=entropy)
        assert bench.work.utility[HDE] == pytest.approx(expected, abs=0.3)


def test_a_side_that_was_not_seen_learns_nothing() -> None:
    bench = Bench()
    for _ in range(50):
        bench.estimate(np.ones(INPUTS))
        bench.learn([2.0, np.nan], np.ones(INPUTS))
    bench.estimate(np.ones(INPUTS))
    assert bench.work.utility[HDE] == pytest.approx(2.0, abs=0.15)
    assert bench.work.utility[AMST] == 0.0
    assert not bench.model.regressions[0]["weight"].any()


def test_the_rarer_winner_is_taken_where_the_more_frequent_one_would_lose_more() -> None:
    """HDE wins seldom and by far, AMST often and by little: less is lost by taking HDE, though AMST is likelier."""
    rng = np.random.default_rng(0)
    bench = Bench()
    for _ in range(3000):
        bench.estimate()
        bench.learn([2.5 if rng.random() < 0.3 else -0.1, 0.0])
    logit = bench.estimate()
    assert logit > 0.3
    assert bench.work.loss[HDE] < bench.work.loss[AMST]


def test_a_links_own_payloads_prevail_over_what_others_have() -> None:
    bench = Bench(links=2)
    for _ in range(200):
        bench.estimate(link=0)
        bench.learn([1.0, 0.0])
        bench.estimate(link=1)
        bench.complete([-1.0, 0.0], link=1)
    bench.estimate(link=0)
    assert bench.work.utility[HDE] > 0.5
    bench.estimate(link=1)
    assert bench.work.utility[HDE] < -0.5


def test_a_link_learns_from_a_transfer_when_it_is_complete_and_not_before() -> None:
    bench = Bench()
    bench.estimate()
    postpone(bench.links[0], bench.work, 1000, 0, 4.0, 20.0, np.array([3.0, -3.0]))
    settle(bench.links[0], 999, bench.work.near)
    bench.estimate()
    assert bench.work.utility.tolist() == [0.0, 0.0]
    settle(bench.links[0], 1000, bench.work.near)
    bench.estimate()
    assert bench.work.utility[HDE] > 0.2
    assert bench.work.utility[AMST] < -0.05
    level = bench.links[0]["level_count"].tolist()
    settle(bench.links[0], 2000, bench.work.near)
    assert bench.links[0]["level_count"].tolist() == level == [1, 1]


def test_beyond_the_pending_ones_the_oldest_is_forgotten() -> None:
    bench = Bench()
    for k in range(PENDING + 3):
        bench.estimate()
        postpone(bench.links[0], bench.work, 1000 + k, 0, 4.0, 20.0, np.ones(2))
    settle(bench.links[0], 5000, bench.work.near)
    assert bench.links[0]["level_count"].tolist() == [PENDING, PENDING]


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_probabilities_become_calibrated(scale: float) -> None:
    rng = np.random.default_rng(0)
    head = new_model().head
    said, seen = [], []
    for _ in range(20_000):
        logit = rng.normal(0.5, 2.0)
        said.append(calibrated(head, logit))
        seen.append(int(rng.random() < 1 / (1 + math.exp(-scale * logit))))
        calibrate(head, logit, seen[-1], 1.0)
    late = slice(10_000, None)
    high = np.array(said[late]) > 0.8
    assert np.mean(np.array(said[late])[high]) == pytest.approx(np.mean(np.array(seen[late])[high]), abs=0.03)


@pytest.mark.parametrize("utility", [0.0, 1e-300, 1e300, np.inf])
def test_extreme_utilities_stay_finite(utility: float) -> None:
    assert math.isfinite(log_utility(utility, 100.0))


def test_a_utility_that_was_not_measured_stays_unknown() -> None:
    assert math.isnan(log_utility(np.nan, 100.0))


@pytest.mark.parametrize("entropy", [np.nan, 0.0, 8.0])
@pytest.mark.parametrize("repetition", [np.nan, 0.0, 100.0])
@pytest.mark.parametrize("unknown", [False, True])
def test_every_payload_is_estimated(entropy: float, repetition: float, unknown: bool) -> None:
    bench = Bench()
    x = np.full(INPUTS, np.nan if unknown else 1.0)
    for value in (-30.0, 30.0, 1.0):
        assert math.isfinite(bench.estimate(x, 7, entropy, repetition))
        assert ((bench.work.loss >= 0) & (bench.work.loss <= 1)).all()
        bench.learn([value, -value], x, 7, entropy, repetition)
