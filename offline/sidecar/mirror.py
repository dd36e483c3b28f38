"""The data sets once more, in PostgreSQL: written from the Parquet files, in a thread of its own.

What is to be written is what the files have and the database does not. So a database that is away stops
nothing and loses nothing: it is asked again, ever less often, and then gets what came meanwhile.
One that is named later gets everything that is kept.
"""

from __future__ import annotations

import logging
import math
import random
import time
import uuid
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from offline.dataset.identity import hash_ids
from offline.sidecar.archive import Archive, Written
from offline.sidecar.metric import Metrics
from offline.sidecar.table import Table, table_of
from schemas.error import ConfigError, InfraError
from schemas.topic import Topic
from streams.kind import masked
from streams.settings import Settings

if TYPE_CHECKING:
    from offline.sidecar.postgres import Database

_log = logging.getLogger(__name__)

IDENTITY: Final = "identity"
ROWS: Final = 50_000
"""Rows of a batch, about."""

_SHORTEST_S: Final = 1.0
_LONGEST_S: Final = 60.0
_EXPIRE_S: Final = 600.0
_LAST_S: Final = 3.0
"""How long the end waits for what is left; the next beginning goes on with it."""


class _Waiting(NamedTuple):
    number: int
    path: Path


class Mirror:
    """Writes tables of a database after the archive.

    Parameters
    ----------
    url
        Of the database.
    topics
        Whose tables it has.
    archive
        Where the files are.
    number
        The checkpoint that they belong to; what is newer, `add` says.
    metrics
        What is counted.
    key
        What ids are hashed with; empty: they stay as they are.

    Raises
    ------
    ConfigError
        When psycopg is not installed, or the URL is none.
    InfraError
        When the archive's folder cannot be written.
    """

    def __init__(
        self, url: str, topics: Sequence[Topic], archive: Archive, number: int, metrics: Metrics, key: str = ""
    ) -> None:
        try:
            from psycopg import ProgrammingError
            from psycopg.conninfo import conninfo_to_dict
        except ImportError as exc:
            allowed = f"it needs more packages ({exc}): pip install 'dwcp-streams[postgres]'"
            raise ConfigError("DWCP_POSTGRES_URL", masked(url), allowed) from None
        try:
            conninfo_to_dict(url)
        except ProgrammingError:
            raise ConfigError("DWCP_POSTGRES_URL", masked(url), "postgresql://user:password@host:port/name") from None
        self._url = url
        self._where = masked(url)
        self._tables = {topic: table_of(topic) for topic in topics}
        self._archive = archive
        self._identity = _identity(archive.root.parent)
        self._metrics = metrics
        self._key = key
        self._lock = Lock()
        self._known = number
        self._new: list[Written] = []
        self._waiting: dict[Topic, deque[_Waiting]] | None = None
        self._database: Database | None = None
        self._expired = 0.0
        self._wake, self._stop = Event(), Event()
        self._until = math.inf
        self._thread: Thread | None = None
        self.failure: str | None = None

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread = Thread(target=self._run, name="postgres", daemon=True)
        self._thread.start()

    def add(self, written: Sequence[Written]) -> None:
        """Take note of files of a checkpoint that is written."""
        with self._lock:
            self._new += [one for one in written if one.topic in self._tables]
        self._wake.set()

    def stop(self) -> None:
        """Write what is left, if that does not take long, and end."""
        if self._thread is not None:
            self._until = time.monotonic() + _LAST_S
            self._stop.set()
            self._wake.set()
            self._thread.join(2 * _LAST_S)
            if self._thread.is_alive():  # it dies with the process, and its transaction with it
                return
            self._thread = None
        if self._database is not None:
            self._database.close()
            self._database = None

    def once(self) -> None:
        """Write what there is, here and now; what fails is counted, and is there the next time.

        For a sidecar that does not go on.
        """
        if self._round():
            self.stop()

    @property
    def waiting(self) -> int:
        """Files that the database does not have yet, as far as is known."""
        with self._lock:
            return len(self._new) + sum(map(len, (self._waiting or {}).values()))

    def _run(self) -> None:
        pause_s = _SHORTEST_S
        while True:
            if self._round():
                pause_s = _SHORTEST_S
                if self._stop.is_set():
                    return
                self._wake.wait(_LONGEST_S)
                self._wake.clear()
            else:
                if self._stop.wait(random.uniform(pause_s / 2, pause_s)):
                    return
                pause_s = min(2 * pause_s, _LONGEST_S)

    def _round(self) -> bool:
        """Write everything that waits; whether the database did it all."""
        try:
            self._advance()
        except Exception as exc:  # whatever it is: it is tried again, and stops nothing else
            self._metrics.postgres_failures.inc()
            said = " ".join(str(exc).split())
            if said != self.failure:  # not every time: it may be away for hours
                _log.error("%s is not written, and is asked again; %d files wait: %s", self._where, self.waiting, said)
            self.failure = said
            if self._database is not None:
                self._database.close()
                self._database = None
            return False
        finally:
            self._metrics.postgres_waiting.set(self.waiting)
        if self.failure is not None:
            _log.warning("%s is written again", self._where)
            self.failure = None
        return True

    def _connect(self) -> Database:
        """The database, asked how far it is if it was not there."""
        from offline.sidecar.postgres import Database

        if self._database is None:
            self._database = Database(self._url, list(self._tables.values()))
            self._waiting = {topic: self._missing(topic, table) for topic, table in self._tables.items()}
        return self._database

    def _advance(self) -> None:
        database = self._connect()
        for topic, files in self._take_new().items():
            while files and time.monotonic() < self._until:
                self._write(database, self._tables[topic], files)
                self._metrics.postgres_waiting.set(self.waiting)
        if time.monotonic() - self._expired > _EXPIRE_S or not self._expired:
            self._expired = time.monotonic()
            for table in self._tables.values():
                self._metrics.postgres_dropped.labels(table.name).inc(database.expire(table))

    def _missing(self, topic: Topic, table: Table) -> deque[_Waiting]:
        """Files that the database does not have, oldest first."""
        assert self._database is not None
        done = self._database.progress(self._identity, table)
        with self._lock:
            known = self._known
        found = (_Waiting(int(path.stem), path) for path in self._archive.files(topic))
        return deque(sorted(one for one in found if done < one.number <= known))

    def _take_new(self) -> dict[Topic, deque[_Waiting]]:
        assert self._waiting is not None
        with self._lock:
            for one in self._new:
                self._waiting[one.topic].append(_Waiting(one.number, one.path))
            self._known = max([self._known, *(one.number for one in self._new)])
            self._new = []
        return self._waiting

    def _write(self, database: Database, table: Table, files: deque[_Waiting]) -> None:
        """Write a batch of whole checkpoints."""
        taken: list[_Waiting] = []
        parts: list[pa.Table] = []
        rows = 0
        for one in files:
            if rows >= ROWS and one.number != taken[-1].number:
                break
            taken.append(one)
            try:
                parts.append(pq.ParquetFile(one.path).read())
                rows += len(parts[-1])
            except FileNotFoundError:  # older than it is kept
                _log.warning("%s is gone before %s had it", one.path, self._where)
                self._metrics.postgres_gone.inc()
        content = pa.concat_tables(parts, promote_options="default") if parts else table.schema.empty_table()
        content = hash_ids(content, self._key)
        wrote = database.write(self._identity, table, content, taken[-1].number)
        for _ in taken:
            files.popleft()
        self._metrics.postgres_rows.labels(table.name).inc(wrote.rows)
        self._metrics.postgres_repeated.labels(table.name).inc(wrote.repeated)
        self._metrics.postgres_refused.labels(table.name).inc(wrote.refused)


def make_mirror(settings: Settings, archive: Archive, number: int, metrics: Metrics) -> Mirror | None:
    """The mirror that the settings ask for; None without one.

    Raises
    ------
    ConfigError, InfraError
        As `Mirror`; also for tables that no kept topic has.
    """
    from offline.sidecar.archive import ARCHIVED

    if not settings.postgres_url:
        return None
    known = {topic.kind: topic for topic in ARCHIVED}
    if unknown := [kind for kind in settings.postgres_tables if kind not in known]:
        raise ConfigError("DWCP_POSTGRES_TABLES", ",".join(unknown), f"some of {', '.join(known)}")
    topics = [known[kind] for kind in settings.postgres_tables]
    return Mirror(settings.postgres_url, topics, archive, number, metrics, settings.export_key)


def _identity(folder: Path) -> str:
    """What the database knows this folder's checkpoints by: in another folder they are counted from 1 again."""
    path = folder / IDENTITY
    try:
        if not path.exists():
            path.write_text(uuid.uuid4().hex)
        return path.read_text().strip()
    except OSError as exc:
        raise InfraError(f"cannot use {path}: {exc.strerror}; set DWCP_SIDECAR_DATA") from exc
