"""What workers know of a context: in the grid's units, within what was measured, dropped when trials belie it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from offline.optimizer.grid import Grid, load_grids
from online_models.optimizer.choice import Limits, choose
from online_models.optimizer.context import INTOLERANT, live_part, told_of, unit_of
from online_models.optimizer.evidence import Evidence
from online_models.optimizer.posterior import Posterior, Trials
from online_models.optimizer.prior import Prior
from online_models.optimizer.state import NODE
from online_models.optimizer.watch import REQUESTS

ABOUT = np.log([20.0, 3.0, 1e-3, 300.0, 1e-3])


@cache
def consensus() -> Grid:
    return load_grids(names=["acp"])["acp"]


@cache
def prior() -> Prior:
    """Of every fourth context but the first."""
    grid = consensus()
    return Prior.learn(grid.settings, grid.surfaces()[4::4], grid.context[4::4], grid.features)


def nodes(*rates: float) -> np.ndarray:  # type: ignore[type-arg]
    rows = np.zeros(len(rates) + 1, NODE)
    rows["minutes"][:-1] = 40
    rows["fast"][:-1, REQUESTS] = rates
    return rows


def test_metrics_tell_rate_and_level_in_the_grids_units() -> None:
    told = told_of("acp", consensus().features, nodes(200.0, 450.0), np.array([2000.0, 25.0, 7.0]), -np.log(50.0))
    assert told.about[3] == pytest.approx(np.log(300.0))
    assert np.isnan(np.delete(told.about, 3)).all()
    assert np.exp(told.level) == pytest.approx(1000.0 / 50.0)


@pytest.mark.parametrize("system", ["hde", "pba"])
def test_metrics_tell_nothing_of_the_other_systems(system: str) -> None:
    names = load_grids(names=[system])[system].features
    told = told_of(system, names, nodes(300.0), np.array([5.0, 16_384.0, 524_288.0]), 1.0)
    assert np.isnan(told.about).all()
    assert np.isnan(told.level)


def test_unknown_is_not_zero() -> None:
    assert np.isnan(told_of("acp", consensus().features, nodes(0.0), np.array([2000.0, 25.0, 7.0]), 0.0).about).all()


def test_what_the_grid_holds_against_three_members_is_held_against_them_live() -> None:
    """The rest of what the grid measured is what a node would report, `consensus_time`."""
    grid = consensus()
    four, three = unit_of("acp", np.array([[2000.0, 25.0, 5.0], [2000.0, 25.0, 3.0]]))
    assert np.exp(three - four) == pytest.approx(INTOLERANT)
    at = {tuple(v): k for k, v in enumerate(grid.settings.astype(int).tolist())}
    quick = grid.surfaces()[:, [at[600, 25, 3], at[600, 25, 5]], 0] - np.array([three, four])
    assert (quick[:, 0] > quick[:, 1]).mean() > 0.9, "fewer members wait for fewer answers"


def test_a_part_of_the_features_is_enough_and_outside_of_the_measured_nothing_is_told() -> None:
    known = prior()
    about = live_part("acp", known.names, ABOUT)
    near = known.near(about)
    assert near is not known
    np.testing.assert_array_equal(near.mean, known.near(about.copy()).mean)
    assert known.near(np.where(np.isnan(about), np.nan, np.log(5600.0))) is known
    assert known.near(np.full(5, np.nan)) is known
    assert (known.whole, near.whole, known.near(ABOUT).whole) == (False, False, True)


def test_the_level_in_force_tells_of_the_shape() -> None:
    """Against the mean of all contexts, on contexts that it was not learned from."""
    grid, known = consensus(), prior()
    start = known.nearest(grid.default)
    off = {"untold": 0.0, "near": 0.0}
    for k in range(1, 80, 4):
        surface = grid.surfaces()[k, :, 0]
        near = known.near(live_part("acp", known.names, grid.context[k]), start, float(surface[start]))
        for name, one in (("untold", known), ("near", near)):
            wrong = (one.mean[:, 0] - one.mean[start, 0]) - (surface - surface[start])
            off[name] += float(np.abs(wrong).mean())
    assert off["near"] < 0.5 * off["untold"]


def test_what_was_told_is_doubted_when_trials_belie_it() -> None:
    grid, known = consensus(), prior()
    start = known.nearest(grid.default)
    surface = grid.surfaces()[1]
    about = live_part("acp", known.names, grid.context[1])
    right = known.near(about, start, float(surface[start, 0]))
    wrong = known.near(about, start, float(surface[start, 0]) - 2.5)
    at = np.array([start, *np.linspace(0, len(grid.settings) - 1, 12).astype(int)], np.intp)
    trials = Trials(at, surface[at])
    untold = Evidence(known, trials)
    assert not Evidence(right, trials).belies(untold)
    assert Evidence(wrong, trials).belies(untold)
    first = Trials(at[:1], surface[at[:1]])
    assert not Evidence(wrong, first).belies(Evidence(known, first))
    assert choose(Posterior(right, trials), Limits()).setting >= 0
