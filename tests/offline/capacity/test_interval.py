"""Intervals hold what errors of the same kind do, and widen when errors outgrow what was known."""

from __future__ import annotations

import numpy as np
import pytest

from offline.capacity.interval import SURPRISE_MAX, WIDER, reach, surprise, widen

ORIGINS = np.arange(20, 44)


def _errors(growth: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 1.0, (24, 5, 24)) * np.exp(growth * np.arange(24))[:, None, None]


@pytest.mark.parametrize("seed", range(3))
def test_steady_errors_surprise_nobody(seed: int) -> None:
    assert surprise(_errors(0.0, seed), ORIGINS) == pytest.approx(1.0, abs=0.05)


def test_growing_errors_do() -> None:
    assert surprise(_errors(0.08), ORIGINS) > 1.3


def test_only_what_was_known_then_counts() -> None:
    """Errors of the blocks after an origin are no knowledge of it: the last origin's alone cannot calm the others."""
    error = _errors(0.08)
    before = surprise(error[:, :1], ORIGINS)
    assert surprise(error, ORIGINS) > before


@pytest.mark.parametrize(("growth", "most"), [(0.0, 1.06), (0.5, SURPRISE_MAX)])
def test_the_widening_is_bounded(growth: float, most: float) -> None:
    few = 1.0 + WIDER * 5 / 24
    assert few <= widen(_errors(growth), ORIGINS, 44) <= few * most


def test_too_few_errors_say_nothing() -> None:
    assert surprise(np.full((24, 5, 24), np.nan), ORIGINS) == 1.0


@pytest.mark.parametrize("seed", range(2))
def test_reach_holds_what_is_like_it(seed: int) -> None:
    below, above = reach(_errors(0.0, seed))
    fresh = _errors(0.0, seed + 10)
    held = (fresh >= -below[:, None]) & (fresh <= above[:, None])
    assert held.mean() == pytest.approx(0.955, abs=0.015)
