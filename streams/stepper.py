"""Records to columns to results: the part of an agent's loop that needs no broker.

Four things happen here besides the step itself. What does not decode becomes a
rejection. What the keyed hop delivered twice is left out: ingest sends again what it had not
committed when it died, and such a record has an origin that its partition has passed. And a
step that raises is repeated record by record, so that one record takes the blame. Controls,
records without a value in a keyed topic, cut the batch where they stand.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Final

import numpy as np

from schemas import header
from schemas.batch import Batch, Control, Rejection, Result
from schemas.codec import Codec, codec_of
from schemas.error import DwcpError, InfraError, StepFailed
from schemas.topic import INPUTS
from streams.agent import Agent, State, is_kept
from streams.shelf import Shelf
from streams.work import Held, Placed, Work

_log = logging.getLogger(__name__)

_HOPELESS: Final = 64
"""So many records that all fail, with none that does not, are a broken step and not bad records."""


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
    shelf
        Where its state finds trained models; by default there are none.
    """

    def __init__(self, agent: Agent, source: str, codec: Codec[Any] | None = None, shelf: Shelf | None = None) -> None:
        assert agent.source.record is not None
        self.agent = agent
        self._source = source
        self._codec = codec or codec_of(agent.source.record)
        self._is_raw = agent.source in INPUTS
        self._shelf = shelf

    def start(self) -> Held:
        """The state of a partition that has seen nothing."""
        state = self.agent.state()
        if self._shelf is not None and is_kept(state):
            state.use(self._shelf)
        return Held(state)

    def prepare(self, work: Work) -> None:
        """Fetch the trained models that controls announce, so that the step finds them; it may take a while."""
        if self._shelf is not None:
            for placed in work.controls:
                self._shelf.take(placed.control)

    def provide(self, held: Held) -> None:
        """Fetch the trained models that a restored state asks; it may take a while."""
        if self._shelf is not None and is_kept(held.state):
            for sha256 in held.state.wanted():
                self._shelf.fetch(sha256)

    def decode(self, records: Sequence[Any], partition: int) -> Work:
        """Columns of one partition's records, objects with `key, value, offset, timestamp, headers`."""
        return self.decode_all([(partition, records)])[0]

    def decode_all(self, parts: Sequence[tuple[int, Sequence[Any]]]) -> list[Work]:
        """Columns of several partitions' records, decoded in one go.

        Returns
        -------
        list
            The work of each partition; of a raw topic all of it as one, since nothing
            depends on where its records were read.
        """
        records = parts[0][1] if len(parts) == 1 else [record for _, some in parts for record in some]
        origin = [one for partition, some in parts for one in self._origins(some, partition)]
        end = list(accumulate(len(some) for _, some in parts))
        partitions = [partition for partition, _ in parts]
        values = [r.value for r in records]
        controls = {} if self._is_raw or None not in values else _controls(records, origin, partitions, end)
        place = np.arange(len(records))
        if controls:
            place = np.delete(place, list(controls))
            values = [values[r] for r in place.tolist()]
        columns, rejected = self._codec.read(values)
        row = np.delete(place, [r.row for r in rejected]) if rejected else place
        kept = [records[r] for r in row.tolist()] if len(row) < len(records) else records
        batch = Batch(
            topic=self.agent.source,
            partition=partitions[0],
            columns=columns,
            key=[r.key for r in kept],
            offset=np.array([r.offset for r in kept], np.int64),
            origin=[origin[r] for r in row.tolist()] if len(row) < len(records) else origin,
            time_ms=np.array([r.timestamp for r in kept], np.int64),
        )
        placed = [Placed(control, int(np.searchsorted(row, at))) for at, control in controls.items()]
        bad = [Rejection(int(place[r.row]), r.error) for r in rejected] if controls else rejected
        whole = Work(batch, np.append(row, [*controls]).astype(np.intp), origin, bad, placed)
        return [whole] if self._is_raw or len(parts) == 1 else whole.cut(partitions, end)

    def admit(self, held: Held, records: Sequence[Any], work: Work) -> Work:
        """The work without redelivered records; their origins count as seen from now on."""
        if self._is_raw:
            return work
        repeated = _passed(held.newest_origin, work.origins)
        repeated = [r for r in repeated if not _is_replayed(records[int(work.row[r])].headers)]
        if not repeated:
            return work
        n = len(work.batch)
        fresh = np.delete(np.arange(len(work.row)), repeated)
        rows = fresh[fresh < n]
        placed = [work.controls[k - n] for k in fresh[len(rows) :].tolist()]
        placed = [Placed(one.control, int(np.searchsorted(rows, one.before))) for one in placed]
        batch = work.batch.select(rows)
        return Work(batch, work.row[fresh], work.origin, work.rejected, placed, len(repeated))

    def step(self, held: Held, work: Work) -> Result:
        """One step over the whole batch, cut at its controls; what it raises leaves the state in pieces."""
        if not work.controls:
            return held.state.step(work.batch) if len(work.batch) else Result()
        return self._step_cut(held.state, work, _step)

    def step_each(self, held: Held, work: Work) -> Result:
        """A step per record; one that raises leaves the state as it was and rejects its record.

        Raises
        ------
        InfraError
            When every one of many records fails: that is a broken step, and the topic is
            not emptied into the dead letters for it.
        """
        tried = failed = 0

        def step_one(state: State, one: Batch | Control) -> Result:
            nonlocal tried, failed
            tried += 1
            undo = state.checkpoint(one.key if isinstance(one, Batch) else []) if is_kept(state) else None
            try:
                return _step(state, one)
            except (DwcpError, MemoryError):
                raise
            except Exception as exc:
                failed += 1
                message = f"{type(exc).__name__}: {exc}"
                if failed == _HOPELESS == tried:
                    raise InfraError(f"the step of agent {self.agent.name} fails on every record: {message}") from exc
                if is_kept(state):
                    state.rollback(undo)
                origin = one.origin[0] if isinstance(one, Batch) else one.origin
                _log.exception("agent %s failed on %s", self.agent.name, origin.decode("utf-8", "replace"))
                return Result(rejected=[Rejection(0, StepFailed("step_failed", message))])

        def step_rows(state: State, one: Batch | Control) -> Result:
            if not isinstance(one, Batch):
                return step_one(state, one)
            return Result.join([(row, step_one(state, one.take(row, row + 1))) for row in range(len(one))])

        return self._step_cut(held.state, work, step_rows)

    def _step_cut(self, state: State, work: Work, step: Callable[[State, Batch | Control], Result]) -> Result:
        """Steps over the rows between controls, and over each control in its place."""
        n = len(work.batch)
        parts: list[tuple[int, Result]] = []
        done = 0
        for k, (control, before) in enumerate(work.controls):
            if before > done:
                parts.append((done, step(state, work.batch.take(done, before))))
            parts.append((n + k, step(state, control)))
            done = before
        if n > done:
            parts.append((done, step(state, work.batch.take(done, n))))
        return Result.join(sorted(parts, key=lambda part: part[0]))

    def _origins(self, records: Sequence[Any], partition: int) -> list[bytes]:
        topic = self._source
        if self._is_raw:
            return [header.origin_of(topic, partition, r.offset) for r in records]
        return [_origin_header(r.headers) or header.origin_of(topic, partition, r.offset) for r in records]


def _step(state: State, one: Batch | Control) -> Result:
    if isinstance(one, Batch):
        return state.step(one)
    return state.control(one) if is_kept(state) else Result()


def _controls(
    records: Sequence[Any], origin: Sequence[bytes], partitions: Sequence[int], end: Sequence[int]
) -> dict[int, Control]:
    """Controls by place among the records, those of each partition ending there."""
    found = {}
    for at, record in enumerate(records):
        if record.value is None:
            said = dict(record.headers)
            if kind := said.get(header.CONTROL):
                body, partition = said.get(header.CONTROL_BODY) or b"", partitions[bisect_right(end, at)]
                found[at] = Control(kind.decode("utf-8", "replace"), body, origin[at], partition, record.timestamp)
    return found


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
