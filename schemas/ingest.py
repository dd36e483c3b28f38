"""Ingest: what producers sent becomes canonical records, or a rejection with a reason.

Every ambiguity of the raw form is settled here, once:

- times of every form become UTC milliseconds (`schemas.moment`);
- every quantity comes in one of its units under one of its names (`schemas.quantity`);
- enums come as names in any case, aliases or integers (`schemas.enumeration`);
- identifiers may be integers;
- `time_of_day` and `day_of_week` are dropped, local or UTC and counted from whatever
  day: they follow from the timestamp.

Then every field is checked against the range its canonical type states, fields are
checked against each other (`schemas.rule`), and records are keyed (`schemas.key`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.batch import Batch, Columns, Output, Rejection, Result, object_column
from schemas.constraint import Ranges, checks_of
from schemas.enumeration import ENUMERATIONS
from schemas.key import keys_of
from schemas.moment import epoch_ms_column, reject_future
from schemas.quantity import quantities_of
from schemas.rule import completeness, plausibility, reject_disorder
from schemas.settlement import Settlement, declarations
from schemas.topic import (
    COMPRESSION_KEYED,
    COMPRESSION_RAW,
    NETWORK_KEYED,
    NETWORK_RAW,
    SYSTEM_KEYED,
    SYSTEM_RAW,
    Topic,
)
from schemas.unit import Problems, other_units_of, reject_units

TRAINING_QUALITY: Final = 0.8
"""Rows of a higher quality score are candidates for training."""

_IDENTIFIERS = ("event_id", "node_id", "peer_id", "vm_id", "request_id", "session_id")


class _Ingest:
    """Raw columns of one dataset to its canonical keyed topic.

    Parameters
    ----------
    units
        Units of names that do not say theirs, for records that declare none; see `schemas.quantity`.

    Raises
    ------
    ConfigError
        When one of them cannot be.
    """

    source: ClassVar[Topic]
    target: ClassVar[Topic]
    key_fields: ClassVar[tuple[str, ...]]

    def __init__(self, units: Mapping[str, str] | None = None) -> None:
        raw, record = self.source.record, self.target.record
        assert raw is not None
        assert record is not None
        self._ranges = Ranges(checks_of(record))
        self._settlement = Settlement(quantities_of(raw, record, units))
        self._other_units = other_units_of(raw, record)
        self._fields = record.__struct_fields__
        self._defaults = {f.name: f.default for f in msgspec.structs.fields(record) if isinstance(f.default, float)}

    @classmethod
    def warm(cls) -> None:
        """Nothing is compiled here."""

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """No state, no gauges."""
        return {}

    def score(self, columns: Columns, n: int) -> None:
        """Add what the canonical record says of its own quality."""

    def check(self, columns: Columns, problems: Problems) -> None:
        """Check fields against each other."""

    def step(self, batch: Batch) -> Result:
        """Convert units and names, check ranges, and key by link or node."""
        n = len(batch)
        columns = dict(batch.columns)
        problems: Problems = {}
        columns["timestamp"] = epoch_ms_column(columns["timestamp"])
        for name in _IDENTIFIERS:
            if name in columns:
                columns[name] = _strings(columns[name])
        for name, spellings in ENUMERATIONS.items():
            if name in columns:
                columns[name] = spellings.column(name, columns[name], problems)
        declared = declarations(columns["units"].tolist())
        reject_units(declared, self._other_units, problems)
        self._settlement.apply(columns, declared, problems)
        self.score(columns, n)
        for name, default in self._defaults.items():
            column = columns[name]
            columns[name] = np.where(np.isnan(column), default, column)
        self._ranges.apply(columns, problems)
        self.check(columns, problems)
        reject_future(columns["timestamp"], batch.time_ms, problems)
        return self._result(columns, problems, n)

    def _result(self, columns: Columns, problems: Problems, n: int) -> Result:
        row = np.arange(n, dtype=np.intp)
        columns = {name: columns[name] for name in self._fields}
        if problems:
            row = np.delete(row, list(problems))
            columns = {name: column[row] for name, column in columns.items()}
        keys = keys_of(*(columns[name].tolist() for name in self.key_fields))
        output = Output(row, columns, keys)
        return Result({self.target: output}, [Rejection(r, problems[r]) for r in sorted(problems)])


class NetworkIngest(_Ingest):
    """Network samples, short or full form, keyed by link."""

    source = NETWORK_RAW
    target = NETWORK_KEYED
    key_fields = ("node_id", "peer_id")


class CompressionIngest(_Ingest):
    """Compression telemetry, keyed by link, with the quality score of each row."""

    source = COMPRESSION_RAW
    target = COMPRESSION_KEYED
    key_fields = ("node_id", "peer_id")

    def score(self, columns: Columns, n: int) -> None:
        """Score the row's quality, 0..1: how complete it is, times how plausible."""
        columns["quality_score"] = completeness(columns, n) * plausibility(columns)
        columns["is_training_candidate"] = columns["quality_score"] > TRAINING_QUALITY


class SystemIngest(_Ingest):
    """System metrics, keyed by node."""

    source = SYSTEM_RAW
    target = SYSTEM_KEYED
    key_fields = ("node_id",)

    def check(self, columns: Columns, problems: Problems) -> None:
        """Percentiles are in order."""
        reject_disorder("latency_p95", "latency_p99", columns, problems)


def _strings(column: NDArray[Any]) -> NDArray[Any]:
    if set(map(type, column.tolist())) == {str}:
        return column
    return object_column([str(v) for v in column])
