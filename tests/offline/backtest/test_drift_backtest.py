"""`dwcp backtest drift` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from offline.backtest.drift_command import drift
from schemas.error import ConfigError

ROWS = 2400


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    steady, shifted = rng.normal(20, 2, ROWS), rng.normal(30, 2, ROWS)
    shifted[1500:] += 60
    rows = [f"{1_700_000_000 + 1800 * i},{a},{b},0" for i, (a, b) in enumerate(zip(steady, shifted, strict=True))]
    path = tmp_path / "speed.csv"
    path.write_text("start,ping,download,label\n" + "\n".join(rows) + "\n")
    return path


def run(*args: object) -> str:
    result = CliRunner().invoke(drift, list(map(str, args)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_shift_is_alerted_with_its_time_and_feature(csv: Path) -> None:
    report = json.loads(run("--csv", csv, "--time", "start", "--json"))
    assert report["features"] == ["ping", "download"]
    (alert,) = report["alerts"]
    assert alert["feature"] == "download"
    assert alert["statistic"] == "page_hinkley_mean"
    assert 1500 <= (int(alert["time"]) - 1_700_000_000) / 1800 < 1548
    assert alert["value"] > alert["threshold"]


def test_distributions_are_compared_by_feature(csv: Path) -> None:
    report = json.loads(run("--csv", csv, "--time", "start", "--json"))
    by_feature = {distance["feature"]: distance for distance in report["distances"]}
    assert by_feature["ping"]["psi_level"] == "ok"
    assert by_feature["ping"]["ks"] < by_feature["ping"]["ks_limit"]
    assert by_feature["download"]["psi_level"] == "alert"
    assert by_feature["download"]["ks"] > 0.99
    assert by_feature["download"]["reference_values"] == by_feature["download"]["current_values"] == 360


def test_one_feature_can_be_chosen(csv: Path) -> None:
    report = json.loads(run("--csv", csv, "--time", "start", "--value", "ping", "--json"))
    assert report["features"] == ["ping"]
    assert report["alerts"] == []


def test_the_table_says_when_and_what(csv: Path) -> None:
    shown = run("--csv", csv, "--time", "start")
    assert "1 changes" in shown
    assert "page_hinkley_mean" in shown
    assert "PSI" in shown


def test_a_missing_column_is_said(csv: Path) -> None:
    with pytest.raises(ConfigError, match="ping"):
        run("--csv", csv, "--value", "jitter")
