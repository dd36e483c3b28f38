"""Sixteen-bit numbers: how far off they may be, and on which side."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.bandwidth.short_float import (
    AWAY_FROM_ZERO,
    NEAREST,
    TOWARDS_ZERO,
    lengthen,
    rounded,
    shorten,
    turn_of,
)

VALUES = np.random.default_rng(0).normal(size=200) * 10.0 ** np.random.default_rng(1).integers(-9, 9, 200)


@pytest.mark.parametrize(("rounding", "most"), [(TOWARDS_ZERO, 2.0**-7), (NEAREST, 2.0**-8), (AWAY_FROM_ZERO, 2.0**-7)])
def test_rounding_is_bounded_and_on_the_side_asked_for(rounding: int, most: float) -> None:
    for value in VALUES.tolist():
        off = rounded(value, rounding) / value - 1.0
        assert abs(off) <= most * 1.0001
        assert off <= 1e-7 if rounding == TOWARDS_ZERO else True
        assert off >= -1e-7 if rounding == AWAY_FROM_ZERO else True


@pytest.mark.parametrize("rounding", [TOWARDS_ZERO, NEAREST, AWAY_FROM_ZERO])
@pytest.mark.parametrize("value", [*VALUES[:10], 0.0, 3.0, 1e37])
def test_what_was_rounded_stays(rounding: int, value: float) -> None:
    once = rounded(value, rounding)
    assert all(lengthen(shorten(once, again)) == once for again in (TOWARDS_ZERO, NEAREST, AWAY_FROM_ZERO))


@pytest.mark.parametrize("value", [1e300, -1e300, np.inf])
def test_what_is_too_great_stays_finite(value: float) -> None:
    assert np.isfinite(rounded(value, AWAY_FROM_ZERO))


@pytest.mark.parametrize("which", range(4))
def test_turns_round_up_as_often_as_a_value_is_near_the_next(which: int) -> None:
    for share in (0.1, 0.5, 0.9):
        up = [(turn_of(turn, which) + share * 65_536) >= 65_536 for turn in range(2000)]
        assert np.mean(up) == pytest.approx(share, abs=0.02)
