"""Intervals hold what errors of the same kind do."""

from __future__ import annotations

import numpy as np
import pytest

from offline.capacity.interval import OTHER_SIDE, reach, swing


def _errors(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 1.0, (24, 5, 24))


@pytest.mark.parametrize("seed", range(2))
def test_reach_holds_what_is_like_it(seed: int) -> None:
    below, above = reach(_errors(seed))
    fresh = _errors(seed + 10)
    held = (fresh >= -below[:, None]) & (fresh <= above[:, None])
    assert held.mean() == pytest.approx(0.955, abs=0.015)


@pytest.mark.parametrize("skew", [0.0, 1.0, 2.0])
def test_both_sides_together_hold_what_is_asked(skew: float) -> None:
    error = np.random.default_rng(1).normal(0.0, 1.0, (24, 5, 24))
    error = np.exp(skew * error) - np.exp(skew * skew / 2) if skew else error
    below, above = reach(error)
    held = (error >= -below[:, None]) & (error <= above[:, None])
    assert held.mean() == pytest.approx(0.95, abs=0.002)


def test_what_went_up_may_come_down() -> None:
    below, above = reach(np.abs(_errors(0)))
    np.testing.assert_allclose(below, OTHER_SIDE * above)


def test_blocks_that_were_never_seen_are_farther_off() -> None:
    error = _errors(0)
    error[:, 2:] = np.nan
    below, _ = reach(error)
    assert below[4] == pytest.approx(below[1] * np.sqrt(5 / 2))


def test_nothing_known_reaches_nowhere() -> None:
    below, above = reach(np.full((3, 4, 2), np.nan))
    assert not below.any()
    assert not above.any()


def test_a_swing_is_of_most_values_not_of_the_farthest() -> None:
    value = np.r_[np.tile([40.0, 50.0, 60.0], 50), np.nan, 1e6]
    assert swing(value) == 10.0
    assert swing(np.full(3, np.nan)) == 0.0
