"""Any series becomes an even grid, or says why not."""

from __future__ import annotations

import numpy as np
import pytest

from offline.capacity.history import DAY_MS, HOUR_MS, History, fill, make_history, without_outliers
from schemas.error import ConfigError

START_MS = 1_704_067_200_000


def _every(ms: int, many: int) -> History:
    times = START_MS + ms * np.arange(many, dtype=np.int64)
    return make_history("x", times, np.arange(many, dtype=float))


@pytest.mark.parametrize(
    ("period_ms", "many", "step_ms", "per_block", "season"),
    [
        (60_000, 60 * 24 * 20, HOUR_MS, 24, 7),
        (300_000, 12 * 24 * 20, HOUR_MS, 24, 7),
        (1_800_000, 48 * 20, HOUR_MS, 24, 7),
        (HOUR_MS, 24 * 20, HOUR_MS, 24, 7),
        (HOUR_MS, 24 * 10, HOUR_MS, 24, 1),
        (5 * HOUR_MS, 200, 6 * HOUR_MS, 4, 7),
        (DAY_MS, 120, DAY_MS, 1, 7),
        (7 * DAY_MS, 120, 7 * DAY_MS, 1, 1),
    ],
)
def test_the_step_follows_the_period(period_ms: int, many: int, step_ms: int, per_block: int, season: int) -> None:
    history = _every(period_ms, many)
    assert (history.step_ms, history.per_block, history.season) == (step_ms, per_block, season)


def test_months_have_a_year() -> None:
    months = np.arange("2000-01", "2012-01", dtype="M8[M]").astype("M8[ms]").astype(np.int64)
    history = make_history("x", months, np.arange(144.0))
    assert (len(history), history.points, history.season) == (144, 144, 12)


def test_an_hour_is_the_mean_of_its_values() -> None:
    times = START_MS + 60_000 * np.arange(60 * 120, dtype=np.int64)
    history = make_history("x", times, np.tile(np.arange(60.0), 120))
    assert history.value.tolist() == [29.5] * 120


def test_gaps_and_nan_are_not_known() -> None:
    times = START_MS + HOUR_MS * np.array([*range(100), *range(150, 250)], np.int64)
    value = np.ones(200)
    value[3] = np.nan
    value[4] = np.inf
    history = make_history("x", times, value)
    assert (len(history), history.points) == (250, 198)
    assert np.isfinite(fill(history)).all()


@pytest.mark.parametrize("many", [0, 1, 99])
def test_too_few_points_are_refused_with_how_many(many: int) -> None:
    with pytest.raises(ConfigError, match=f"at least 100 points in time; it has {many}"):
        _every(HOUR_MS, many)


def test_many_points_within_few_hours_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 100 means of 1 h; it has 5"):
        _every(60_000, 300)


def test_a_gap_is_filled_from_a_week_before() -> None:
    value = np.tile(np.arange(168.0), 4)
    value[500:530] = np.nan
    assert fill(History(0, HOUR_MS, value)).ravel().tolist() == np.tile(np.arange(168.0), 4).tolist()


@pytest.mark.parametrize("hole", [slice(0, 24), slice(0, 400), slice(100, 672)])
def test_holes_anywhere_leave_no_gap(hole: slice) -> None:
    value = np.tile(np.arange(168.0), 4)
    value[hole] = np.nan
    assert np.isfinite(fill(History(0, HOUR_MS, value))).all()


def test_only_what_is_far_off_is_dropped() -> None:
    rng = np.random.default_rng(1)
    value = 50 + rng.normal(0, 1, 24 * 60)
    value[700] = 500.0
    clean = without_outliers(History(0, HOUR_MS, value)).value
    assert np.flatnonzero(np.isnan(clean)).tolist() == [700]


def test_a_level_shift_is_no_outlier() -> None:
    rng = np.random.default_rng(1)
    value = 20 + rng.normal(0, 1, 24 * 60) + 40 * (np.arange(24 * 60) > 800)
    clean = without_outliers(History(0, HOUR_MS, value)).value
    assert np.isnan(clean).mean() < 0.02


@pytest.mark.parametrize("value", [np.zeros(240), np.full(240, 5.0)])
def test_constants_have_no_outliers(value: np.ndarray) -> None:
    assert without_outliers(History(0, HOUR_MS, value)).points == 240


@pytest.mark.parametrize("slope", [-2.0, 0.5, 2.0])
def test_growth_is_no_outlier_at_the_end(slope: float) -> None:
    t = np.arange(24 * 60) / 24.0
    grown = 200.0 + slope * t + np.random.default_rng(0).normal(0.0, 0.05, len(t))
    left = np.isfinite(without_outliers(History(0, HOUR_MS, grown)).value)
    assert left[-24:].mean() > 0.8
    assert left[:24].mean() > 0.8
