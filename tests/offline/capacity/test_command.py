"""`dwcp capacity forecast` as it is used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from offline.capacity.command import capacity
from schemas.error import ConfigError

START = np.datetime64("2024-01-01T00:00:00")


def _write(path: Path, columns: dict[str, np.ndarray], minutes: int = 60) -> Path:
    many = len(next(iter(columns.values())))
    lines = [",".join(["timestamp", *columns])]
    for k in range(many):
        cells = [str(column[k]) for column in columns.values()]
        lines += [",".join([f"{START + np.timedelta64(minutes * k, 'm')}Z", *cells])]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    t = np.arange(24 * 60) / 24
    noise = np.random.default_rng(0).normal(0, 0.5, (2, len(t)))
    return _write(
        tmp_path / "node-1.csv",
        {"cpu_usage": 50 + 5 * np.sin(2 * np.pi * t) + noise[0], "disk_usage": 55 + 0.45 * t + noise[1]},
    )


def _run(*args: object) -> Result:
    result = CliRunner().invoke(capacity, ["forecast", *map(str, args)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_document_of_every_known_column(growing: Path) -> None:
    found = json.loads(_run("--csv", growing, "--json").stdout)
    assert [f["resource"] for f in found["forecasts"]] == ["cpu", "storage"]
    assert found["plan"]["scope"] == "node-1"
    assert found["plan"]["needs"]["cpu"]["urgency"] == "LOW"
    assert found["plan"]["needs"]["storage"]["urgency"] in ("URGENT", "HIGH")
    assert [a["resource"] for a in found["alerts"]] == ["storage"]
    assert sum(found["weights"]["cpu"].values()) == pytest.approx(1.0, abs=0.01)


def test_the_table_is_for_people(growing: Path) -> None:
    text = _run("--csv", growing, "--scope", "us-east").stdout
    assert "us-east: 30 days from 2024-02-29" in text
    assert "critical" in text
    assert "storage" in text
    assert "85 reached with" in text


def test_the_previous_document_makes_alerts_tell_changes(growing: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.json"
    first.write_text(_run("--csv", growing, "--json").stdout)
    again = json.loads(_run("--csv", growing, "--previous", first, "--json").stdout)
    assert again["alerts"] == []


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_picture_is_written(growing: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    _run("--csv", growing, "--plot", path)
    assert path.stat().st_size > 20_000


def test_levels_can_be_said(growing: Path) -> None:
    found = json.loads(
        _run("--csv", growing, "--value", "cpu_usage=gpu", "--warning", 45, "--critical", 52, "--json").stdout
    )
    need = found["plan"]["needs"]["gpu"]
    assert (need["threshold"], need["critical_threshold"], need["urgency"]) == (45, 52, "URGENT")


def test_what_is_not_in_percent_is_made_so(tmp_path: Path) -> None:
    rate = 2000 + 100 * np.random.default_rng(0).normal(size=24 * 30)
    path = _write(tmp_path / "rps.csv", {"rps": rate})
    found = json.loads(_run("--csv", path, "--resource", "request_rate", "--full", 4000, "--json").stdout)
    assert found["plan"]["needs"]["request_rate"]["current"] == pytest.approx(50, abs=3)


def test_a_short_history_shortens_the_horizon_and_says_so(tmp_path: Path) -> None:
    path = _write(tmp_path / "short.csv", {"cpu": np.random.default_rng(0).uniform(10, 20, 24 * 8)})
    text = _run("--csv", path, "--resource", "cpu").stdout
    assert "8 days ahead, as long as its history, not 30" in text


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--resource", "cpu"), "one column goes with it"),
        (("--value", "nothing=cpu"), "one of node-1.csv's columns"),
        (("--value", "cpu_usage=request_rate"), "--full"),
        (("--value", "cpu_usage=oddity"), "--critical"),
        (("--previous", "absent.json"), "--previous"),
        (("--events", "absent.csv"), "--events"),
        (("--config", "absent.toml"), "--config"),
    ],
)
def test_what_cannot_work_says_what_to_do(growing: Path, args: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        _run("--csv", growing, *args)
    assert refused.value.exit_code == 78


def test_too_short_a_file_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "tiny.csv", {"cpu": np.arange(99.0)})
    with pytest.raises(ConfigError, match="at least 100 points"):
        _run("--csv", path, "--resource", "cpu")
