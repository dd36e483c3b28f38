"""Trainings in a process of their own, of the lowest priority: `dwcp train` on what the archive has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from offline.sidecar.archive import Archive
from offline.sidecar.child import Child
from schemas.error import GateFailed, InfraError
from schemas.topic import COMPRESSION_KEYED, NETWORK_KEYED, SYSTEM_KEYED, Topic
from streams.recording.file import RecordingFile
from streams.recording.format import Recorded

SOURCE: Final[Mapping[str, Topic]] = {
    "selector": COMPRESSION_KEYED, "bandwidth": NETWORK_KEYED, "anomaly": SYSTEM_KEYED,
    "performance": SYSTEM_KEYED,
}  # fmt: skip
"""What each model learns from."""


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

    A selector learns from a recording, the others from one Parquet file.

    Raises
    ------
    InfraError
        When it cannot be written.
    """
    topic = SOURCE[name]
    if not archive.files(topic, last_ms):
        return None
    try:
        if name == "selector":
            return _recording(archive, topic, last_ms, folder / f"{name}.jsonl.zst", since_ms)
        return _table(archive, topic, last_ms, folder / f"{name}.parquet", since_ms)
    except OSError as exc:
        raise InfraError(f"cannot write to {folder}: {exc}") from exc


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


def _recording(archive: Archive, topic: Topic, last_ms: int, path: Path, since_ms: int) -> Path:
    assert topic.record is not None
    names = topic.record.__struct_fields__
    offset = 0
    with RecordingFile(path, "the archive") as file:
        for table in _since(archive.read(topic, last_ms), since_ms):
            plain = table.select(names).set_column(
                names.index("timestamp"), "timestamp", table["timestamp"].cast(pa.int64())
            )
            records = []
            for row in plain.to_pylist():
                key = f"{row['node_id']}:{row['peer_id']}".encode()
                value = msgspec.json.encode(row)
                records.append(Recorded(topic.name, 0, offset, row["timestamp"], key, value))
                offset += 1
            file.write(records)
    return path
