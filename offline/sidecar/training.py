"""Trainings in a process of their own, of the lowest priority: `dwcp train` on what the archive has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from offline.sidecar.archive import Archive
from offline.sidecar.child import Child
from offline.training.optimizer_fit import LEAST_ROLLOUTS
from schemas.error import GateFailed, InfraError
from schemas.topic import (
    COMPRESSION_KEYED,
    NETWORK_KEYED,
    OPTIMIZER_RECOMMENDATION,
    OPTIMIZER_ROLLOUT,
    SYSTEM_KEYED,
    Topic,
)
from streams.recording.file import RecordingFile
from streams.recording.format import Recorded

SOURCE: Final[Mapping[str, Topic]] = {
    "selector": COMPRESSION_KEYED, "bandwidth": NETWORK_KEYED, "anomaly": SYSTEM_KEYED,
    "performance": SYSTEM_KEYED, "optimizer": OPTIMIZER_ROLLOUT,
}  # fmt: skip
"""What each model learns from; a rollout also needs its recommendation."""


class Done(NamedTuple):
    """A training that has ended; `missed` says which gate it missed, or what went wrong."""

    name: str
    reason: str
    out: Path
    missed: str


class Training:
    """A running training.

    Parameters
    ----------
    name, reason
        What is trained, and why.
    data
        File to learn from.
    out
        Folder for the artifact.
    options
        More options of `dwcp train NAME`.
    """

    def __init__(self, name: str, reason: str, data: Path, out: Path, options: Sequence[str]) -> None:
        self.name, self.reason, self.out = name, reason, out
        command = ["streams.cli", "train", name, "--data", str(data), "--out", str(out), *options]
        self._child = Child(command, out.with_suffix(".log"))

    def poll(self) -> Done | None:
        """Its end, once it has come."""
        code = self._child.code()
        if code is None:
            return None
        missed = self._child.last_words()
        if code != GateFailed.exit_code:
            missed = f"exit code {code}: {missed}"
        return Done(self.name, self.reason, self.out, missed if code else "")

    def stop(self) -> None:
        """End it."""
        self._child.stop()


def export(archive: Archive, name: str, last_ms: int, folder: Path, since_ms: int = 0) -> Path | None:
    """What a training reads, of the last `last_ms` of event time; None while the archive has nothing.

    Nothing from before `since_ms`, UTC epoch ms.

    A selector and the optimizer learn from a recording, the others from one Parquet file.

    Raises
    ------
    InfraError
        When it cannot be written.
    """
    topic = SOURCE[name]
    if not archive.files(topic, last_ms):
        return None
    try:
        if name == "optimizer":
            if _tested(archive, topic, last_ms) < LEAST_ROLLOUTS:
                return None
            topics = (OPTIMIZER_RECOMMENDATION, topic)
            return _recording(archive, topics, last_ms, folder / f"{name}.jsonl.zst", since_ms)
        if name == "selector":
            return _recording(archive, (topic,), last_ms, folder / f"{name}.jsonl.zst", since_ms)
        return _table(archive, topic, last_ms, folder / f"{name}.parquet", since_ms)
    except OSError as exc:
        raise InfraError(f"cannot write to {folder}: {exc}") from exc


def _tested(archive: Archive, topic: Topic, last_ms: int) -> int:
    """How many rollouts had a stage that was tested."""
    found: set[str] = set()
    for table in archive.read(topic, last_ms):
        found.update(table.filter(pc.is_valid(table["effect_pct"]))["recommendation_id"].to_pylist())
    return len(found)


def _table(archive: Archive, topic: Topic, last_ms: int, path: Path, since_ms: int) -> Path:
    writer = None
    for table in _since(archive.read(topic, last_ms), since_ms):
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return path


def _since(tables: Iterable[pa.Table], since_ms: int) -> Iterator[pa.Table]:
    """Tables without what was before."""
    for table in tables:
        yield table.filter(pc.greater_equal(table["timestamp"].cast(pa.int64()), since_ms)) if since_ms else table


def _recording(archive: Archive, topics: Sequence[Topic], last_ms: int, path: Path, since_ms: int) -> Path:
    with RecordingFile(path, "the archive") as file:
        for topic in topics:
            offset = 0
            for table in _since(archive.read(topic, last_ms), since_ms):
                records = [
                    Recorded(topic.name, 0, offset + k, row["timestamp"], _key(row), msgspec.json.encode(row))
                    for k, row in enumerate(_plain(topic, table))
                ]
                offset += len(records)
                file.write(records)
    return path


def _key(row: Mapping[str, Any]) -> bytes:
    return f"{row['node_id']}:{row['peer_id']}".encode() if "peer_id" in row else str(row["scope"]).encode()


def _plain(topic: Topic, table: pa.Table) -> list[dict[str, Any]]:
    """Rows as records of the topic: times in ms, maps as they were."""
    assert topic.record is not None
    plain = table.select(topic.record.__struct_fields__)
    for k, field in enumerate(plain.schema):
        if pa.types.is_timestamp(field.type):
            plain = plain.set_column(k, field.name, plain[field.name].cast(pa.int64()))
    maps = [field.name for field in plain.schema if pa.types.is_map(field.type)]
    rows: list[dict[str, Any]] = plain.to_pylist()
    for row in rows:
        row |= {name: dict(row[name]) for name in maps if row[name] is not None}
    return rows
