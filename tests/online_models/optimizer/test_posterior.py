"""Beliefs taken in trial by trial are those that solving for all trials at once gives, and choices follow from them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import multivariate_normal

from offline.optimizer.grid import Grid, load_grids
from online_models.optimizer.choice import (
    CAUTION,
    KEPT,
    LEAST_GAIN,
    MARGIN,
    MAX_DROP,
    MOST_SAVED,
    SAVED,
    Limits,
    choose,
    incumbent,
)
from online_models.optimizer.evidence import DOUBT, Evidence
from online_models.optimizer.posterior import NOISE, Posterior, Trials
from online_models.optimizer.prior import COST, CPU, MEMORY, PERFORMANCE, Prior

SYSTEMS = ("hde", "acp")


@cache
def grid(name: str) -> Grid:
    return load_grids(names=[name])[name]


@cache
def prior(name: str) -> Prior:
    one = grid(name)
    return Prior.learn(one.settings, one.surfaces()[:30], one.context[:30])


def tried(name: str, n: int, seed: int) -> Trials:
    """The default, then anything; some of it twice."""
    rng = np.random.default_rng(seed)
    start = prior(name).nearest(grid(name).default)
    some = rng.integers(0, len(grid(name).settings), 8)
    at = np.array([start, *rng.choice(some, n - 1)], np.intp)
    return Trials(at, grid(name).surfaces()[40, at] + 0.01 * rng.standard_normal((n, 4)))


def solved(believed: Prior, trials: Trials, metric: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean `[s]` and covariance `[s, s]` given all trials, by the book."""
    covariance, at = believed.covariance[metric], trials.setting
    known = covariance[np.ix_(at, at)] + NOISE[metric] ** 2 * np.eye(len(at))
    gain = np.linalg.solve(known, covariance[at])
    mean = believed.mean[:, metric] + (trials.seen[:, metric] - believed.mean[at, metric]) @ gain
    return mean, covariance - covariance[:, at] @ gain


@pytest.mark.parametrize("n", [1, 2, 20, 70])
@pytest.mark.parametrize("name", SYSTEMS)
def test_trial_by_trial_is_all_at_once(name: str, n: int) -> None:
    trials = tried(name, n, n)
    posterior = Posterior(prior(name), trials)
    for metric in range(4):
        mean, covariance = solved(prior(name), trials, metric)
        np.testing.assert_allclose(posterior.mean[metric], mean, atol=1e-8)
        if metric == PERFORMANCE:
            np.testing.assert_allclose(posterior.sd, np.sqrt(np.maximum(np.diagonal(covariance), 1e-12)), atol=1e-6)


@pytest.mark.parametrize("name", SYSTEMS)
def test_beliefs_after_a_trial_are_surer_there(name: str) -> None:
    at = prior(name).nearest(grid(name).default)
    surface = grid(name).surfaces()[40]
    posterior = Posterior(prior(name), Trials(np.array([0]), surface[[0]]))
    before = posterior.sd
    posterior.take(at, surface[at])
    assert (posterior.sd <= before + 1e-9).all()
    assert posterior.sd[at] < 0.04
    np.testing.assert_allclose(posterior.mean[:, at], surface[at], atol=0.1)


def test_idle_are_trials_since_anything_was_new() -> None:
    posterior, idle = Posterior(prior("hde")), []
    for setting in (5, 5, 7, 5, 7, 7, 9):
        posterior.take(setting, grid("hde").surfaces()[40, setting])
        idle.append(posterior.idle)
    assert idle == [0, 1, 0, 1, 2, 3, 0]


@pytest.mark.parametrize("n", [1, 2, 40])
def test_evidence_is_the_likelihood_of_differences(n: int) -> None:
    trials, believed = tried("acp", n, 3), prior("acp")
    found = 0.0
    for metric in (PERFORMANCE, COST):
        at = trials.setting
        known = believed.covariance[metric][np.ix_(at, at)] + NOISE[metric] ** 2 * np.eye(n)
        against = np.hstack([-np.ones((n - 1, 1)), np.eye(n - 1)])
        off = against @ (trials.seen[:, metric] - believed.mean[at, metric])
        if n > 1:
            density = multivariate_normal(np.zeros(n - 1), against @ known @ against.T).logpdf(off)
            found += density + 0.5 * (n - 1) * np.log(2 * np.pi)
    assert Evidence(believed, trials).value == pytest.approx(found, abs=1e-6)


def test_doubt_takes_a_ratio_of_twenty() -> None:
    one, other = Evidence(prior("hde")), Evidence(prior("hde"))
    one.value, other.value = 0.0, DOUBT - 0.01
    assert not one.belies(other)
    other.value = DOUBT + 0.01
    assert one.belies(other)


