"""CSV files as series: what is taken, and what a user is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline.series import read_series
from schemas.error import ConfigError


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_text("value,Time,note,load\n1,2024-01-01 00:05:00,x,7\n,2024-01-01T00:00:00Z,y,8\n")
    return path


def test_rows_are_sorted_by_time_and_text_columns_left_out(csv: Path) -> None:
    series = read_series(csv)
    assert np.diff(series.time_ms).tolist() == [300_000]
    assert set(series.columns) == {"value", "load"}
    assert series.columns["load"].tolist() == [8, 7]
    assert np.isnan(series.columns["value"][0])
    assert series.text[0] == "2024-01-01T00:00:00Z"


@pytest.mark.parametrize("text", ["1704067200", "1704067200000", "2024-01-01", "2024-01-01T01:00:00+01:00"])
def test_times_in_every_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.csv").write_text(f"t,v\n{text},1\n")
    assert read_series(tmp_path / "b.csv").time_ms.tolist() == [1_704_067_200_000]


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [("1969-12-31T23:59:00Z", -60_000), ("1900-01-01", -2_208_988_800_000), ("-86400", -86_400_000)],
)
def test_times_before_1970(tmp_path: Path, text: str, time_ms: int) -> None:
    (tmp_path / "b.csv").write_text(f"time,v\n1970-01-01,2\n{text},1\n")
    series = read_series(tmp_path / "b.csv")
    assert series.time_ms.tolist() == [time_ms, 0]
    assert series.columns["v"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "time"),
    [("v\n5\n7\n6\n", None), ("v,w\n5,1\n7,2\n6,3\n", None), ("v,w\n5,1\n5,2\n5,3\n", None), ("v\n1\n2\n3\n", None),
     ("v,w\n1,1\n2,2\n3,3\n", "none")],
)  # fmt: skip
def test_a_file_without_times_has_its_period_said(tmp_path: Path, content: str, time: str | None) -> None:
    (tmp_path / "d.csv").write_text(content)
    series = read_series(tmp_path / "d.csv", time, (), 60_000)
    assert series.time_ms.tolist() == [0, 60_000, 120_000]
    assert list(series.columns) == content.split("\n")[0].split(",")
    assert series.text == ["0", "1", "2"]
    with pytest.raises(ConfigError, match="--period must say the spacing"):
        read_series(tmp_path / "d.csv", time)


@pytest.mark.parametrize("content", ["t,v\n0,2\n60,3\n60,4\n", "t,v\n1700000060,2\n1700000000,3\n"])
def test_a_first_column_that_may_be_a_time_is_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "e.csv").write_text(content)
    assert list(read_series(tmp_path / "e.csv", None, (), 60_000).columns) == ["v"]


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        ("t,v\n", {}, "at least one row"),
        ("t,v\n1,2\n1\n", {}, ":3"),
        ("t,v\nsoon,2\n", {}, "'soon'"),
        ("t,v\n1,x\n", {}, "column of numbers"),
        ("t,v\n1,2\n", {"time": "when"}, "t, v"),
        ("t,v\n1,2\n", {"values": ["w"]}, "t, v"),
        ("t,v,w\n1,2,x\n", {"values": ["w"]}, "column of numbers"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, content: str, options: dict, says: str) -> None:
    (tmp_path / "c.csv").write_text(content)
    with pytest.raises(ConfigError, match=says):
        read_series(tmp_path / "c.csv", **options)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="readable"):
        read_series(tmp_path / "none.csv")
