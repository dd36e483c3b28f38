"""The states of one agent in this worker: held, written down, and taken over from others.

- **Assignment**: a state that stands exactly at the committed offset goes on (nobody else committed
  anything, and states depend on records alone); every other partition is restored, in a thread, and its
  records wait for that.
- **Snapshot**: every interval, what changed is captured between two steps, and published once the
  offset it stands at is committed. So no snapshot is ever ahead of the committed offset, commits wait for
  nothing, and a worker that was replaced without knowing it cannot publish a wrong one. Its pieces are made
  one by one while they are published, with steps in between, so that no step waits for a whole one. When the
  chain of snapshots outgrows the state, a round of renewal begins: each snapshot carries some of what did not
  change as well, so that none is large; once everything came round, what was before is deleted.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Final

from schemas.error import InfraError
from schemas.topic import SIDE
from streams.agent import is_kept
from streams.changelog import Changelog, Restored
from streams.metric import Gauges, Metrics
from streams.publisher import Publish
from streams.settings import Settings
from streams.snapshot import Id, Label, split
from streams.stepper import Stepper
from streams.work import Held
from streams.writer import Pending, Renewal, Writer

_log = logging.getLogger(__name__)

_LEAST_BYTES: Final = 1 << 20
_RENEWAL_BYTES: Final = 8 << 20
_RENEWAL_SHARE: Final = 16
"""A snapshot renews at least so much of a state: a sixteenth of it, and what takes some milliseconds to copy."""

_BYTES_PER_S: Final = 32e6
"""So fast are snapshots written at most, each round on average: bursts make them rarer, not the worker slower."""


@dataclass(slots=True)
class _Written:
    """What of a partition's state was captured so far: the newest snapshot, its chain, and the renewal under way."""

    id: Id
    next_offset: int
    base: Id
    size: int
    renewal: Renewal | None = None


