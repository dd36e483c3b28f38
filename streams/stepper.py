"""Records to columns to results: the part of an agent's loop that needs no broker.

Three things happen here besides the step itself. What does not decode becomes a
rejection. What the keyed hop delivered twice is left out: ingest sends again what it had not
committed when it died, and such a record has an origin that its partition has passed. And a
step that raises is repeated record by record, so that one record takes the blame.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas import header
from schemas.batch import Batch, Rejection, Result
from schemas.codec import Codec, codec_of
from schemas.error import DwcpError, InfraError, StepFailed
from schemas.topic import INPUTS
from streams.agent import Agent, State, is_kept

_log = logging.getLogger(__name__)

_HOPELESS: Final = 64
"""So many records that all fail, with none that does not, are a broken step and not bad records."""


@dataclass(slots=True)
class Held:
    """A partition's state: what it has seen, and up to where.

    Parameters
    ----------
    state
        The agent's.
    next_offset
        Of its source; None before the first record.
    newest_origin
        Newest raw offset seen, by raw topic and partition.
    """

    state: State
    next_offset: int | None = None
    newest_origin: dict[bytes, int] = field(default_factory=dict)


@dataclass(slots=True)
class Work:
    """Decoded records.

    Parameters
    ----------
    batch
        Those that a step takes.
    row
        Place of each row of the batch among the records.
    origin
        Of every record.
    rejected
        What did not decode, by place among the records.
    redelivered
        How many were left out because they were seen before.
    """

    batch: Batch
    row: NDArray[np.intp]
    origin: list[bytes]
    rejected: list[Rejection]
    redelivered: int = 0


class Stepper:
    """One agent's decoding and stepping.

    Parameters
    ----------
    agent
        What to run.
    source
        Name of the topic it reads, on the broker.
    codec
        Of that topic; by default one that knows no schema registry.
    """

    def __init__(self, agent: Agent, source: str, codec: Codec[Any] | None = None) -> None:
        assert agent.source.record is not None
        self.agent = agent
        self._source = source
        self._codec = codec or codec_of(agent.source.record)
        self._is_raw = agent.source in INPUTS

    def start(self) -> Held:
        """The state of a partition that has seen nothing."""
        return Held(self.agent.state())

    def decode(self, records: Sequence[Any], partition: int) -> Work:
        """Columns of one partition's records, objects with `key, value, offset, timestamp, headers`."""
        decoded, rejected = self._codec.decode([r.value for r in records])
        row = _kept(len(records), rejected)
        kept = [records[r] for r in row.tolist()] if rejected else records
        origin = self._origins(records, partition)
        batch = Batch(
            topic=self.agent.source,
            partition=partition,
            columns=self._codec.columns(decoded),
            key=[r.key for r in kept],
            offset=np.array([r.offset for r in kept], np.int64),
            origin=[origin[r] for r in row.tolist()] if rejected else origin,
            time_ms=np.array([r.timestamp for r in kept], np.int64),
        )
        return Work(batch, row, origin, rejected)

    def admit(self, held: Held, records: Sequence[Any], work: Work) -> Work:
        """The work without redelivered records; their origins count as seen from now on."""
        if self._is_raw:
            return work
        repeated = _passed(held.newest_origin, work.batch.origin)
        repeated = [r for r in repeated if not _is_replayed(records[int(work.row[r])].headers)]
        if not repeated:
            return work
        fresh = np.delete(np.arange(len(work.batch)), repeated)
        return Work(_rows(work.batch, fresh), work.row[fresh], work.origin, work.rejected, len(repeated))

    def step(self, held: Held, work: Work) -> Result:
        """One step over the whole batch; what it raises leaves the state in pieces."""
        return held.state.step(work.batch) if len(work.batch) else Result()

    def step_each(self, held: Held, work: Work) -> Result:
        """A step per record; one that raises leaves the state as it was and rejects its record.

        Raises
        ------
        InfraError
            When every one of many records fails: that is a broken step, and the topic is
            not emptied into the dead letters for it.
        """
        state = held.state
        parts: list[tuple[int, Result]] = []
        failed = 0
        for row in range(len(work.batch)):
            one = work.batch.take(row, row + 1)
            undo = state.checkpoint(one.key) if is_kept(state) else None
            try:
                parts.append((row, state.step(one)))
            except (DwcpError, MemoryError):
                raise
            except Exception as exc:
                failed += 1
                message = f"{type(exc).__name__}: {exc}"
                if failed == _HOPELESS == row + 1:
                    raise InfraError(f"the step of agent {self.agent.name} fails on every record: {message}") from exc
                if is_kept(state):
                    state.rollback(undo)
                _log.exception("agent %s failed on %s", self.agent.name, one.origin[0].decode("utf-8", "replace"))
                parts.append((row, Result(rejected=[Rejection(0, StepFailed("step_failed", message))])))
        return Result.join(parts)

    def _origins(self, records: Sequence[Any], partition: int) -> list[bytes]:
        topic = self._source
        if self._is_raw:
            return [header.origin_of(topic, partition, r.offset) for r in records]
        return [_origin_header(r.headers) or header.origin_of(topic, partition, r.offset) for r in records]


def _kept(n: int, rejected: Sequence[Rejection]) -> NDArray[np.intp]:
    """Rows that were not rejected."""
    keep = np.ones(n, np.bool_)
    keep[[r.row for r in rejected]] = False
    return np.flatnonzero(keep)


def _rows(batch: Batch, row: NDArray[np.intp]) -> Batch:
    at = row.tolist()
    return Batch(
        batch.topic,
        batch.partition,
        {name: column[row] for name, column in batch.columns.items()},
        [batch.key[r] for r in at],
        batch.offset[row],
        [batch.origin[r] for r in at],
        None if batch.time_ms is None else batch.time_ms[row],
    )


def _passed(newest: dict[bytes, int], origin: Sequence[bytes]) -> list[int]:
    """Rows whose raw partition has already given a later record; the newest offsets move on."""
    passed = []
    for row, one in enumerate(origin):
        source, _, offset = one.rpartition(b"/")
        try:
            at = int(offset)
        except ValueError:  # not ours: nothing can be told from it
            continue
        if at > newest.get(source, -1):
            newest[source] = at
        else:
            passed.append(row)
    return passed


def _is_replayed(headers: Sequence[tuple[str, bytes | None]]) -> bool:
    return any(name == header.REPLAYED_FROM for name, _ in headers)


def _origin_header(headers: Sequence[tuple[str, bytes | None]]) -> bytes | None:
    """The origin a record carries; ours write it first. None when it is not text: ids are made of it."""
    for name, value in headers:
        if name == header.ORIGIN:
            return value if value and value.isascii() else None
    return None
