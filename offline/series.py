"""Numeric series from CSV files, for backtests: any file with a time column."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.error import ConfigError
from streams.recording.column import parse_time

TIME_NAMES: Final = ("timestamp", "time", "date", "datetime", "ts", "ds")
"""Columns taken for the time when none is named, in any case."""

_MISSING: Final = frozenset({"", "na", "nan", "null", "none", "-"})


@dataclass(frozen=True, slots=True)
class Series:
    """A table of numbers in order of time.

    Parameters
    ----------
    time_ms
        UTC epoch milliseconds, int64 `[n]`, not decreasing.
    columns
        float64 `[n]` by name, NaN where a cell is empty.
    text
        The time column as it was written, `n` of them.
    """

    time_ms: NDArray[np.int64]
    columns: dict[str, NDArray[np.float64]]
    text: list[str]

    def __len__(self) -> int:
        return len(self.time_ms)


def read_series(path: Path, time: str | None = None, values: Sequence[str] = ()) -> Series:
    """Read a CSV file.

    Parameters
    ----------
    path
        A header, then rows.
    time
        The time column; by default the first of `TIME_NAMES`, else the first column.
    values
        Columns to read; by default every other column that holds numbers only.

    Raises
    ------
    ConfigError
        When the file cannot be read, a column is missing, or a cell is not what it should be; it
        names the line.
    """
    header, rows = _rows(path)
    at = _time_at(path, header, time)
    for name in values:
        if name not in header:
            raise ConfigError("--value", name, f"one of {path.name}'s columns: {', '.join(header)}")
    stamps = [_time(path, line, row[at]) for line, row in rows]
    order = np.argsort(np.array(stamps, np.int64), kind="stable")
    columns = {}
    for k, name in enumerate(header):
        if k == at or (values and name not in values):
            continue
        try:
            column = np.array([_number(row[k]) for _, row in rows])
        except ValueError as exc:
            if name in values:
                raise ConfigError(str(path), name, f"a column of numbers ({exc})") from None
            continue
        columns[name] = column[order]
    if not columns:
        raise ConfigError(str(path), ", ".join(header), "a file with a column of numbers besides the time")
    return Series(np.array(stamps, np.int64)[order], columns, [rows[k][1][at] for k in order.tolist()])


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise ConfigError("--csv", str(path), f"a readable CSV file ({exc})") from exc
    if not header or not rows:
        raise ConfigError("--csv", str(path), "a CSV file with a header and at least one row")
    for line, row in rows:
        if len(row) != len(header):
            raise ConfigError("--csv", f"{path}:{line}", f"a row of {len(header)} cells, not {len(row)}")
    return header, rows


def _time_at(path: Path, header: list[str], time: str | None) -> int:
    if time is not None:
        if time not in header:
            raise ConfigError("--time", time, f"one of {path.name}'s columns: {', '.join(header)}")
        return header.index(time)
    lower = [name.lower() for name in header]
    return next((lower.index(name) for name in TIME_NAMES if name in lower), 0)


def _time(path: Path, line: int, text: str) -> int:
    try:
        return parse_time(text)
    except ValueError as exc:
        raise ConfigError("--csv", f"{path}:{line}", f"a time in the time column, not {text!r}") from exc


def _number(text: str) -> float:
    return np.nan if text.strip().lower() in _MISSING else float(text)
