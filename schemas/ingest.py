"""Ingest: what producers sent becomes canonical records, or a rejection with a reason.

Every ambiguity of the raw form is settled here and nowhere else:

- times: RFC 3339 (naive means UTC), or epoch seconds, ms, us or ns told apart by magnitude;
- `rtt_ms`/`latency_ms` and `throughput_mbps`/`bandwidth_mbps` are one field each;
- enums may be names in any case, aliases, or the integer of Go's `iota`;
- identifiers may be integers;
- `time_of_day` and `day_of_week` are dropped: they follow from the timestamp in UTC.

Then every field is checked against the range its canonical type states.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from schemas.batch import Batch, Columns, Output, Rejection, Result, object_column
from schemas.compression import FEATURES
from schemas.constraint import Check, checks_of
from schemas.error import ValidationError
from schemas.field import ALGORITHMS, DWCP_MODES, LINK_TYPES, PAYLOAD_TYPES, TRANSPORT_TYPES
from schemas.topic import COMPRESSION_KEYED, NETWORK_KEYED, SYSTEM_KEYED, Topic

TRAINING_QUALITY: Final = 0.8
"""Rows of a higher quality score are candidates for training."""

NO_TIME: Final = -1
"""What a number that is no time becomes; the range check rejects it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_LINK_TYPE_ALIASES = {"datacenter": "dc", "data_center": "dc"}
_TIERS: Mapping[object, int] = {
    1: 1, 2: 2, 3: 3, "1": 1, "2": 2, "3": 3,
    "tier1": 1, "tier2": 2, "tier3": 3,
    "premium": 1, "standard": 2, "economy": 3,
}  # fmt: skip


def _enum(names: tuple[str, ...], aliases: Mapping[str, str] | None = None) -> Mapping[object, str]:
    table: dict[object, str] = dict(enumerate(names))
    table.update((name.lower(), name) for name in names)
    table.update(aliases or {})
    return table


_ENUMS: Mapping[str, Mapping[object, object]] = {
    "link_type": _enum(LINK_TYPES, _LINK_TYPE_ALIASES),
    "payload_type": _enum(PAYLOAD_TYPES),
    "dwcp_mode": _enum(DWCP_MODES),
    "transport_type": _enum(TRANSPORT_TYPES),
    "actual_algorithm": {**_enum(ALGORITHMS), None: None},
    "network_tier": _TIERS,
}

_IDENTIFIERS = ("event_id", "node_id", "peer_id", "vm_id", "request_id", "session_id")


def epoch_ms(value: datetime | int | float) -> int:
    """Milliseconds since the epoch of any form of time that producers send.

    The unit of a number follows from its magnitude: below 1e11 it is seconds (until
    the year 5138), below 1e14 ms, below 1e17 us, below 1e20 ns, else it is no time.

    >>> epoch_ms(1_700_000_000), epoch_ms(1_700_000_000.5), epoch_ms(1_700_000_000_000_000_000)
    (1700000000000, 1700000000500, 1700000000000)
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return (value - _EPOCH) // _MILLISECOND
    magnitude = abs(value)
    if magnitude < 1e11:
        return int(value * 1000)
    if magnitude < 1e14:
        return int(value)
    if magnitude < 1e17:
        return int(value // 1000)
    if magnitude < 1e20:
        return int(value // 1_000_000)
    return NO_TIME


class _Ingest:
    """Raw columns of one dataset to its canonical keyed topic."""

    target: ClassVar[Topic]
    key_fields: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        assert self.target.record is not None
        self._checks: list[Check] = checks_of(self.target.record)

    @classmethod
    def warm(cls) -> None:
        """Nothing is compiled here."""

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """No state, no gauges."""
        return {}

    def convert(self, columns: Columns, n: int) -> None:
        """Settle what is special to this dataset, in place."""

    def step(self, batch: Batch) -> Result:
        """Convert units and names, check ranges, and key by link or node."""
        n = len(batch)
        columns = dict(batch.columns)
        problems: dict[int, ValidationError] = {}
        columns["timestamp"] = np.fromiter(map(epoch_ms, columns["timestamp"]), np.int64, n)
        for name in _IDENTIFIERS:
            if name in columns:
                columns[name] = _strings(columns[name])
        for name, table in _ENUMS.items():
            if name in columns:
                columns[name] = _lookup(name, columns[name], table, problems)
        self.convert(columns, n)
        for check in self._checks:
            if check.field in columns:
                check.apply(columns[check.field], problems)
        return self._result(columns, problems, n)

    def _result(self, columns: Columns, problems: dict[int, ValidationError], n: int) -> Result:
        row = np.arange(n, dtype=np.intp)
        if problems:
            row = np.delete(row, list(problems))
            columns = {name: column[row] for name, column in columns.items()}
        parts = [columns[name] for name in self.key_fields]
        keys = [":".join(ids).encode() for ids in zip(*parts, strict=True)]
        output = Output(row, columns, keys)
        return Result({self.target: output}, [Rejection(r, problems[r]) for r in sorted(problems)])


class NetworkIngest(_Ingest):
    """Network samples, short or full form, keyed by link."""

    target = NETWORK_KEYED
    key_fields = ("node_id", "peer_id")

    def convert(self, columns: Columns, n: int) -> None:
        """Take each quantity from whichever of its two names was sent."""
        for name, alias in (("rtt_ms", "latency_ms"), ("throughput_mbps", "bandwidth_mbps")):
            columns[name] = np.where(np.isnan(columns[name]), columns[alias], columns[name])


class CompressionIngest(_Ingest):
    """Compression telemetry, keyed by link, with the quality score of each row."""

    target = COMPRESSION_KEYED
    key_fields = ("node_id", "peer_id")

    def convert(self, columns: Columns, n: int) -> None:
        """Score the row's quality: the share of the 19 features that are present."""
        present = np.zeros(n)
        for name in FEATURES:
            column = columns[name]
            present += ~np.isnan(column) if column.dtype == np.float64 else column != ""
        columns["quality_score"] = present / len(FEATURES)
        columns["is_training_candidate"] = columns["quality_score"] > TRAINING_QUALITY


class SystemIngest(_Ingest):
    """System metrics, keyed by node."""

    target = SYSTEM_KEYED
    key_fields = ("node_id",)


def _strings(column: NDArray[Any]) -> NDArray[Any]:
    return object_column([v if type(v) is str else str(v) for v in column])


def _lookup(
    name: str, column: NDArray[Any], table: Mapping[object, object], problems: dict[int, ValidationError]
) -> NDArray[Any]:
    values = [table.get(v.lower() if type(v) is str else v, table) for v in column]
    for row, value in enumerate(values):
        if value is table:
            allowed = ", ".join(sorted({str(k) for k in table if isinstance(k, str)}))
            problems.setdefault(row, ValidationError("enum", f"{name}={column[row]!r} is not one of {allowed}"))
            values[row] = next(iter(table.values()))
    if all(isinstance(v, int) for v in values):
        return np.array(values, np.int64)
    return object_column(values)