class StateStore:
    """States by partition of the agent's source.

    Parameters
    ----------
    stepper
        The agent's.
    settings
        How often to write, and where.
    changelog
        Where snapshots are; None for an agent that keeps none.
    publish, flush
        Where snapshots go, and what waits until they are there.
    metrics
        What is counted.
    """

    def __init__(
        self,
        stepper: Stepper,
        settings: Settings,
        changelog: Changelog | None,
        publish: Publish,
        flush: Callable[[], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        self._stepper = stepper
        self._settings = settings
        self._changelog = changelog
        self._metrics = metrics
        self._name = stepper.agent.name
        self._writer: Writer | None = None
        if changelog is not None:
            self._writer = Writer(changelog, publish, flush, metrics.snapshot_bytes.labels(self._name))
        self._author = uuid.uuid4().hex[:12]
        self._number = 0
        self._held: dict[int, Held] = {}
        self._written: dict[int, _Written] = {}
        self._not_before = 0.0
        self._restoring: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """No state is being restored."""
        return self._restoring is None or self._restoring.done()

    def gauges(self) -> list[Gauges]:
        """Gauges of every partition's state."""
        return [held.state.gauges() for held in self._held.values()]

    @property
    def bytes(self) -> int:
        """Of the chains of snapshots of all partitions."""
        return sum(written.size for written in self._written.values())

    def assign(self, committed: Mapping[int, int | None], *, settled: bool) -> None:
        """Partitions after a rebalance: go on with what stands where it should, restore the rest.

        Parameters
        ----------
        committed
            Offset of each partition that is ours, None where nothing was committed yet.
        settled
            No step is under way, so that every state has published all it has seen.
        """
        kept = {
            p
            for p, offset in committed.items()
            if settled and offset is not None and p in self._held and self._held[p].next_offset == offset
        }
        for p in {*self._held, *self._written} - kept:
            self._forget(p)
        wanted = {p: offset for p, offset in committed.items() if offset is not None and p not in kept}
        if self._restoring is not None:
            self._restoring.cancel()
        self._restoring = None
        if wanted and self._changelog is not None:
            self._restoring = asyncio.create_task(self._restore(wanted))
        elif self._changelog is None:
            self._held |= {p: self._start(offset) for p, offset in wanted.items()}

    async def at(self, partition: int, first: int) -> Held:
        """The partition's state, for records from offset `first` on; waits while it is being restored.

        Raises
        ------
        InfraError
            When the state has seen the records already, or cannot be restored.
        """
        await self._restored()
        held = self._held.get(partition)
        if held is None:
            held = self._held[partition] = self._stepper.start()
        elif held.next_offset is not None and first < held.next_offset:
            raise InfraError(f"{self._name}/{partition} has seen offset {first} already")
        elif held.next_offset is not None and first > held.next_offset and self._stepper.agent.source not in SIDE:
            missing = first - held.next_offset
            self._metrics.skipped.labels(self._name).inc(missing)
            _log.warning(
                "%s/%d: %d offsets before %d hold no record (retention?)", self._name, partition, missing, first
            )
        return held  # of side topics transactions and compaction leave gaps

    async def _restored(self) -> None:
        while (task := self._restoring) is not None:
            await asyncio.wait([task])  # a later assignment may cancel it and begin another
            if task is self._restoring:
                self._restoring = None
                task.result()

    async def rewind(self, partition: int, limit: int) -> Held:
        """The partition's state anew, as it was before offset `limit`: after a step that failed half-way."""
        self._forget(partition)
        if self._changelog is None:
            self._held[partition] = self._start(limit)
        else:
            await self._restore({partition: limit})
        return self._held[partition]

    def _forget(self, partition: int) -> None:
        """A state that is not the partition's any more, and what is being written of it."""
        for held in (self._held, self._written):
            held.pop(partition, None)
        if self._writer is not None:
            self._writer.drop(partition)

    def _start(self, next_offset: int) -> Held:
        held = self._stepper.start()
        held.next_offset = next_offset
        return held

    async def _restore(self, wanted: Mapping[int, int]) -> None:
        assert self._changelog is not None
        started = perf_counter()
        found = await asyncio.get_running_loop().run_in_executor(None, self._changelog.restore, dict(wanted))
        for p, one in found.items():
            self._take(p, one)
        replayed = sum(one.replayed for one in found.values())
        elapsed = perf_counter() - started
        self._metrics.restore_seconds.labels(self._name).observe(elapsed)
        self._metrics.replayed.labels(self._name).inc(replayed)
        _log.info(
            "%s: %d partitions restored, %d of them from a snapshot, and %d records replayed in %.2f s",
            self._name, len(found), sum(one.id is not None for one in found.values()), replayed, elapsed,
        )  # fmt: skip

    def _take(self, partition: int, one: Restored) -> None:
        self._held[partition] = one.held
        if one.id is not None and one.base is not None:
            offset = (one.held.next_offset or 0) - one.replayed
            self._written[partition] = _Written(one.id, offset, one.base, one.size)

    async def capture(self, *, at_once: bool = False) -> None:
        """Capture what changed in every partition since its last snapshot, others having their turn in between.

        Parameters
        ----------
        at_once
            Now or never: somebody else is about to take over.
        """
        now = monotonic()
        if self._writer is None or (now < self._not_before and not at_once):
            return
        size = 0
        for p in list(self._held):
            await asyncio.sleep(0)
            held, written = self._held.get(p), self._written.get(p)
            if held is None or held.next_offset is None or not self.ready or p in self._writer:
                continue
            if written is None or held.next_offset > written.next_offset:
                size += self._capture(p, held, held.next_offset, written)
        self._not_before = now + size / _BYTES_PER_S

    def _capture(self, partition: int, held: Held, next_offset: int, written: _Written | None) -> int:
        state = held.state
        assert self._changelog is not None
        assert self._writer is not None
        assert is_kept(state)
        self._number += 1
        id_ = (self._author, self._number)
        state_bytes = len(state) * state.row_bytes
        renewal, opens = None if written is None else written.renewal, None
        if renewal is None and (written is None or written.size > 2 * max(state_bytes, _LEAST_BYTES)):
            state.renew()
            renewal = opens = Renewal(id_)
        renew_bytes = max(state_bytes // _RENEWAL_SHARE, _RENEWAL_BYTES) if renewal is not None else 0
        capture = state.capture(whole=written is None, renew_bytes=renew_bytes)
        closes = renewal if renewal is not None and state.renewed else None
        base = id_ if written is None else closes.first if closes is not None else written.base
        label = Label(
            app=self._settings.app_id,
            id=id_,
            parent=None if written is None else written.id,
            next_offset=next_offset,
            topic_ids=self._changelog.topic_ids,
            base=base,
        )
        newest = {name.decode(): offset for name, offset in held.newest_origin.items()}
        size = capture.size
        if renewal is not None:
            renewal.size += size
        chain = closes.size if closes is not None else size + (0 if written is None else written.size)
        self._written[partition] = _Written(id_, next_offset, base, chain, None if closes is not None else renewal)
        self._writer.add(partition, Pending(next_offset, split(label, capture, newest), opens, closes))
        return size

    def committed(self, positions: Iterable[tuple[int, int]]) -> None:
        """Offsets that the broker confirmed: begin to publish the snapshots that waited for them."""
        if self._writer is not None:
            self._writer.committed(positions)

    async def written(self) -> None:
        """Wait until the snapshots that are being published were handed over to the producer."""
        if self._writer is not None:
            await self._writer.written()
