"""What travels beside a value: ids, keys and headers of outputs and of rejects.

Headers are the CloudEvents 1.0 Kafka binding in binary mode; ids are made by `schemas.stamp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from schemas import header
from schemas.batch import Broadcast, Output
from schemas.binary import Binary
from schemas.codec import Codec, codec_of
from schemas.error import RecordError
from schemas.header import Header, Headers
from schemas.stamp import stamp
from schemas.topic import Topic
from streams.message import CELLS, Messages, header_cells

_MESSAGE_MAX_CHARACTERS: Final = 500


class Envelope:
    """Encodes one agent's outputs to one topic.

    Parameters
    ----------
    topic
        Where they go.
    agent
        Name of the agent, for `ce_source`.
    codec
        What makes the values; JSON by default.
    """

    def __init__(self, topic: Topic, agent: str, codec: Codec[Any] | None = None) -> None:
        if topic.record is None:
            raise TypeError(f"{topic.name} has no record type: it takes rejects only")
        self.topic = topic
        self._codec = codec or codec_of(topic.record)
        self._has_id = "id" in self._codec.fields
        own: Headers = [
            (header.ORIGIN, b""),
            (header.CE_ID, b""),
            (header.CE_TIME, b""),
            *header.event_headers(topic.name, agent, self._codec.content_type),
        ]
        # The first three differ from record to record.
        self._cells, self._held = header_cells([own])
        self._kind = topic.kind.encode()

    def encode(self, output: Output, origin: Binary, key: Binary, trace: Sequence[Headers] | None = None) -> Messages:
        """An output's records with their keys and headers.

        Parameters
        ----------
        output
            Records as columns.
        origin, key, trace
            Of each row of the batch the output derives from; no trace where no row has any.
        """
        columns: dict[str, Any] = dict(output.columns)
        suffix = None if output.suffix is None else Binary.of([end.encode() for end in output.suffix])
        time_ms = np.asarray(columns["timestamp"], np.int64)
        ids, cells, memory = stamp(self._cells, origin, output.row, self._kind, time_ms, suffix)
        if self._has_id:
            columns["id"] = ids
        n, count, _ = cells.shape
        flat, end = cells.reshape(-1, CELLS), np.arange(count, count * n + 1, count)
        held = [self._held, memory]
        if trace is not None:
            traced = [trace[r] for r in output.row.tolist()]
            more, memory = header_cells(traced)
            sizes = np.array([len(one) for one in traced], np.int64)
            flat = np.insert(flat, (np.arange(n) * count + 1).repeat(sizes), more, axis=0)
            end = end + sizes.cumsum()
            held.append(memory)
        keys = key.take(output.row) if output.key is None else Binary.of(output.key)
        return Messages(keys, self._codec.write(columns), flat, end, held)


def control_headers(control: Broadcast, origin: bytes, agent: str, trace: Sequence[Header] = ()) -> Headers:
    """Headers of a control: all there is of it, since it has no value."""
    return [
        (header.ORIGIN, origin),
        *trace,
        (header.CE_ID, b"%s:%s" % (origin, control.kind.encode())),
        (header.CE_SOURCE, f"/dwcp-streams/{agent}".encode()),
        (header.CONTROL, control.kind.encode()),
        (header.CONTROL_BODY, control.body),
    ]


def reject_headers(record: Any, origin: bytes, error: RecordError, stage: str, topic: str, partition: int) -> Headers:
    """Headers of a rejected record: its own, then its origin, and where and why it was rejected.

    Ours replace those of an earlier rejection, so that a replayed dead letter that
    fails again says why it failed now.

    Parameters
    ----------
    record
        The record as read, with `headers` and `offset`.
    origin
        Its origin.
    error
        Why it was rejected.
    stage
        Name of the agent that rejected it.
    topic, partition
        Where it was read.
    """
    ours: Headers = [
        (header.ORIGIN, origin),
        (header.ERROR_REASON, error.reason.encode()),
        (header.ERROR_STAGE, stage.encode()),
        (header.ERROR_MESSAGE, str(error)[:_MESSAGE_MAX_CHARACTERS].encode("utf-8", "replace")),
        (header.ERROR_TOPIC, topic.encode()),
        (header.ERROR_PARTITION, b"%d" % partition),
        (header.ERROR_OFFSET, b"%d" % record.offset),
    ]
    names = {name for name, _ in ours}
    return [(name, value) for name, value in record.headers if name not in names] + ours


def reject_record(record: Any, headers: Headers, limit: int) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers of a reject; beyond `limit` bytes only what says where it was read and why.

    A broker's limit is on compressed batches, so a record that was read may be larger
    than any that can be written. It stays in its topic; the headers say at which offset.
    """
    size = len(record.key or b"") + len(record.value or b"")
    size += sum(len(name.encode()) + len(value or b"") for name, value in headers)
    if size <= limit:
        return record.key, record.value, headers
    ours = {header.ORIGIN, *header.ERROR}
    return None, None, [(name, value) for name, value in headers if name in ours]
