"""A PostgreSQL database that data sets are written to: each row once, in batches, by `COPY`.

A batch is one transaction with how far it brings the table: after whatever happens, the database itself says what it
has. What it says twice all the same, because the data set began anew, is left out by its key.
"""

from __future__ import annotations

import logging
from typing import Any, Final, NamedTuple

import psycopg
import pyarrow as pa

from offline.sidecar.table import Month, Table, csv, quoted
from schemas.topic import FOREVER

_log = logging.getLogger(__name__)

PROGRESS: Final = "dwcp_sidecar_progress"
_OPTIONS: Final = "-c timezone=UTC -c statement_timeout=120000 -c lock_timeout=10000 -c datestyle=ISO"
_LOCK: Final = 0x64776370
"""Of those who make tables at the same moment."""


class Wrote(NamedTuple):
    """What became of a batch: rows that are new, that were there already, and that the database refuses."""

    rows: int
    repeated: int
    refused: int


class Database:
    """A connection, with the tables made.

    Parameters
    ----------
    url
        `postgresql://user:password@host/database`.
    tables
        What is written.

    Raises
    ------
    psycopg.Error
        When it cannot be reached, or tables cannot be made.
    """

    def __init__(self, url: str, tables: list[Table]) -> None:
        self._connection = psycopg.connect(
            url, connect_timeout=10, application_name="dwcp-sidecar", options=_OPTIONS, keepalives_idle=30,
            tcp_user_timeout=60_000,
        )  # fmt: skip
        self._months: dict[str, set[Month]] = {}
        try:
            with self._connection.transaction():
                self._execute("SELECT pg_advisory_xact_lock(%s)", _LOCK)
                self._execute(
                    f"CREATE TABLE IF NOT EXISTS {PROGRESS} (sidecar text, table_name text, checkpoint bigint NOT NULL,"
                    " written_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (sidecar, table_name))"
                )
                for table in tables:
                    for statement in table.make():
                        self._execute(statement)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Leave."""
        self._connection.close()

    def progress(self, sidecar: str, table: Table) -> int:
        """The last checkpoint of a sidecar whose rows a table has; 0 when none."""
        with self._connection.transaction():
            found = self._execute(
                f"SELECT checkpoint FROM {PROGRESS} WHERE sidecar = %s AND table_name = %s", sidecar, table.name
            ).fetchone()
        return int(found[0]) if found else 0

    def write(self, sidecar: str, table: Table, rows: pa.Table, checkpoint: int) -> Wrote:
        """Write the rows that bring a table to a checkpoint; all of it or nothing.

        Raises
        ------
        psycopg.Error
            When the database does not do it.
        """
        made = self._months.setdefault(table.name, set())
        new = table.months(rows) - made if len(rows) else set()
        with self._connection.transaction():
            if new:
                self._execute("SELECT pg_advisory_xact_lock(%s)", _LOCK)
            for month in sorted(new):
                self._execute(table.make_partition(month))
            wrote = self._insert(table, rows)
            self._execute(
                f"INSERT INTO {PROGRESS} (sidecar, table_name, checkpoint) VALUES (%s, %s, %s)"
                " ON CONFLICT (sidecar, table_name) DO UPDATE"
                " SET checkpoint = excluded.checkpoint, written_at = excluded.written_at",
                sidecar, table.name, checkpoint,
            )  # fmt: skip
        made |= new
        return wrote

    def expire(self, table: Table) -> int:
        """Drop the months that are older than the table's topic is kept; returns how many.

        Age is counted from the newest row, so that a recording of last year is not dropped as it comes, and from
        the clock once nothing was written for so long.

        Raises
        ------
        psycopg.Error
            When the database does not do it.
        """
        kept_ms = table.topic.retention_ms
        if kept_ms == FOREVER:
            return 0
        with self._connection.transaction():
            newest, quiet_ms = self._execute(
                f"SELECT (SELECT extract(epoch FROM max(\"timestamp\")) * 1000 FROM {quoted(table.name)}),"
                f" (SELECT extract(epoch FROM now() - max(written_at)) * 1000 FROM {PROGRESS} WHERE table_name = %s)",
                table.name,
            ).fetchone() or (None, None)  # fmt: skip
            found = self._execute(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                " WHERE i.inhparent = to_regclass(%s)", quoted(table.name),
            ).fetchall()  # fmt: skip
            months = [month for (name,) in found if (month := table.month_of(name)) is not None]
            old = [
                month for month in months if newest is not None
                and max(int(newest) - month.next.start_ms, int(quiet_ms or 0)) > kept_ms
            ]  # fmt: skip
            for month in old:
                self._execute(f"DROP TABLE {quoted(table.partition(month))}")
        self._months.get(table.name, set()).difference_update(old)
        return len(old)

    def _insert(self, table: Table, rows: pa.Table) -> Wrote:
        """Insert rows; of a batch that the database refuses, those that it does not."""
        if not len(rows):
            return Wrote(0, 0, 0)
        try:
            with self._connection.transaction():  # a savepoint
                new = self._copy(table, rows)
                return Wrote(new, len(rows) - new, 0)
        except (psycopg.DataError, psycopg.IntegrityError) as exc:
            if len(rows) == 1:
                _log.error("a row of %s is left out: %s", table.name, exc)
                return Wrote(0, 0, 1)
        half = len(rows) // 2
        first, rest = self._insert(table, rows[:half]), self._insert(table, rows[half:])
        return Wrote(*(a + b for a, b in zip(first, rest, strict=True)))

    def _copy(self, table: Table, rows: pa.Table) -> int:
        stage, of, columns = quoted(f"new_{table.name}"), quoted(table.name), table.columns
        self._execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {stage} (LIKE {of}) ON COMMIT DELETE ROWS")
        self._execute(f"TRUNCATE {stage}")
        with self._connection.cursor() as cursor:
            with cursor.copy(f"COPY {stage} ({columns}) FROM STDIN (FORMAT csv)") as copy:
                copy.write(csv(rows.select(table.schema.names)))
            cursor.execute(f"INSERT INTO {of} ({columns}) SELECT {columns} FROM {stage} ON CONFLICT DO NOTHING")
            return cursor.rowcount

    def _execute(self, statement: str, *values: Any) -> psycopg.Cursor[Any]:
        return self._connection.execute(statement, values or None)  # without values a % is no placeholder
