"""`dwcp backtest bandwidth` as users and programs call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from offline.backtest import command
from offline.backtest.command import backtest
from schemas.error import ConfigError
from streams.lazy import Entry
from tests.offline.backtest.kinds import make_kind
from tests.online_models.forecaster_model import sealed, weights


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    grid, other = make_kind("daily", 300_000, 600), make_kind("walk", 300_000, 600)
    rows = zip(grid.time_ms.tolist(), grid.value.tolist(), other.value.tolist(), strict=True)
    lines = [f"{at},{one:.6f},{'' if at % 7 == 0 else two}" for at, one, two in rows]
    found = tmp_path_factory.mktemp("csv") / "link.csv"
    found.write_text("\n".join(["time,rate,walk", *lines]) + "\n")
    return found


def run(*args: object) -> Any:
    result = CliRunner().invoke(backtest, ["bandwidth", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_json_holds_every_column_and_forecaster(path: Path) -> None:
    document = json.loads(run("--csv", path, "--json").stdout)
    assert [column["column"] for column in document["columns"]] == ["rate", "walk"]
    for column in document["columns"]:
        names = [one["name"] for one in column["forecasters"]]
        assert names[:4] == ["published", "persistence", "moving_average", "climatology"]
        assert len(names) == len(set(names)) == 17
        assert "trained" not in names
        assert all({"mae", "mape", "r2", "coverage", "width"} <= set(one) for one in column["forecasters"])
    assert document["columns"][1]["dropped"] > 0


def test_the_table_says_which_horizon_was_used(path: Path) -> None:
    text = run("--csv", path, "--value", "rate=rtt_ms", "--period", "1h").stdout
    assert "rate as rtt_ms: 50 samples, one per 1 h" in text
    assert "1 h ahead (the whole periods nearest 15 min)" in text
    assert "walk" not in text


@pytest.mark.parametrize("horizon", ["5min", "30min", "1h"])
def test_other_horizons(path: Path, horizon: str) -> None:
    (column,) = json.loads(run("--csv", path, "--value", "rate", "--horizon", horizon, "--json").stdout)["columns"]
    assert column["horizon_ms"] == {"5min": 300_000, "30min": 1_800_000, "1h": 3_600_000}[horizon]
    assert column["n"] == 90


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--value", "rate=speed"], "throughput_mbps"),
        (["--value", "none"], "rate, walk"),
        (["--time", "clock"], "rate, walk"),
        (["--period", "1d"], "at least 20"),
        (["--time", "none"], "--period must say the spacing"),
        (["--model", "."], "a forecaster that a worker can ask"),
    ],
)
def test_what_cannot_work_is_said(path: Path, args: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run("--csv", path, *args)


def test_a_trained_model_has_its_own_row_and_a_part_in_what_is_published(path: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(sealed(weights()))
    options = ("--csv", path, "--value", "walk", "--json", "--model")
    (column,) = json.loads(run(*options, tmp_path).stdout)["columns"]
    mae = {one["name"]: one["mae"] for one in column["forecasters"]}
    assert list(mae)[:3] == ["published", "trained", "persistence"]
    assert mae["trained"] == pytest.approx(mae["persistence"], rel=1e-3)
    assert column["ratio"] == pytest.approx(mae["published"] / min(mae["persistence"], mae["moving_average"]))
    with pytest.raises(ConfigError, match="900000 ms ahead, asked are 1800000"):
        run("--csv", path, "--horizon", "30min", "--model", tmp_path)


def test_a_file_without_times_is_forecast(path: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()]
    bare.write_text("\n".join(row[1] for row in rows) + "\n")
    (column,) = json.loads(run("--csv", bare, "--period", "5min", "--json").stdout)["columns"]
    (timed,) = json.loads(run("--csv", path, "--value", "rate", "--json").stdout)["columns"]
    assert column["n"] == timed["n"]
    assert column["forecasters"][1] == timed["forecasters"][1]


def test_a_length_of_time_that_is_none_is_a_usage_error(path: Path) -> None:
    result = run("--csv", path, "--horizon", "soon")
    assert result.exit_code == 2
    assert "5min" in result.stderr


def test_a_part_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command.PARTS, "anomaly", Entry("offline.backtest.missing_command", "anomaly", "Not there."))
    with pytest.raises(ConfigError, match="has no offline"):
        CliRunner().invoke(backtest, ["anomaly"], catch_exceptions=False)


def test_help_lists_every_part_without_importing_one() -> None:
    text = CliRunner().invoke(backtest, ["--help"]).stdout
    assert all(name in text for name in command.PARTS)


def test_a_horizon_of_a_month_is_for_capacity(path: Path) -> None:
    with pytest.raises(ConfigError, match="dwcp backtest capacity"):
        run("--csv", path, "--horizon", "30d")


@pytest.fixture(scope="module")
def long_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand samples: enough for one training, and one more where history is to grow by a tenth."""
    rng = np.random.default_rng(0)
    k = np.arange(1000)
    value = 100.0 + 40.0 * np.isin(k % 12, (1, 6, 7)) + 3.0 * rng.normal(size=1000)
    lines = [f"{1_700_006_400_000 + 300_000 * i},{one:.6f}" for i, one in enumerate(value)]
    found = tmp_path_factory.mktemp("csv") / "long.csv"
    found.write_text("\n".join(["time,rate", *lines]) + "\n")
    return found


def test_it_trains_on_the_way_and_says_what_became_of_it(long_path: Path) -> None:
    result = run("--csv", long_path, "--json")
    (column,) = json.loads(result.stdout)["columns"]
    assert column["kept"] == len(column["trainings"]) == 2
    assert column["trainings"][0]["refused"] is None
    assert column["trainings"][0]["version"] in result.stderr
    assert "trained" in [one["name"] for one in column["forecasters"]]
    (alone,) = json.loads(run("--csv", long_path, "--retrain", "never", "--json").stdout)["columns"]
    assert (alone["kept"], alone["trainings"]) == (0, [])
    assert column["ratio"] < alone["ratio"]


def test_the_table_counts_trainings(long_path: Path) -> None:
    assert "1 trainings on the way, 1 served" in run("--csv", long_path, "--retrain", "10d").stdout
    assert "trainings" not in run("--csv", long_path, "--retrain", "never").stdout


@pytest.mark.parametrize("how", ["often", "0.5%", "15", "-1d"])
def test_a_regularity_that_is_none_is_a_usage_error(path: Path, how: str) -> None:
    result = run("--csv", path, "--retrain", how)
    assert result.exit_code == 2
    assert "15%" in result.stderr or "at least 1%" in result.stderr