def by_the_book(name: str, trials: Trials, limits: Limits) -> tuple[int, int]:
    """The incumbent, and the safe setting with the greatest expected improvement, or -1 where none is worth it."""
    found = [solved(prior(name), trials, metric) for metric in range(4)]
    mean = np.array([one for one, _ in found])
    dearer = mean[COST] - mean[COST, trials.setting[0]]

    def keeps(part: float) -> NDArray[np.bool_]:
        cpu = mean[CPU] <= np.log(part * limits.cpu_pct)
        memory = mean[MEMORY] <= np.log(part * limits.memory_pct)
        return np.asarray(cpu & memory & (dearer <= np.log1p(part * limits.cost_pct / 100)))

    kept = [s for s in np.unique(trials.setting) if keeps(KEPT)[s]]
    best = max(kept, key=lambda s: mean[PERFORMANCE, s]) if kept else trials.setting[0]
    covariance = found[PERFORMANCE][1]
    gain = mean[PERFORMANCE] - mean[PERFORMANCE, best]
    own = np.maximum(np.diagonal(covariance), 1e-12)
    sd = np.sqrt(np.maximum(own + own[best] - 2 * covariance[best], 1e-12))
    worth = gain * ndtr(gain / sd) + sd * np.exp(-0.5 * (gain / sd) ** 2) / np.sqrt(2 * np.pi)
    safe = keeps(MARGIN) & (gain - CAUTION * sd >= np.log(1 - MAX_DROP))
    at = int(np.argmax(np.where(safe, worth, -1.0)))
    return int(best), at if worth[at] >= LEAST_GAIN and keeps(KEPT)[best] else -1


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_choice_is_the_safe_setting_of_the_greatest_expected_improvement(name: str, seed: int) -> None:
    trials = tried(name, 1 + seed, seed)
    limits = Limits(cost_pct=10.0 + 5.0 * (seed % 3))
    posterior = Posterior(prior(name), trials)
    posterior.idle = 0
    best, at = by_the_book(name, trials, limits)
    assert incumbent(posterior, limits) == best
    if at >= 0:
        assert choose(posterior, limits).setting == at


@pytest.mark.parametrize("idle", [1, 5, 200])
def test_a_risk_is_taken_only_with_what_was_saved(idle: int) -> None:
    """A promising setting that is not safe enough is tried once repeats have saved its chance of doing harm."""
    values = np.array([[1.0, 1, 1], [2, 2, 2]])
    flat = Prior.learn(values, np.zeros((3, 2, 4)), np.zeros((3, 1)))
    covariance = np.zeros((4, 2, 2))
    covariance[PERFORMANCE] = np.diag([1e-4, 0.04])
    believed = Prior(values, flat.mean, covariance, flat.surfaces, flat.features)
    posterior = Posterior(believed)
    for _ in range(idle + 1):
        posterior.take(0, np.zeros(4))
    choice = choose(posterior, Limits())
    harm = float(ndtr(np.log(1 - MAX_DROP) / np.sqrt(0.04)))
    assert 0.2 < harm < 0.31
    assert choice.setting == (1 if harm <= min(SAVED * idle, MOST_SAVED) else 0)


@pytest.mark.parametrize("n", [1, 2, 20])
def test_a_cost_that_nobody_saw_is_what_other_contexts_say(n: int) -> None:
    """And what was seen besides counts as it would without it."""
    trials = tried("acp", n, n)
    unseen = Trials(trials.setting, trials.seen.copy())
    unseen.seen[:, COST] = np.nan
    posterior, whole = Posterior(prior("acp"), unseen), Posterior(prior("acp"), trials)
    np.testing.assert_array_equal(posterior.mean[COST], prior("acp").mean[:, COST])
    for metric in (PERFORMANCE, CPU, MEMORY):
        np.testing.assert_array_equal(posterior.mean[metric], whole.mean[metric])
    np.testing.assert_array_equal(posterior.sd, whole.sd)
    assert choose(posterior, Limits()).setting >= 0


@pytest.mark.parametrize("unseen", [[1], [1, 2, 5], [5]])
def test_evidence_of_what_nobody_saw_is_none(unseen: list[int]) -> None:
    """Trials without a cost weigh as much as if their costs had not been asked for."""
    believed, trials = prior("acp"), tried("acp", 6, 3)
    seen = trials.seen.copy()
    seen[unseen, COST] = np.nan
    kept = [k for k in range(6) if k not in unseen]
    costs, gains = trials.seen.copy(), trials.seen.copy()
    gains[:, COST] = np.nan
    costs[:, PERFORMANCE] = np.nan
    expected = Evidence(believed, Trials(trials.setting, gains)).value
    expected += Evidence(believed, Trials(trials.setting[kept], costs[kept])).value
    assert Evidence(believed, Trials(trials.setting, seen)).value == pytest.approx(expected, abs=1e-9)
