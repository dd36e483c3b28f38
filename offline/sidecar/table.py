"""Topics as tables of PostgreSQL: one row per record, one partition per month of event time.

A table is named after the record, `compression_telemetry` for one; its columns are the fields with their types, and
their comments say meaning, unit and range, as the Parquet columns' metadata do. What has parts is `jsonb`. The primary
key is what makes a row one: the record's id, or where it has none the raw record that it derives from (`origin`), with
the time, by which the table is parted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from io import BytesIO
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from offline.dataset.schema import ORIGIN, arrow_schema
from schemas.topic import Topic

TIME: Final = "timestamp"
_KEPT: Final = ("unit", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "allowed")
_BOUNDARY: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Month(NamedTuple):
    """A month of UTC.

    >>> Month(2026, 12).next
    Month(year=2027, month=1)
    """

    year: int
    month: int

    @property
    def next(self) -> Month:
        """The one after."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def start(self) -> str:
        """Its first moment, for PostgreSQL."""
        return f"{self.year:04}-{self.month:02}-01 00:00:00+00"

    @property
    def start_ms(self) -> int:
        """The same in ms since the epoch."""
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * 1000


class Table(NamedTuple):
    """A topic's table.

    Parameters
    ----------
    topic
        Whose records it has.
    name
        In the database.
    schema
        Its columns as Parquet has them.
    """

    topic: Topic
    name: str
    schema: pa.Schema

    @property
    def key(self) -> tuple[str, str]:
        """Columns of the primary key."""
        return ("id" if "id" in self.schema.names else ORIGIN, TIME)

    @property
    def columns(self) -> str:
        """All columns, quoted."""
        return ", ".join(map(quoted, self.schema.names))

    def partition(self, month: Month) -> str:
        """Name of a month's partition."""
        return f"{self.name}_{month.year:04}_{month.month:02}"

    def month_of(self, partition: str) -> Month | None:
        """The month of a partition's name; None when it is not one of ours."""
        found = re.fullmatch(re.escape(self.name) + r"_(\d{4})_(\d{2})", partition)
        return Month(int(found[1]), int(found[2])) if found else None

    def months(self, rows: pa.Table) -> set[Month]:
        """Months that rows are of."""
        found = pc.unique(pc.floor_temporal(rows[TIME], unit="month")).to_pylist()
        return {Month(one.year, one.month) for one in found}

    def make(self) -> list[str]:
        """Statements that make the table, or what it lacks; doing so twice changes nothing."""
        of = quoted(self.name)
        fields = [
            f"{quoted(one.name)} {_type(one.type)}{' NOT NULL' if one.name in self.key else ''}" for one in self.schema
        ]
        keys = ", ".join(map(quoted, self.key))
        said = [
            f"CREATE TABLE IF NOT EXISTS {of} ({', '.join(fields)}, PRIMARY KEY ({keys}))"
            f" PARTITION BY RANGE ({quoted(TIME)})",
            f"CREATE INDEX IF NOT EXISTS {quoted(f'{self.name}_time')} ON {of} ({quoted(TIME)})",
        ]
        said += [f"ALTER TABLE {of} ADD COLUMN IF NOT EXISTS {one}" for one in fields if "NOT NULL" not in one]
        said.append(f"COMMENT ON TABLE {of} IS {_text((self.schema.metadata or {})[b'description'].decode())}")
        said += [f"COMMENT ON COLUMN {of}.{quoted(one.name)} IS {_text(_comment(one))}" for one in self.schema]
        return said

    def make_partition(self, month: Month) -> str:
        """The statement that makes a month's partition."""
        return (
            f"CREATE TABLE IF NOT EXISTS {quoted(self.partition(month))} PARTITION OF {quoted(self.name)}"
            f" FOR VALUES FROM ('{month.start}') TO ('{month.next.start}')"
        )


def table_of(topic: Topic) -> Table:
    """The table of a topic that has a record type."""
    assert topic.record is not None
    return Table(topic, _BOUNDARY.sub("_", topic.record.__name__).lower(), arrow_schema(topic))


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def csv(rows: pa.Table) -> bytes:
    """Rows as `COPY ... (FORMAT csv)` takes them: what is missing is empty, an empty text is `""`."""
    plain = [_json(one) if pa.types.is_nested(one.type) else one for one in rows.columns]
    buffer = BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False)
    pyarrow.csv.write_csv(pa.table(plain, names=rows.column_names), buffer, options)
    return buffer.getvalue()


def _json(column: pa.ChunkedArray) -> pa.Array:
    """What has parts, as text; of maps, which Arrow has as pairs, objects."""
    parse = dict if pa.types.is_map(column.type) else list if pa.types.is_list(column.type) else lambda one: one
    return pa.array(
        [None if one is None else msgspec.json.encode(parse(one)).decode() for one in column.to_pylist()], pa.string()
    )


def _type(kind: pa.DataType) -> str:
    if pa.types.is_nested(kind):
        return "jsonb"
    if pa.types.is_timestamp(kind):
        return "timestamptz"
    return {pa.bool_(): "boolean", pa.int64(): "bigint", pa.float64(): "double precision"}.get(kind, "text")


def _comment(one: pa.Field) -> str:
    said = {name.decode(): value.decode() for name, value in (one.metadata or {}).items()}
    figures = ", ".join(f"{name} {said[name]}" for name in _KEPT if name in said)
    return f"{said['description']} ({figures})"


def _text(said: str) -> str:
    return "'" + said.replace("'", "''") + "'"
