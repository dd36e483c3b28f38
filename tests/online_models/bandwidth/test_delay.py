"""Feedback is as late as the horizon: no error teaches before its sample is there, in workers and in backtests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline.backtest.bandwidth import interval_all
from online_models.bandwidth.horizon import HorizonState
from online_models.bandwidth.interval import PRIOR_RADIUS
from schemas.network import NetworkSample
from schemas.topic import NETWORK_HORIZON
from tests.online_models.stream import MINUTE_MS, START_MS, sample, samples_of

SAID = ("predicted_bandwidth_mbps", "lower", "upper", "confidence")
LENGTH = 90


def series(values: np.ndarray) -> list[NetworkSample]:
    return [sample(START_MS + k * MINUTE_MS, rate=float(value)) for k, value in enumerate(values)]


def said(values: np.ndarray, minutes: int) -> np.ndarray:
    """Everything that forecasts say, `[n, ...]`, of samples a minute apart."""
    columns = HorizonState(minutes * MINUTE_MS).step(samples_of(series(values))).outputs[NETWORK_HORIZON].columns
    return np.column_stack([np.asarray(columns[name]).reshape(len(values), -1) for name in SAID])


VALUES = np.random.default_rng(0).uniform(50.0, 150.0, LENGTH)


@settings(deadline=None, max_examples=25)
@given(minutes=st.sampled_from([1, 5, 15, 30]), cut=st.integers(1, LENGTH - 1), seed=st.integers(0, 1000))
def test_whatever_comes_later_changes_no_forecast_before(minutes: int, cut: int, seed: int) -> None:
    later = VALUES.copy()
    later[cut:] = np.random.default_rng(seed).uniform(0.0, 1e6, LENGTH - cut)
    before, after = said(VALUES, minutes), said(later, minutes)
    np.testing.assert_array_equal(before[:cut], after[:cut])
    assert (before[cut] != after[cut]).any()


@pytest.mark.parametrize("minutes", [1, 5, 15, 30])
def test_radius_weights_and_scores_stand_still_until_the_first_target_time(minutes: int) -> None:
    """Hit or miss, a forecast's error is known with its sample: minute by minute, not one sooner, not one later."""
    state = HorizonState(minutes * MINUTE_MS)
    for k, record in enumerate(series(VALUES)):
        state.step(samples_of([record]))
        (link,) = state._table.rows
        scored = max(k + 1 - minutes, 0)
        if minutes <= 15:  # of longer horizons not every minute's forecast is kept
            assert link["scored"] == scored
        assert (link["scored"] == 0) == (scored == 0)
        assert (link["taught"] == 0) == (scored == 0)
        if not scored:
            assert not link["regret"].any()
            assert not link["radius"].any()
            assert (state._models["radius"] == PRIOR_RADIUS).all()


@pytest.mark.parametrize("horizon", [1, 3, 15])
@pytest.mark.parametrize("cut", [20, 50])
def test_a_backtests_intervals_know_a_sample_once_it_is_there(horizon: int, cut: int) -> None:
    n = LENGTH
    meets = np.where(np.arange(n) + horizon < n, np.arange(n) + horizon, -1)
    forecasts = np.full((n, 1), 100.0)
    other = VALUES.copy()
    other[cut] = 1e9
    found = [interval_all(forecasts, np.full(n, 5.0), meets, actual) for actual in (VALUES, other)]
    (lower, upper), (other_lower, other_upper) = found
    np.testing.assert_array_equal(lower[:cut], other_lower[:cut])
    np.testing.assert_array_equal(upper[:cut], other_upper[:cut])
    missed = not lower[cut - horizon, 0] <= VALUES[cut] <= upper[cut - horizon, 0]
    assert (upper[cut, 0] == other_upper[cut, 0]) == (missed and VALUES[cut] > upper[cut - horizon, 0])
