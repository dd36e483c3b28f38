"""Data sets described and checked: against the ranges that their own columns name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

from offline.dataset.schema import ORIGIN
from schemas.error import ConfigError

MISSING: Final = 0.05
"""Share of a column that may be missing: the documented gate of training sets."""

_BELOW: Final = {"minimum": pc.less, "exclusiveMinimum": pc.less_equal}
_ABOVE: Final = {"maximum": pc.greater, "exclusiveMaximum": pc.greater_equal}


class Column(Struct):
    """What a column holds; least and most of numbers and times only, `outside` of what its range forbids."""

    column: str
    type: str
    unit: str
    missing: int = 0
    outside: int = 0
    least: float | None = None
    most: float | None = None


class Description(Struct):
    """What a data set holds; times in ms since the epoch."""

    path: str
    topic: str = ""
    files: int = 0
    bytes: int = 0
    rows: int = 0
    repeated: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    columns: list[Column] = []


class Finding(Struct, frozen=True):
    """One thing that was checked."""

    check: str
    passed: bool
    found: str


def describe(path: Path) -> Description:
    """Describe a Parquet file, or a folder of them such as the sidecar keeps.

    Raises
    ------
    ConfigError
        When there is none, or one cannot be read.
    """
    paths = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    found = Description(str(path), files=len(paths))
    columns: dict[str, Column] = {}
    seen: set[int] = set()
    for file, table in _tables(path, paths):
        found.topic = found.topic or (table.schema.metadata or {}).get(b"topic", b"").decode()
        found.bytes += file.stat().st_size
        found.rows += len(table)
        for field in table.schema:
            column = columns.setdefault(field.name, Column(field.name, str(field.type), _said(field).get("unit", "")))
            _look(column, field, table[field.name])
        if ORIGIN in table.schema.names:
            known = [hash(origin) for origin in table[ORIGIN].to_pylist()]
            found.repeated += len(known) - len(set(known) - seen)
            seen.update(known)
    found.columns = list(columns.values())
    if (time := columns.get("timestamp")) is not None and time.least is not None and time.most is not None:
        found.first_ms, found.last_ms = int(time.least), int(time.most)
    return found


def validate(found: Description, missing: float = MISSING) -> list[Finding]:
    """Check what a description says: rows, origins that are no repeats, missing values, ranges."""
    findings = [
        Finding("rows", found.rows > 0, f"{found.rows:,}"),
        Finding("repeated origins", found.repeated == 0, f"{found.repeated:,}"),
    ]
    for one in found.columns:
        share = one.missing / max(found.rows, 1)
        if one.missing:
            findings.append(Finding(f"missing {one.column}", share < missing, f"{share:.1%}"))
        if one.outside:
            findings.append(Finding(f"range of {one.column}", False, f"{one.outside:,} outside"))
    return findings


def _tables(root: Path, paths: list[Path]) -> Iterator[tuple[Path, pa.Table]]:
    if not paths:
        raise ConfigError("DATASET", str(root), "a Parquet file, or a folder that has some")
    for path in paths:
        try:
            yield path, pq.ParquetFile(path).read()
        except (OSError, pa.ArrowException) as exc:
            raise ConfigError("DATASET", str(path), f"a readable Parquet file ({exc})") from exc


def _look(column: Column, field: pa.Field, values: Any) -> None:
    column.missing += values.null_count
    numbers = values.cast(pa.int64()) if pa.types.is_timestamp(field.type) else values
    if not (pa.types.is_integer(numbers.type) or pa.types.is_floating(numbers.type)):
        return
    ends = pc.min_max(numbers).as_py()
    if ends["min"] is None:
        return
    column.least = min(float(ends["min"]), column.least if column.least is not None else float(ends["min"]))
    column.most = max(float(ends["max"]), column.most if column.most is not None else float(ends["max"]))
    said = _said(field)
    for limits in (_BELOW, _ABOVE):
        for name, beyond in limits.items():
            if name in said:
                column.outside += pc.sum(beyond(numbers, float(said[name]))).as_py() or 0


def _said(field: pa.Field) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in (field.metadata or {}).items()}
