"""Forecasts of the pool and its blend, on series whose future is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offline.capacity.blend import ORIGINS, Outlook, choose_origins, look_ahead, reach, sound_horizon, weigh
from offline.capacity.history import DAY_MS, HOUR_MS, History, fill
from offline.capacity.interval import RECENT_BLOCKS, SWING, swing
from offline.capacity.pool import METHODS, SIMPLE, Pool
from offline.capacity.smoothing import BANK, smooth

Make = Callable[..., History]


@pytest.mark.parametrize("name", METHODS)
def test_no_method_looks_ahead(name: str, hourly: Make) -> None:
    table = fill(hourly(60))
    changed = table.copy()
    changed[40:] = -1e6
    one, other = (METHODS[name](Pool(t, 7, 364), 40, 10) for t in (table, changed))
    if name != "ets_ratio":  # whether all values are positive is asked of the whole table
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_knows_what_repeats(name: str) -> None:
    if name in ("daily_mean", "daily_median", "level_median"):
        table = np.tile(np.arange(24.0) if name != "level_median" else 5.0, (70, 1)) * np.ones((70, 24))
    else:
        table = np.tile(np.add.outer(3.0 * np.arange(7), np.arange(24.0)), (10, 1)) + 50.0
    ahead = METHODS[name](Pool(table, 7, 0), 70, 14)
    np.testing.assert_allclose(ahead, table[:14], atol=1.6)


@pytest.mark.parametrize("name", ["drift", "trend", "trend_28d", "ets", "theta"])
def test_growth_goes_on(name: str) -> None:
    table = np.add.outer(0.5 * np.arange(70), np.zeros(24))
    ahead = METHODS[name](Pool(table, 7, 0), 70, 14)[-1].mean()
    assert 35.5 < ahead < 43.0


def test_last_year_comes_again() -> None:
    day = np.arange(3 * 364)
    table = (10 + 5 * np.sin(2 * np.pi * day / 364))[:, None]
    pool = Pool(table, 7, 364)
    found = METHODS["last_year"](pool, 2 * 364, 60)[:, 0]
    np.testing.assert_allclose(found, table[728:788, 0], atol=0.6)


@pytest.mark.parametrize("season", [1, 7, 12])
def test_the_bank_s_states_do_not_depend_on_what_follows(season: int) -> None:
    z = np.random.default_rng(0).normal(size=100)
    whole, part = smooth(z, season), smooth(z[:60], season)
    for a, b in zip(whole, part, strict=True):
        assert np.array_equal(a[:61], b)
    assert whole[0].shape == (101, len(BANK))


def test_weights_sum_to_one_and_follow_the_errors() -> None:
    error = np.random.default_rng(0).uniform(0.0, 2.0, (5, 3, 4, 2))
    error[:, 1] *= 0.5
    error[:, 2] *= 50.0
    weight, merit = weigh(error, np.arange(5, 0, -1))
    for found in (weight, merit):
        assert found.sum() == pytest.approx(1.0)
        assert found[1] > 0.9 > found[0] > found[2]


def test_recent_errors_weigh_more() -> None:
    error = np.ones((2, 2, 1, 1))
    error[0, 0], error[1, 1] = 2.0, 2.0
    weight, _ = weigh(error, np.array([60, 1]))
    assert weight[0] > 2 * weight[1]


def test_no_error_at_all_shares_alike() -> None:
    assert weigh(np.zeros((3, 4, 2, 1)), np.arange(3, 0, -1))[0].tolist() == [0.25] * 4


def test_a_method_that_is_worse_by_chance_keeps_more_than_one_that_always_is() -> None:
    error = np.ones((20, 3, 1, 1))
    error[:, 1] = 1.1
    error[:, 2, 0, 0] = np.where(np.arange(20) % 2, 0.1, 2.1)
    weight, merit = weigh(error, np.full(20, 20))
    assert merit[1] == pytest.approx(merit[2])
    assert weight[2] > 2 * weight[1]


def test_more_past_makes_a_difference_more_certain() -> None:
    error = 1.0 + np.random.default_rng(0).normal(0.0, 0.1, (20, 2, 5, 1))
    error[:, 1] += 0.05
    little, much = (weigh(error, np.arange(20, 0, -1) * spread)[0] for spread in (1, 8))
    assert little[1] > 1.5 * much[1]


def test_methods_at_odds_widen_the_interval(hourly: Make) -> None:
    """The last week's level is the past's or a new one: no residual knows which."""
    calm = hourly(60)
    value = calm.value.copy()
    value[-7 * 24 :] += 12.0
    moved = History(calm.first_ms, HOUR_MS, value)
    one, other = (look_ahead(history, 10) for history in (calm, moved))

    def farther(outlook: Outlook) -> np.ndarray:
        below, above = reach(outlook.residual)
        room = (outlook.upper - outlook.lower).mean(axis=1) - below - above
        return np.asarray(room - 2 * SWING * swing(outlook.history.value[-24 * RECENT_BLOCKS :]))

    assert (farther(other) > 3 * farther(one)).all()
    assert np.ptp(other.apart) > 3 * np.ptp(one.apart)


def test_what_swings_may_move_by_a_share_of_it() -> None:
    """Both repeat and are as noisy; the one that swings has more room to change for good."""
    noise = np.random.default_rng(3).normal(0.0, 1.0, 24 * 60)
    day = np.sin(2 * np.pi * np.arange(24 * 60) / 24)
    one, other = (look_ahead(History(0, HOUR_MS, 60.0 + size * day + noise), 10) for size in (0.0, 20.0))
    wider = ((other.upper - other.lower) - (one.upper - one.lower)).mean()
    assert wider == pytest.approx(2 * SWING * 20.0 / np.sqrt(2), rel=0.15)


def test_bursts_are_kept_where_they_were(hourly: Make) -> None:
    calm = hourly(90)
    value = calm.value.copy()
    value[-30] += 60.0
    value[100] += 60.0
    bursts = look_ahead(History(calm.first_ms, HOUR_MS, value), 10).bursts
    assert bursts.shape == (RECENT_BLOCKS, 24)
    assert bursts.ravel()[-30] == pytest.approx(60.0, abs=5.0)
    assert np.abs(np.delete(bursts.ravel(), -30)).max() < 10.0


def test_intervals_never_narrow_and_hold_what_they_were_made_of() -> None:
    residual = np.random.default_rng(0).normal(size=(24, 30, 24)) * np.linspace(1, 3, 30)[None, :, None]
    below, above = reach(residual)
    assert (np.diff(below) >= 0).all()
    assert (np.diff(above) >= 0).all()
    held = (residual >= -below[:, None]) & (residual <= above[:, None])
    assert held.mean() > 0.94


@pytest.mark.parametrize(("blocks", "season", "horizon"), [(8, 1, 2), (30, 7, 10), (365, 7, 30), (101, 1, 1)])
def test_origins_leave_a_past_and_a_future(blocks: int, season: int, horizon: int) -> None:
    origins = choose_origins(blocks, season, horizon)
    assert 1 <= len(origins) <= ORIGINS
    assert origins[0] >= min(season + 1, blocks - 1)
    assert origins[-1] == blocks - 1


@pytest.mark.parametrize("growth", [0.0, 0.3])
def test_a_regular_load_is_forecast_well(growth: float, hourly: Make) -> None:
    whole = hourly(120, growth=growth)
    outlook = look_ahead(whole.until(90 * 24), 30)
    actual = whole.value[90 * 24 :].reshape(30, 24)
    assert np.abs(outlook.predicted - actual).mean() < 1.8
    assert ((outlook.lower <= actual) & (actual <= outlook.upper)).mean() > 0.9
    assert sum(outlook.weights.values()) == pytest.approx(1.0)
    assert outlook.ratio is not None
    assert outlook.ratio < 0.9


def test_a_level_shift_is_followed() -> None:
    rng = np.random.default_rng(2)
    value = 20 + rng.normal(0, 1, 24 * 90) + 30 * (np.arange(24 * 90) > 24 * 60)
    outlook = look_ahead(History(0, HOUR_MS, value), 30)
    assert outlook.predicted.mean() == pytest.approx(50.0, abs=3.0)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(np.zeros(24 * 30), id="zeros"),
        pytest.param(np.full(24 * 30, 7.5), id="constant"),
        pytest.param(np.arange(24 * 30) * -1.0, id="falling below zero"),
        pytest.param(np.where(np.arange(24 * 30) % 100 == 0, 1e6, 0.0), id="rare spikes"),
        pytest.param(np.where(np.arange(24 * 30) % 5 == 0, np.nan, 3.0), id="a fifth missing"),
        pytest.param(np.full(24 * 30, 1e-300), id="tiny"),
        pytest.param(np.random.default_rng(0).normal(0, 1e12, 24 * 30), id="huge"),
    ],
)
def test_odd_series_are_forecast_without_a_warning(value: np.ndarray) -> None:
    outlook = look_ahead(History(0, HOUR_MS, value), 10)
    for found in (outlook.predicted, outlook.lower, outlook.upper):
        assert np.isfinite(found).all()
    assert (outlook.lower <= outlook.predicted).all()
    assert (outlook.predicted <= outlook.upper).all()
    assert value[np.isfinite(value)].min() < 0 or (outlook.lower >= 0).all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(101, 900), st.integers(0, 10_000), st.sampled_from([HOUR_MS, 6 * HOUR_MS, DAY_MS, 7 * DAY_MS]))
def test_any_length_and_step_is_forecast(many: int, seed: int, step_ms: int) -> None:
    rng = np.random.default_rng(seed)
    value = np.cumsum(rng.normal(size=many))
    value[rng.random(many) < 0.2] = np.nan
    value[0] = value[-1] = 1.0
    history = History(0, step_ms, value)
    horizon = sound_horizon(history, 30 * DAY_MS)
    outlook = look_ahead(history, horizon)
    assert outlook.predicted.shape == (horizon, history.per_block)
    assert np.isfinite(outlook.upper - outlook.lower).all()


@pytest.mark.parametrize(
    ("days", "share", "blocks"), [(90, 1.0, 30), (90, 1 / 3, 30), (60, 1 / 3, 20), (20, 1.0, 20), (5, 1 / 3, 1)]
)
def test_a_horizon_is_sound(days: int, share: float, blocks: int, hourly: Make) -> None:
    assert sound_horizon(hourly(days), 30 * DAY_MS, share) == blocks


def test_the_simple_methods_are_in_the_pool() -> None:
    assert set(SIMPLE) < set(METHODS)
