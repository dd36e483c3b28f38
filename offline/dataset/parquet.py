"""Recordings to Parquet: one topic's records as typed columns, in batches, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from offline.dataset.identity import hash_ids
from offline.dataset.schema import ORIGIN, arrow_schema
from schemas.codec import codec_of
from schemas.error import ConfigError, InfraError
from schemas.header import ORIGIN as ORIGIN_HEADER
from schemas.header import origin_of
from schemas.topic import Topic
from streams.recording.format import Recorded

_ROWS: Final = 20_000
"""Records per row group."""


class Undecoded(NamedTuple):
    """A record that is not of its topic's type: where it was, and why."""

    place: str
    reason: str
    message: str


@dataclass(slots=True)
class Written:
    """What is in a file, and what could not be."""

    rows: int = 0
    undecoded: list[Undecoded] = field(default_factory=list)


def write_parquet(topic: Topic, records: Iterable[Recorded], path: Path, key: str = "") -> Written:
    """Write the records of a topic; what does not decode is listed in the answer.

    Parameters
    ----------
    topic
        Whose record type the columns have.
    records
        Of that topic.
    path
        The file; it appears when it is whole.
    key
        What ids are hashed with; empty: they stay as they are.

    Raises
    ------
    ConfigError
        When the file cannot be created.
    InfraError
        When it cannot be written to the end.
    """
    schema = arrow_schema(topic)
    written = Written()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with pq.ParquetWriter(part, schema, compression="zstd") as writer:
                for batch in _batches(topic, records, schema, written):
                    writer.write_table(hash_ids(pa.Table.from_batches([batch]), key))
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as exc:
        raise ConfigError("--out", str(path), f"a file that can be written ({exc.strerror})") from exc
    except OSError as exc:
        raise InfraError(f"cannot write {path}: {exc}; nothing is kept of it") from exc
    return written


def _batches(
    topic: Topic, records: Iterable[Recorded], schema: pa.Schema, written: Written
) -> Iterator[pa.RecordBatch]:
    assert topic.record is not None
    codec = codec_of(topic.record)
    rest = iter(records)
    while some := list(islice(rest, _ROWS)):
        decoded, rejected = codec.decode([r.value for r in some])
        bad = {r.row: r.error for r in rejected}
        for row, error in bad.items():
            written.undecoded.append(Undecoded(_place(some[row]), error.reason, str(error)))
        kept = [r for i, r in enumerate(some) if i not in bad]
        written.rows += len(kept)
        yield make_batch(decoded, [origin_in(r) for r in kept], schema)


def make_batch(records: Sequence[Any], origins: Sequence[str], schema: pa.Schema) -> pa.RecordBatch:
    """Records of a topic and their origins, `n` of each, as columns of `arrow_schema`."""
    rows: Sequence[Mapping[str, Any]] = msgspec.to_builtins(records)
    arrays = []
    for one in schema:
        if one.name == ORIGIN:
            arrays.append(pa.array(origins, one.type))
            continue
        values = [row[one.name] for row in rows]
        if pa.types.is_map(one.type):
            values = [None if value is None else list(value.items()) for value in values]
        arrays.append(pa.array(values, one.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def origin_in(record: Recorded) -> str:
    """The raw record that a record derives from; itself where it does not say."""
    return next((v.decode() for name, v in record.headers if name == ORIGIN_HEADER and v), _place(record))


def _place(record: Recorded) -> str:
    return origin_of(record.topic, record.partition, record.offset).decode()
