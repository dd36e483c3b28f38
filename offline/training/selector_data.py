"""Compression telemetry of recordings as columns, by way of the real ingest and codec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.batch import Batch, Columns
from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.topic import COMPRESSION_KEYED, COMPRESSION_RAW, PARTITIONS
from streams.partition import murmur2_partition
from streams.recording.file import read_recording
from streams.recording.format import Recorded
from streams.recording.progress import Show
from streams.recording.run import run
from streams.recording.table import INGESTS
from streams.settings import Settings

_CHUNK: Final = 20_000
_SLICE: Final = 1_000
"""Records that a step gets together, before they are parted by partition; as `streams.recording.run` does."""


@dataclass(slots=True)
class Transfers:
    """Telemetry in order of arrival.

    Parameters
    ----------
    columns
        One array `[n]` per field of `CompressionTelemetry`.
    key
        The links, `n` of them.
    partition
        Of each row on the keyed topic, int64 `[n]`.
    rejected
        Records that ingest refused.
    """

    columns: Columns
    key: list[bytes | None]
    partition: NDArray[np.int64]
    rejected: int = 0

    def __len__(self) -> int:
        return len(self.key)

    def take(self, row: NDArray[np.intp]) -> Batch:
        """Some rows, in order, of one partition, as a batch."""
        at = row.tolist()
        return Batch(
            COMPRESSION_KEYED,
            int(self.partition[at[0]]),
            {name: column[row] for name, column in self.columns.items()},
            [self.key[r] for r in at],
            np.asarray(row, np.int64),
            [b"%s/%d/%d" % (COMPRESSION_KEYED.name.encode(), self.partition[r], r) for r in at],
        )

    def batches(self) -> Iterator[tuple[NDArray[np.intp], Batch]]:
        """Batches as a worker gets them, with their rows."""
        for first in range(0, len(self), _SLICE):
            end = min(first + _SLICE, len(self))
            for partition in np.unique(self.partition[first:end]).tolist():
                row = first + np.flatnonzero(self.partition[first:end] == partition)
                yield row, self.take(row)


def read_transfers(paths: Sequence[Path], show: Show | None = None) -> Transfers:
    """Read recordings one after the other; raw records go through ingest.

    A recording that has keyed records is read for these, and its raw ones are left alone.

    Raises
    ------
    ConfigError
        When a recording cannot be read or has no compression telemetry.
    """
    settings = Settings.from_environment()
    parts: list[Columns] = []
    keys: list[bytes | None] = []
    rejected = 0
    assert COMPRESSION_KEYED.record is not None
    codec = codec_of(COMPRESSION_KEYED.record)
    for path in paths:
        topic = _source(path, settings)
        name, found = settings.name_of(topic), 0
        for records in _chunks(record for record in read_recording(path) if record.topic == name):
            kept = records
            if topic is COMPRESSION_RAW:
                kept = list(run([INGESTS[COMPRESSION_RAW]], records, settings).get(COMPRESSION_KEYED, ()))
            decoded, bad = codec.decode([record.value for record in kept])
            lost = {one.row for one in bad}
            keys += [record.key for row, record in enumerate(kept) if row not in lost]
            parts.append(codec.columns(decoded))
            rejected += len(records) - len(decoded)
            found += len(records)
            if show is not None:
                show(len(keys), path.name)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    partition = np.array([0 if key is None else murmur2_partition(key, PARTITIONS) for key in keys], np.int64)
    return Transfers(columns, keys, partition, rejected)


def _source(path: Path, settings: Settings) -> Any:
    """The keyed topic where the recording has it, else the raw one."""
    wanted = {settings.name_of(topic): topic for topic in (COMPRESSION_KEYED, COMPRESSION_RAW)}
    seen = {record.topic for record in islice(read_recording(path), _CHUNK)}
    for name, topic in wanted.items():
        if name in seen:
            return topic
    raise ConfigError("recording", str(path), f"one that has {' or '.join(wanted)}; it has {', '.join(sorted(seen))}")


def _chunks(records: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    rest = iter(records)
    while some := list(islice(rest, _CHUNK)):
        yield some
