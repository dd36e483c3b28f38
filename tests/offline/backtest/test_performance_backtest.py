"""Backtests look at nothing that was not known, and stand every method beside the simple ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from offline.backtest.performance import BASE, CHOSEN, backtest_series, objective_of
from offline.backtest.performance_command import performance
from offline.training.performance_model import METHODS
from offline.training.performance_online import ONLINE, stream_series
from schemas.error import ConfigError

MINUTE_MS = 60_000
START_MS = 1_767_571_200_000


def _series(n: int = 600, seed: int = 0) -> tuple[Any, Any]:
    """Waves of two hours with noise, one sample a minute."""
    rng = np.random.default_rng(seed)
    wave = 100 + 30 * np.sin(2 * np.pi * np.arange(n) / 120)
    return START_MS + MINUTE_MS * np.arange(n), wave + rng.normal(0, 4, n)


@pytest.fixture(scope="module")
def found() -> Any:
    time_ms, values = _series()
    return backtest_series("latency", time_ms, values, None, 0.9, 5, origins=2)


def test_every_method_stands_beside_the_others(found: Any) -> None:
    names = [one.name for one in found.methods]
    assert names == [CHOSEN, BASE, *METHODS, ONLINE]
    assert len({one.breach.n for one in found.methods}) == len({one.breach.base_rate for one in found.methods}) == 1
    assert found.methods[0].breach.n >= 0.4 * 600 - 10


def test_what_was_chosen_beats_the_simple_methods(found: Any) -> None:
    by_name = {one.name: one for one in found.methods}
    simple = [by_name[name] for name in (BASE, "persistence", "moving_average")]
    assert by_name[CHOSEN].latency.mae < min(one.latency.mae for one in simple)
    assert by_name[CHOSEN].breach.brier < min(one.breach.brier for one in simple)
    assert by_name[CHOSEN].breach.pr_auc > by_name[BASE].breach.base_rate


def test_the_objective_is_of_the_past_alone() -> None:
    values = np.concatenate([np.arange(600.0), np.full(400, 1e9)])
    assert objective_of(values, None, 0.95) == pytest.approx(np.quantile(np.arange(600.0), 0.95))
    assert objective_of(values, 7.0, 0.95) == 7.0


def test_what_comes_after_changes_no_earlier_answer() -> None:
    time_ms, values = _series(300)
    other = values.copy()
    other[200:] *= 3
    first, second = (stream_series(time_ms, v, 120.0) for v in (values, other))
    assert (first.probability[:200] == second.probability[:200]).all()
    assert (first.value[:200] == second.value[:200]).all()


def test_empty_cells_and_repeats_are_left_out() -> None:
    time_ms, values = _series(200)
    values[::50] = np.nan
    time_ms[10] = time_ms[9]
    found = backtest_series("latency", time_ms, values, 120.0, 0.9, 5, origins=1)
    assert found.dropped == 5


def test_one_class_is_said() -> None:
    time_ms, values = _series(200)
    found = backtest_series("latency", time_ms, values, 1e6, 0.9, 5, origins=1)
    assert "one class" in found.note
    assert {one.breach.pr_auc for one in found.methods} == {None}


def test_a_constant_is_predicted_exactly() -> None:
    time_ms, _ = _series(200)
    found = backtest_series("latency", time_ms, np.full(200, 5.0), None, 0.95, 5, origins=1)
    by_name = {one.name: one for one in found.methods}
    assert by_name[CHOSEN].latency.mae == by_name[ONLINE].latency.mae == 0.0


def test_a_short_series_is_refused() -> None:
    with pytest.raises(ConfigError, match="80 values"):
        backtest_series("latency", np.arange(50), np.arange(50.0), None, 0.95, 5)


def test_the_command_reads_any_csv(tmp_path: Path) -> None:
    time_ms, values = _series(200)
    path = tmp_path / "latency.csv"
    rows = "\n".join(f"{t},{v:.3f},x" for t, v in zip(time_ms.tolist(), values.tolist(), strict=True))
    path.write_text(f"when,p95,pod\n{rows}\n")
    arguments = ["--csv", str(path), "--time", "when", "--objective-quantile", "0.8", "--origins", "1", "--json"]
    result = CliRunner().invoke(performance, arguments)
    assert result.exit_code == 0, result.output
    (column,) = msgspec.json.decode(result.stdout)["columns"]
    assert column["column"] == "p95"
    assert column["methods"][0]["name"] == CHOSEN
