"""Numeric series from CSV files, for backtests: with a time column, or of a known period."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.error import ConfigError
from schemas.moment import epoch_ms
from streams.recording.column import parse_time

TIME_NAMES: Final = ("timestamp", "time", "date", "datetime", "ts", "ds")
"""Columns taken for the time when none is named, in any case."""

NO_TIME: Final = "none"
"""What is said instead of a time column where there is none."""

_PLAIN: Final = 1e8
"""Numbers from here on are epochs since 1973; below they may count anything."""

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
        The time column as it was written, `n` of them; without one the rows' numbers from 0.
    """

    time_ms: NDArray[np.int64]
    columns: dict[str, NDArray[np.float64]]
    text: list[str]

    def __len__(self) -> int:
        return len(self.time_ms)


def read_series(
    path: Path, time: str | None = None, values: Sequence[str] = (), period_ms: int | None = None
) -> Series:
    """Read a CSV file.

    Parameters
    ----------
    path
        A header, then rows.
    time
        The time column, or `none`; by default the first of `TIME_NAMES`, else the first column unless it cannot
        be one: the only one, or small numbers that do not go up.
    values
        Columns to read; by default every other column that holds numbers only.
    period_ms
        Distance of the rows of a file without a time column; its times are counted from 1970.

    Raises
    ------
    ConfigError
        When the file cannot be read, a column is missing, or a cell is not what it should be; it
        names the line.
    """
    header, rows = _rows(path)
    at = _time_at(path, header, [row[0] for _, row in rows], time)
    if at is None and period_ms is None:
        allowed = f"a time column of {path.name}: {', '.join(header)}; where none is, --period must say the spacing"
        raise ConfigError("--time", time or "", allowed)
    for name in values:
        if name not in header:
            raise ConfigError("--value", name, f"one of {path.name}'s columns: {', '.join(header)}")
    if at is None:
        stamps = [k * (period_ms or 0) for k in range(len(rows))]
    else:
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
    text = [str(k) if at is None else rows[k][1][at] for k in order.tolist()]
    return Series(np.array(stamps, np.int64)[order], columns, text)


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


def _time_at(path: Path, header: list[str], first: list[str], time: str | None) -> int | None:
    if time is not None:
        if time not in header:
            if time == NO_TIME:
                return None
            raise ConfigError("--time", time, f"one of {path.name}'s columns: {', '.join(header)}")
        return header.index(time)
    lower = [name.lower() for name in header]
    named = next((lower.index(name) for name in TIME_NAMES if name in lower), None)
    return 0 if named is None and len(header) > 1 and _may_be_times(first) else named


def _may_be_times(cells: list[str]) -> bool:
    """Whether a column that nobody calls a time can be one."""
    try:
        numbers = [_number(cell) for cell in cells]
    except ValueError:
        return True
    late = all(number >= _PLAIN for number in numbers)
    return late or (all(a <= b for a, b in pairwise(numbers)) and (len(numbers) == 1 or numbers[0] < numbers[-1]))


def _time(path: Path, line: int, text: str) -> int:
    try:
        return _moment(text)
    except ValueError as exc:
        raise ConfigError("--csv", f"{path}:{line}", f"a time in the time column, not {text!r}") from exc


def _moment(text: str) -> int:
    """Epoch milliseconds, before 1970 too: history has been measured longer than fleets."""
    try:
        return parse_time(text)
    except ValueError:
        text = text.strip()
        number = text.startswith("-") and text[1:].replace(".", "", 1).isdigit()
        return epoch_ms(float(text) if number else datetime.fromisoformat(text))


def _number(text: str) -> float:
    return np.nan if text.strip().lower() in _MISSING else float(text)
