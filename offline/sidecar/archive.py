"""Topics as Parquet data sets: `<kind>/date=2026-01-05/hour=07/00000012.parquet`.

Hours are of event time. A file's name is the number of the checkpoint it belongs to: what a
crash left behind has a greater number than the last checkpoint and is removed, and what it held is
read again. Any reader of hive-partitioned Parquet reads it.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from offline.dataset.parquet import make_batch
from offline.dataset.schema import arrow_schema
from schemas.error import InfraError
from schemas.topic import (
    FOREVER,
    KEYED,
    OPTIMIZER_RECOMMENDATION,
    OPTIMIZER_ROLLOUT,
    OUTPUTS,
    SYSTEM_ROLLUP,
    SYSTEM_THRESHOLD,
    Topic,
)

ARCHIVED: Final = (
    *KEYED, *OUTPUTS, SYSTEM_ROLLUP, SYSTEM_THRESHOLD, OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT
)  # fmt: skip
"""What is kept; for how long, the topics say: 90 days of telemetry, 30 of network samples and predictions."""

HOUR_MS: Final = 3_600_000
_PATTERN: Final = "date=*/hour=*"


class Written(NamedTuple):
    """A file of a topic's data set: the checkpoint that it belongs to, where it is, its rows."""

    topic: Topic
    number: int
    path: Path
    rows: int


class Archive:
    """Data sets under a folder.

    Parameters
    ----------
    root
        The folder; made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._rows: dict[Topic, list[tuple[Any, str]]] = defaultdict(list)

    def add(self, topic: Topic, records: Sequence[Any], origins: Sequence[str]) -> None:
        """Buffer records of a topic with the raw records they derive from, `n` of each."""
        self._rows[topic] += zip(records, origins, strict=True)

    @property
    def buffered(self) -> int:
        """Rows that are in no file yet."""
        return sum(map(len, self._rows.values()))

    def write(self, number: int) -> list[Written]:
        """Write what is buffered as files of checkpoint `number`; returns the files.

        Raises
        ------
        InfraError
            When a file cannot be written; what is buffered stays so.
        """
        written = []
        for topic, found in self._rows.items():
            schema = arrow_schema(topic)
            for hour, part in _by_hour(found).items():
                batch = make_batch([record for record, _ in part], [origin for _, origin in part], schema)
                path = self.folder(topic) / hour / f"{number:08}.parquet"
                _write(path, pa.Table.from_batches([batch]))
                written.append(Written(topic, number, path, len(part)))
        self._rows.clear()
        return written

    def recover(self, number: int) -> int:
        """Remove files of checkpoints after `number`, and unfinished ones; returns how many."""
        removed = 0
        for path in self.root.glob(f"*/{_PATTERN}/*"):
            if path.suffix == ".part" or (path.stem.isdigit() and int(path.stem) > number):
                path.unlink()
                removed += 1
        return removed

    def expire(self, now_ms: int) -> int:
        """Remove hours that are older than their topic is kept; returns how many.

        Age is counted from the topic's newest hour, so that a recording of last year is not removed as it comes,
        and from the clock for what was written so long ago.
        """
        removed = 0
        for topic in ARCHIVED:
            hours = sorted(self.hours(topic))
            for start_ms, folder in hours if topic.retention_ms != FOREVER else ():
                written_ms = folder.stat().st_mtime * 1000
                if max(hours[-1][0] - start_ms, now_ms - written_ms) > topic.retention_ms:
                    shutil.rmtree(folder)
                    if not any(folder.parent.iterdir()):
                        folder.parent.rmdir()
                    removed += 1
        return removed

    def folder(self, topic: Topic) -> Path:
        """Where a topic's data set is."""
        return self.root / topic.kind

    def hours(self, topic: Topic) -> Iterator[tuple[int, Path]]:
        """Start of every hour that a topic has, ms since the epoch, and its folder."""
        for folder in self.folder(topic).glob(_PATTERN):
            day, hour = folder.parent.name.removeprefix("date="), folder.name.removeprefix("hour=")
            start = datetime.strptime(f"{day} {hour}", "%Y-%m-%d %H").replace(tzinfo=UTC)
            yield int(start.timestamp()) * 1000, folder

    def files(self, topic: Topic, last_ms: int | None = None) -> list[Path]:
        """Files of a topic in order of time; only of the last `last_ms` of event time if given."""
        hours = sorted(self.hours(topic))
        since = hours[-1][0] - last_ms if hours and last_ms is not None else 0
        return [path for start, folder in hours if start >= since for path in sorted(folder.glob("*.parquet"))]

    def read(self, topic: Topic, last_ms: int | None = None) -> Iterator[pa.Table]:
        """Those files as tables, one after the other."""
        for path in self.files(topic, last_ms):
            yield pq.ParquetFile(path).read()


def _by_hour(rows: Iterable[tuple[Any, str]]) -> dict[str, list[tuple[Any, str]]]:
    found: dict[int, list[tuple[Any, str]]] = defaultdict(list)
    for row in rows:
        found[row[0].timestamp // HOUR_MS].append(row)
    return {_hour(hour): part for hour, part in found.items()}


def _hour(hour: int) -> str:
    return datetime.fromtimestamp(hour * HOUR_MS // 1000, UTC).strftime("date=%Y-%m-%d/hour=%H")


def _write(path: Path, table: pa.Table) -> None:
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, part, compression="zstd")
        part.replace(path)
    except OSError as exc:
        raise InfraError(f"cannot write {path}: {exc}; free some space, or move the data set") from exc
