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
