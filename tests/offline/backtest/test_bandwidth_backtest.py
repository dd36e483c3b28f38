"""Forecasts of series of many kinds: never much worse than the bars, intervals that hold, nothing known too early."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offline.backtest.bandwidth import Backtest, Quality, backtest_column, interval_all
from offline.backtest.bandwidth_stream import stream_link
from offline.backtest.grid import Grid, make_grid
from online_models.bandwidth.expert import MOVING_AVERAGE, PERSISTENCE
from online_models.bandwidth.state import NetworkState
from online_models.bandwidth.vote import BOUNDS
from schemas.network import HORIZON_MS
from schemas.topic import NETWORK_FORECAST
from tests.offline.backtest.kinds import MOVING, PERIODS, STATIONARY, make_kind
from tests.online_models.stream import sample, samples_of

MINUTE_MS = 60_000


def quality(result: Backtest, name: str) -> Quality:
    return next(one for one in result.forecasters if one.name == name)


@pytest.mark.parametrize("kind", [*STATIONARY, *MOVING])
def test_published_is_never_much_worse_than_the_bars(kind: str) -> None:
    ratios = [backtest_column(kind, make_kind(kind, period_ms)).ratio or np.inf for period_ms in PERIODS]
    assert max(ratios) < 1.05  # one realisation of 600 scores, 40 of them apart by the horizon
    assert np.exp(np.log(ratios).mean()) < 1.01


@pytest.mark.parametrize("period_ms", PERIODS)
@pytest.mark.parametrize("kind", STATIONARY)
def test_intervals_cover_nine_of_ten(kind: str, period_ms: int) -> None:
    result = backtest_column(kind, make_kind(kind, period_ms, n=6000))
    assert result.n > 800
    assert 0.86 <= quality(result, "published").coverage <= 0.94


@pytest.mark.parametrize(
    ("kind", "period_ms", "ratio"),
    [("noise", MINUTE_MS, 0.97), ("daily", 300_000, 0.9), ("weekly", 3_600_000, 0.6), ("zeros", 300_000, 0.95)],
)
def test_where_something_can_be_known_it_is_used(kind: str, period_ms: int, ratio: float) -> None:
    found = backtest_column(kind, make_kind(kind, period_ms, n=6000)).ratio
    assert found is not None
    assert found < ratio


def test_a_cycle_of_minutes_is_met_in_every_phase() -> None:
    time_ms = np.arange(9000) * MINUTE_MS
    value = 100.0 + 50.0 * (np.arange(9000) % 20 < 10) + np.random.default_rng(0).normal(size=9000)
    found = backtest_column("square", Grid(time_ms, value, MINUTE_MS, 0)).ratio
    assert found is not None
    assert found < 0.9


@pytest.mark.parametrize("kind", ["walk", "daily", "outliers"])
def test_no_sample_is_used_before_it_is_there(kind: str) -> None:
    grid = make_kind(kind, MINUTE_MS, 600)
    later = grid.value.copy()
    later[400:] = 1e6 - later[400:]
    one, other = (stream_link(each, 0, HORIZON_MS, BOUNDS) for each in (grid, replace(grid, value=later)))
    assert one[:400].tobytes() == other[:400].tobytes()
    assert one[400].tobytes() != other[400].tobytes()


def test_every_forecasters_intervals_wait_for_their_sample() -> None:
    rng = np.random.default_rng(0)
    values, actual = rng.normal(size=(300, 3)), rng.normal(size=300)
    meets = np.where(np.arange(300) < 285, np.arange(300) + 15, -1)
    changed = actual.copy()
    changed[200:] += 50.0
    one, other = (interval_all(values, np.ones(300), meets, each)[0] for each in (actual, changed))
    assert (one[:200] == other[:200]).all()
    assert (one[200] != other[200]).all()


@pytest.mark.parametrize("factor", [1e-6, 1e9])
@pytest.mark.parametrize("kind", ["daily", "shifts"])
def test_skill_does_not_depend_on_the_unit(kind: str, factor: float) -> None:
    grid = make_kind(kind, 300_000)
    one = backtest_column(kind, grid)
    other = backtest_column(kind, replace(grid, value=factor * grid.value))
    assert one.ratio is not None
    assert other.ratio == pytest.approx(one.ratio, rel=5e-3)  # what waits is rounded to eight significant bits
    assert quality(other, "published").coverage == pytest.approx(quality(one, "published").coverage, abs=0.01)


def test_a_worker_publishes_the_same() -> None:
    grid = make_kind("daily", MINUTE_MS, 700)
    made = stream_link(grid, 0, HORIZON_MS, BOUNDS)
    pairs = zip(grid.time_ms.tolist(), grid.value.tolist(), strict=True)
    records = [sample(at, rate=value, rtt=0.0, jitter_ms=0.0) for at, value in pairs]
    published = NetworkState().step(samples_of(records)).outputs[NETWORK_FORECAST].columns
    np.testing.assert_array_equal(published["predicted_bandwidth_mbps"], made["predicted"][:, 0])
    np.testing.assert_array_equal(np.asarray(published["lower"])[:, 0], made["lower"][:, 0])
    np.testing.assert_array_equal(np.asarray(published["upper"])[:, 0], made["upper"][:, 0])


def test_figures_are_those_of_a_slow_reference() -> None:
    grid = make_kind("counts", 300_000, 400)
    result = backtest_column("counts", grid, test_fraction=0.25)
    pairs = [(grid.value[k - 3], grid.value[max(0, k - 12) : k - 2].mean(), grid.value[k]) for k in range(300, 400)]
    last, mean, actual = np.array(pairs).T
    some = actual != 0
    assert result.n == 100
    for name, value in (("persistence", last), ("moving_average", mean)):
        found = quality(result, name)
        error = np.abs(value - actual)
        assert found.mae == pytest.approx(error.mean())
        assert found.mape == pytest.approx((error[some] / actual[some]).mean())
        assert found.r2 == pytest.approx(1 - (error**2).sum() / ((actual - actual.mean()) ** 2).sum())


@pytest.mark.parametrize("value", [0.0, 7.0, -1e-6, 1e9])
def test_a_constant_is_forecast_exactly(value: float) -> None:
    grid = Grid(np.arange(500) * 300_000, np.full(500, value), 300_000, 0)
    result = backtest_column("constant", grid)
    published = quality(result, "published")
    assert published.mae == pytest.approx(0.0, abs=2.0**-24 * abs(value))
    assert published.coverage == 1.0
    assert published.r2 is None
    assert result.ratio is None


def test_a_series_with_holes_is_scored_where_a_sample_lies_one_horizon_later() -> None:
    whole = make_kind("autoregression", MINUTE_MS, 3000)
    keep = np.ones(3000, bool)
    keep[np.random.default_rng(1).integers(0, 3000, 600)] = False
    keep[2700:2800] = False
    result = backtest_column("holes", Grid(whole.time_ms[keep], whole.value[keep], MINUTE_MS, 0))
    wanted = set(whole.time_ms[keep].tolist())
    first = round(keep.sum() * 0.85)
    targets = whole.time_ms[keep][first:]
    assert result.n == sum(at - HORIZON_MS in wanted for at in targets.tolist())
    assert result.ratio is not None
    assert result.ratio < 1.02


@pytest.mark.parametrize(
    ("period_ms", "asked_ms", "used_ms"),
    [(3_600_000, 900_000, 3_600_000), (400_000, 900_000, 800_000), (60_000, 60_000, 60_000)],
)
def test_the_horizon_is_a_whole_number_of_periods(period_ms: int, asked_ms: int, used_ms: int) -> None:
    result = backtest_column("noise", make_kind("noise", period_ms, 200), None, asked_ms)
    assert result.horizon_ms == used_ms
    assert result.n == 30


@pytest.mark.parametrize("kind", ["weekly", "daily"])
def test_history_before_1970_is_forecast_alike(kind: str) -> None:
    grid = make_kind(kind, 3_600_000, 900)
    weeks = 3200 * 7 * 24 * 3_600_000
    earlier = backtest_column(kind, replace(grid, time_ms=grid.time_ms - weeks))
    assert earlier.test_from_ms < 0
    one, other = (quality(found, "published") for found in (earlier, backtest_column(kind, grid)))
    assert one.mae == pytest.approx(other.mae, rel=0.08)  # climate and profile round by turns that depend on the time
    assert one.coverage == pytest.approx(other.coverage, abs=0.01)


def test_a_target_has_its_bounds_and_a_bare_column_none() -> None:
    grid = make_kind("zeros", MINUTE_MS, 1000)
    bounded = stream_link(replace(grid, value=0.2 * grid.value), 2, HORIZON_MS, BOUNDS)
    assert (bounded["lower"][:, 2] >= 0.0).all()
    assert (bounded["upper"][:, 2] <= 1.0).all()
    negative = backtest_column("negative", replace(grid, value=grid.value - 50.0))
    assert quality(negative, "published").mae < 1.02 * quality(negative, "persistence").mae


def test_experts_are_in_the_documented_places() -> None:
    grid = make_kind("noise", MINUTE_MS, 40)
    made = stream_link(grid, 0, HORIZON_MS, BOUNDS)
    assert made["expert"][-1, PERSISTENCE, 0] == np.float32(grid.value[-1])
    assert made["expert"][-1, MOVING_AVERAGE, 0] == pytest.approx(grid.value[-10:].mean())


def test_values_that_are_not_finite_are_left_out_and_counted() -> None:
    value = np.arange(100.0)
    value[[3, 50]] = np.nan, np.inf
    grid = make_grid("v", np.arange(100) * 1000, value)
    assert grid.dropped == 2
    assert len(grid.value) == 98
