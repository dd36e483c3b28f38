"""Intervals hold what errors of the same kind do."""

from __future__ import annotations

import numpy as np
import pytest

from offline.capacity.interval import OTHER_SIDE, reach


def _errors(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 1.0, (24, 5, 24))


@pytest.mark.parametrize("seed", range(2))
def test_reach_holds_what_is_like_it(seed: int) -> None:
    below, above = reach(_errors(seed))
    fresh = _errors(seed + 10)
    held = (fresh >= -below[:, None]) & (fresh <= above[:, None])
    assert held.mean() == pytest.approx(0.955, abs=0.015)


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
