"""What travels beside a value: ids, keys and headers of outputs and of rejects.

The id of an output is `<origin>:<kind>`, with `:<k>` for the k-th further record of
the same input and topic, or with a suffix after a dot where the output gives one. It is
the same on every replay, so consumers can drop repeats by it. Headers are the
CloudEvents 1.0 Kafka binding in binary mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas import header
from schemas.batch import Broadcast, Output
from schemas.binary import Binary
from schemas.codec import Codec, codec_of
from schemas.error import RecordError
from schemas.header import Header, Headers
from schemas.topic import Topic
from streams.message import CELLS, Messages, header_cells

_MESSAGE_MAX_CHARACTERS: Final = 500
_DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime(1970, 1, 1)
_FIRST_MS: Final = -62_135_596_800_000
_LAST_MS: Final = 253_402_300_799_999
"""Years 1 to 9999, all that Python's dates know."""

_MANY: Final = 64
"""From so many on, writing times column by column is faster than one by one."""

_DAYS: Final = 400
_DIGITS: Final = (
    (11, 36_000_000, 10), (12, 3_600_000, 10), (14, 600_000, 6), (15, 60_000, 10),
    (17, 10_000, 6), (18, 1_000, 10), (20, 100, 10), (21, 10, 10), (22, 1, 10),
)  # fmt: skip
"""Where each digit of a time of day stands, in milliseconds."""


def output_ids(
    topic: Topic, origin: Sequence[bytes], row: NDArray[np.intp], suffix: Sequence[str] | None = None
) -> list[bytes]:
    """Deterministic ids of the records that derive from these rows.

    Parameters
    ----------
    topic
        Where the records go.
    origin
        Of each record.
    row
        int `[m]`, not decreasing: the input row of each record.
    suffix
        Of each record, or None where they have none.
    """
    kind = b":" + topic.kind.encode()
    if suffix is not None:
        return [b"%s%s.%s" % (one, kind, end.encode()) for one, end in zip(origin, suffix, strict=True)]
    ids = [one + kind for one in origin]
    repeated = np.flatnonzero(row[1:] == row[:-1]) + 1
    if len(repeated):
        first = np.searchsorted(row, row[repeated])
        for at, k in zip(repeated.tolist(), (repeated - first).tolist(), strict=True):
            ids[at] += b":%d" % k
    return ids


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

    def encode(
        self,
        output: Output,
        origin: Sequence[bytes],
        key: Sequence[bytes | None],
        trace: Sequence[Headers] | None = None,
    ) -> Messages:
        """An output's records with their keys and headers.

        Parameters
        ----------
        output
            Records as columns.
        origin, key, trace
            Of each row of the batch the output derives from; no trace where no row has any.
        """
        rows = output.row.tolist()
        own = [origin[r] for r in rows]
        ids = self._ids(own, output)
        columns: dict[str, Any] = dict(output.columns)
        if self._has_id:
            columns["id"] = ids
        time = rfc3339(np.asarray(columns["timestamp"], np.int64))
        cells = np.empty((len(rows), *self._cells.shape), np.int64)
        cells[:] = self._cells
        cells[:, 0, 1] = cells[:, 1, 1] = ids.address  # an id begins with its origin
        cells[:, 0, 2] = list(map(len, own))
        cells[:, 1, 2] = ids.size
        cells[:, 2, 1], cells[:, 2, 2] = time.address, time.size
        count = cells.shape[1]
        flat, end = cells.reshape(-1, CELLS), np.arange(count, count * len(rows) + 1, count)
        held = [self._held, ids, time]
        if trace is not None:
            traced = [trace[r] for r in rows]
            more, memory = header_cells(traced)
            sizes = np.array([len(one) for one in traced], np.int64)
            flat = np.insert(flat, (np.arange(len(rows)) * count + 1).repeat(sizes), more, axis=0)
            end = end + sizes.cumsum()
            held.append(memory)
        keys = Binary.of([key[r] for r in rows] if output.key is None else output.key)
        return Messages(keys, self._codec.write(columns), flat, end, held)

    def _ids(self, origin: Sequence[bytes], output: Output) -> Binary:
        """As `output_ids`, given the origin of each record; in one go where no row has two."""
        if output.suffix is None and (output.row[1:] > output.row[:-1]).all():
            end = b":%s\n" % self.topic.kind.encode()
            ids = Binary.lines(end.join([*origin, b""]))
            if len(ids) == len(origin):  # an origin is anybody's bytes, with line breaks perhaps
                return ids
        return Binary.of(output_ids(self.topic, origin, output.row, output.suffix))


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


def rfc3339(time_ms: NDArray[np.int64]) -> Binary:
    """UTC times as RFC 3339 text.

    >>> rfc3339(np.array([1_700_000_000_500])).tolist()
    [b'2023-11-14T22:13:20.500Z']
    """
    day, ms = np.divmod(time_ms, _DAY_MS)
    if len(day) < _MANY or day.max() - day.min() > _DAYS:
        return Binary.of([_rfc3339(one) for one in time_ms.tolist()])
    first = day.min()
    days = np.datetime_as_string(np.arange(first, day.max() + 1).astype("datetime64[D]")).astype("S10")
    letters = np.tile(np.frombuffer(b"0000-00-00T00:00:00.000Z", np.uint8), (len(day), 1))
    letters[:, :10] = days.view(np.uint8).reshape(-1, 10)[day - first]
    ms = ms.astype(np.int32)
    for place, unit, base in _DIGITS:
        letters[:, place] += (ms // unit % base).astype(np.uint8)
    count, size = letters.shape
    return Binary(letters.tobytes(), np.arange(0, count * size, size), np.full(count, size))


def _rfc3339(time_ms: int) -> bytes:
    if _FIRST_MS <= time_ms <= _LAST_MS:
        return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds").encode() + b"Z"
    return str(np.datetime_as_string(np.datetime64(time_ms, "ms"), timezone="UTC")).encode()


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
