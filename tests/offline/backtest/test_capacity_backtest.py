"""`dwcp backtest capacity`: honest figures on any series."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from offline.backtest.capacity import backtest_history
from offline.backtest.capacity_command import capacity
from offline.capacity.history import DAY_MS, HOUR_MS, History
from offline.capacity.pool import METHODS, SIMPLE
from schemas.error import ConfigError

SHARED = Path(__file__).parents[4] / "shared" / "data"


def _load(days: int, seed: int = 0) -> History:
    t = np.arange(24 * days) / 24
    value = 50 + 8 * np.sin(2 * np.pi * t) + 4 * (t.astype(int) % 7 >= 5)
    return History(0, HOUR_MS, value + np.random.default_rng(seed).normal(0, 2, len(t)))


def test_every_method_stands_beside_the_blend() -> None:
    result = backtest_history("x", _load(120), 30 * DAY_MS, 4)
    assert [one.name for one in result.methods] == ["blend", *METHODS]
    assert result.best_simple in SIMPLE
    naive = next(one for one in result.methods if one.name == "seasonal_naive")
    assert naive.ratio == 1.0
    blend = result.methods[0]
    assert blend.ratio is not None
    assert blend.ratio < 0.8
    assert 0.9 < blend.coverage <= 1.0
    assert (result.origins, result.horizon_days, result.note) == (4, 30.0, "")
    assert result.scored == 4 * 30 * 24


def test_figures_are_what_they_say() -> None:
    history = _load(60)
    result = backtest_history("x", history, 5 * DAY_MS, 1)
    begin = len(history) - 24 * 60 + 24 * 30
    past, actual = history.value[:begin], history.value[begin : begin + 24 * 5]
    naive = np.abs(actual - past[-168:][: 24 * 5]).mean()
    found = next(one for one in result.methods if one.name == "seasonal_naive")
    assert found.mase == pytest.approx(naive / np.abs(past[168:] - past[:-168]).mean(), rel=0.1)
    assert found.wape == pytest.approx(found.mae / np.abs(actual).mean())


def test_what_comes_after_an_origin_changes_nothing_before_it() -> None:
    history = _load(90)
    changed = history.value.copy()
    changed[24 * 80 :] = 0.0
    one = backtest_history("x", history.until(24 * 80), 10 * DAY_MS, 3)
    other = backtest_history("x", History(0, HOUR_MS, changed).until(24 * 80), 10 * DAY_MS, 3)
    assert one.methods == other.methods


@pytest.mark.parametrize(("days", "horizon"), [(90, 30), (60, 20), (30, 10), (8, 2)])
def test_a_short_history_carries_a_shorter_horizon(days: int, horizon: int) -> None:
    result = backtest_history("x", _load(days), 30 * DAY_MS, 2)
    assert result.horizon_days == horizon
    assert (result.note == "") == (horizon == 30)
    if result.note:
        assert f"{days}.0 days of history carry a backtest of {horizon} days" in result.note


@pytest.mark.parametrize("value", [np.zeros(400), np.full(400, 3.0), -np.arange(400.0)])
def test_degenerate_series_have_undefined_figures_or_sound_ones(value: np.ndarray) -> None:
    result = backtest_history("x", History(0, HOUR_MS, value), 30 * DAY_MS, 3)
    assert all(one.mase is None or np.isfinite(one.mase) for one in result.methods)
    assert json.dumps([one.mae for one in result.methods])


def test_gaps_are_not_scored() -> None:
    value = _load(60).value
    value[24 * 50 : 24 * 55] = np.nan
    whole, gap = (backtest_history("x", History(0, HOUR_MS, v), 10 * DAY_MS, 3) for v in (_load(60).value, value))
    assert gap.scored < whole.scored


def test_single_steps_are_forecast_from_many_origins() -> None:
    months = History(0, 30 * DAY_MS, 100 + np.arange(144.0) + 10 * np.sin(np.arange(144) * np.pi / 6))
    result = backtest_history("x", months, 30 * DAY_MS)
    assert result.origins > 60
    assert result.methods[0].ratio is not None
    assert result.methods[0].ratio < 0.7


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    history = _load(45)
    lines = ["when,load,few"]
    for k, value in enumerate(history.value):
        lines.append(f"{k * HOUR_MS + 1_704_067_200_000},{value},{k if k < 50 else ''}")
    path = tmp_path / "load.csv"
    path.write_text("\n".join(lines))
    return path


def test_a_program_reads_json(csv: Path) -> None:
    result = CliRunner().invoke(capacity, ["--csv", str(csv), "--horizon", "7d", "--origins", "3", "--json"])
    document = json.loads(result.stdout)
    (column,) = document["columns"]
    assert (column["column"], column["horizon_days"]) == ("load", 7.0)
    assert column["seconds_per_series"] > 0
    assert "at least 100 points" in document["left_out"]["few"]
    assert sum(column["weights"].values()) == pytest.approx(1.0)


def test_people_read_a_table(csv: Path) -> None:
    text = CliRunner().invoke(capacity, ["--csv", str(csv), "--value", "load", "--origins", "2"]).stdout
    assert "load: 1080 points, one per 1 h, 45.0 days" in text
    assert "45.0 days of history carry a backtest of 15 days" in text
    assert "seasonal_naive *" in text


def test_a_column_that_was_asked_for_must_do(csv: Path) -> None:
    with pytest.raises(ConfigError, match="at least 100 points"):
        CliRunner().invoke(capacity, ["--csv", str(csv), "--value", "few"], catch_exceptions=False)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public series are not in the repository")
def test_a_public_series_keeps_its_figure() -> None:
    path = SHARED / "ms-cloud-monitoring/data/ecommerce-api-incoming-rps/api-01.csv"
    result = CliRunner().invoke(capacity, ["--csv", str(path), "--value", "Value", "--origins", "4", "--json"])
    blend = json.loads(result.stdout)["columns"][0]["methods"][0]
    assert blend["ratio"] < 0.88
    assert 0.9 < blend["coverage"] <= 1.0
