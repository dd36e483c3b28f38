"""Interval tracking: the share missed is bounded by arithmetic, not by luck."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.bandwidth.interval import PRIOR_RADIUS, reach_above, reach_below, track


def tracked(errors: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Which of the errors (actual minus forecast) were missed, and the last radius and lean."""
    radius, lean = np.array([PRIOR_RADIUS]), np.zeros(1)
    missed = np.zeros(len(errors), bool)
    for k, error in enumerate(errors):
        below = bool(error < -reach_below(radius[0], lean[0]))
        above = bool(error > reach_above(radius[0], lean[0]))
        missed[k] = below or above
        track(radius, lean, 0, below, above, k, 1.0)
    return missed, float(radius[0]), float(lean[0])


RNG = np.random.default_rng(0)
ERRORS = {
    "normal": RNG.normal(size=4000),
    "heavy": RNG.standard_t(2, size=4000),
    "one_sided": RNG.exponential(size=4000),
    "growing": RNG.normal(size=4000) * np.linspace(0.1, 30.0, 4000),
    "jumping": RNG.normal(size=4000) * np.where(np.arange(4000) < 2000, 0.1, 10.0),
    "adverse": np.where(np.arange(4000) % 37 < 4, 50.0, 0.0),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_one_in_ten_is_missed_whatever_comes(kind: str) -> None:
    missed, _, _ = tracked(ERRORS[kind])
    assert missed[1000:].mean() == pytest.approx(0.1, abs=0.02)


def test_the_interval_leans_to_the_side_of_the_errors() -> None:
    assert tracked(ERRORS["one_sided"])[2] > 0.5
    assert tracked(-ERRORS["one_sided"])[2] < -0.5
    assert abs(tracked(ERRORS["normal"])[2]) < 0.3


def test_a_leaning_interval_is_narrower_than_an_even_one() -> None:
    _, radius, lean = tracked(ERRORS["one_sided"])
    even = 2.0 * np.quantile(ERRORS["one_sided"], 0.9)
    assert reach_below(radius, lean) + reach_above(radius, lean) < 0.9 * even


@pytest.mark.parametrize("error", [0.0, 1e12])
def test_the_radius_stays_in_bounds(error: float) -> None:
    _, radius, _ = tracked(np.full(3000, error))
    assert 0.01 <= radius <= 1e4
